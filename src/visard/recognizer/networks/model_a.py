"""Model A: a small network trained from scratch.

Chatzikyriakidis, Papaioannidis, Pitas, "Adversarial face de-identification", ICIP 2019. The paper's last layer, one
output per person, is the ``Classifier``'s head; the size of the faces is ours.
"""

from torch import Tensor, nn

from visard.recognizer.networks.network import WHOLE_FRAME, Network

SIDE = 112


class ModelA(nn.Module):
    """(N, 3, `side`, `side`) -> (N, 512), not negative."""

    def __init__(self, side: int = SIDE) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 5, padding=2), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.fc = nn.Linear(64 * (side // 4) ** 2, 512)
        self.output = nn.Sequential(nn.BatchNorm1d(512), nn.ReLU(), nn.Dropout(0.9))

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x).flatten(1)  # (N, 64, side / 4, side / 4) -> (N, 64 side^2 / 16)
        features: Tensor = self.output(self.fc(x))
        return features


MODEL_A = Network(
    "model-a", ModelA, dict, (SIDE, SIDE), WHOLE_FRAME, (0.0,) * 3, (255.0,) * 3, 512,
    "Chatzikyriakidis et al., ICIP 2019",
)  # fmt: skip
