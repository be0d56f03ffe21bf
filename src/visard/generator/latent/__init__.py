"""In a face generator's latent space: who and how told apart, and faces that recognizers take for another's."""

from visard.generator.latent.cloak import LatentCloak, LatentSettings, parse_latent_cloak
from visard.generator.latent.cloaking import LatentCloakTraining
from visard.generator.latent.disentangle import DisentangleTraining
from visard.generator.latent.disentangled import (
    Disentangled,
    DisentangleSettings,
    framed,
    load_disentangled,
    parse_disentangled,
    shipped_disentangled,
)
from visard.generator.latent.landmarks import (
    EYES,
    NOSE,
    Landmarker,
    LandmarkNetwork,
    load_landmarks,
    onnx_landmarks,
    shipped_landmarks,
)
from visard.generator.latent.replacing import Source, replacing

__all__ = [
    "EYES",
    "NOSE",
    "DisentangleSettings",
    "DisentangleTraining",
    "Disentangled",
    "LandmarkNetwork",
    "Landmarker",
    "LatentCloak",
    "LatentCloakTraining",
    "LatentSettings",
    "Source",
    "framed",
    "load_disentangled",
    "load_landmarks",
    "onnx_landmarks",
    "parse_disentangled",
    "parse_latent_cloak",
    "replacing",
    "shipped_disentangled",
    "shipped_landmarks",
]
