"""StyleGAN2: a generator of faces that nobody has, its training, and its files."""

from visard.generator.stylegan.faces import FaceGenerator, load_faces, make_network, shipped_faces
from visard.generator.stylegan.network import Discriminator, Shape, StyleGAN
from visard.generator.stylegan.train import StyleSettings, StyleTraining

__all__ = [
    "Discriminator",
    "FaceGenerator",
    "Shape",
    "StyleGAN",
    "StyleSettings",
    "StyleTraining",
    "load_faces",
    "make_network",
    "shipped_faces",
]
