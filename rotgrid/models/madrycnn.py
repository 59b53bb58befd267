"""The MNIST network of Madry et al. 2018, section 5: the field's yardstick for strong attacks.

After MadryLab/mnist_challenge, `model.py`: two 5 x 5 convolutions, each with a 2 x 2 maximum
pooling, and two dense layers; pixels in [0, 1] are not standardised; weights start as a normal
distribution of deviation 0.1 cut at two deviations, biases as 0.1. Nothing in it knows rotations.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from rotgrid.models.layers import ImageConv2d, Invariants
from rotgrid.spec.datasets import MNIST_SHAPE, Shape


class MadryCNN(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits."""

    invariants: ClassVar[Invariants] = {f"features.{at}": nn.Identity() for at in (0, 3)}

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.normalize = nn.Identity()
        self.features = nn.Sequential(
            ImageConv2d(shape.channels, 32, 5, padding=2),
            nn.MaxPool2d(2),  # of MNIST: 14 x 14
            nn.ReLU(),
            nn.Conv2d(32, 64, 5, padding=2),
            nn.MaxPool2d(2),  # 7 x 7
            nn.ReLU(),
        )
        side = shape.size // 4
        self.head = nn.Sequential(
            nn.Linear(64 * side**2, 1024), nn.ReLU(), nn.Linear(1024, shape.classes)
        )
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.trunc_normal_(parameter, std=0.1, a=-0.2, b=0.2)
            else:
                nn.init.constant_(parameter, 0.1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a missing overload

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        images = self.normalize(images).contiguous(memory_format=torch.channels_last)
        return self.head(self.features(images).flatten(1))


def build(variant: str = "base", shape: Shape = MNIST_SHAPE) -> MadryCNN:
    """The network.

    Raises:
        KeyError: there is no such variant.
    """
    return {"base": MadryCNN}[variant](shape)
