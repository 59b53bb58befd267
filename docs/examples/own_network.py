"""Two small networks of one's own: a plain one, and one whose layers rotate with the image.

`own_network.yaml` trains both beside `stdcnn` and `gcnn`. In a grid they are the variants `plain`
and `rotating` of `own_network:build`. Both take square images of any size, with any number of
channels and classes, and have about as many parameters: 12,814 and 12,682 on MNIST.

`rotating` is built on e2cnn 0.2.3 (Weiler & Cesa 2019, "General E(2)-Equivariant Steerable CNNs"),
which rotgrid installs. Its maps are regular fields of the group C4: a number for each rotation by
a multiple of 90 degrees. Its logits do not change at all when an image is rotated by such an
angle, up to rounding. e2cnn makes torch warn once of masks of bytes, which does no harm.
"""

from typing import ClassVar

import torch.nn.functional as F
from e2cnn import gspaces
from e2cnn import nn as e2nn
from torch import Tensor, nn

from rotgrid.models.layers import Invariants, Normalize
from rotgrid.spec.datasets import Shape

ROTATIONS = 4
PLAIN_WIDTHS = (12, 24, 44)
"""Channels of the three layers."""
ROTATING_WIDTHS = (8, 16, 24)
"""Fields of the three layers, each of a number for each rotation."""


def over_rotations(maps: Tensor) -> Tensor:
    """(batch, fields * rotations, h, w) -> (batch, fields, h, w), the greatest of each field."""
    return maps.unflatten(1, (-1, ROTATIONS)).amax(2)


def halved(maps: Tensor) -> Tensor:
    """The mean over 2 x 2 pixels, or over 3 x 3 that overlap where the size is odd.

    Either way it takes the same pixels of a map that was rotated by 90 degrees. A stride of 2
    without this care would not, and the network would not be equivariant.
    """
    odd = maps.shape[-1] % 2
    return F.avg_pool2d(maps, 2 + odd, 2, padding=odd, count_include_pad=False)


class RotatingLayer(nn.Module):
    """An equivariant convolution, batch norm shared by the rotations, ReLU."""

    def __init__(self, before: e2nn.FieldType, after: e2nn.FieldType) -> None:
        super().__init__()
        self.before = before
        self.layers = e2nn.SequentialModule(
            e2nn.R2Conv(before, after, kernel_size=3, padding=1, bias=False),
            e2nn.InnerBatchNorm(after),
            e2nn.ReLU(after),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Tensors in, tensors out, so that all else is torch."""
        return self.layers(e2nn.GeometricTensor(maps, self.before)).tensor


class Rotating(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits."""

    invariants: ClassVar[Invariants] = dict.fromkeys(
        ("layer1", "layer2", "layer3"), over_rotations
    )
    """Attack `equivariance` compares these layers between an image and the rotated image. The
    function makes maps that only rotate with the image."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        space = gspaces.Rot2dOnR2(ROTATIONS)
        image = e2nn.FieldType(space, [space.trivial_repr] * shape.channels)
        one, two, three = (
            e2nn.FieldType(space, [space.regular_repr] * width) for width in ROTATING_WIDTHS
        )
        self.normalize = Normalize(shape)
        self.layer1 = RotatingLayer(image, one)
        self.layer2 = RotatingLayer(one, two)
        self.layer3 = RotatingLayer(two, three)
        self.head = nn.Linear(ROTATING_WIDTHS[-1], shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        maps = halved(self.layer1(self.normalize(images)))
        maps = self.layer3(halved(self.layer2(maps)))
        return self.head(over_rotations(maps).mean((2, 3)))


class PlainLayer(nn.Sequential):
    """A convolution, batch norm, ReLU."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(
            nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
        )


class Plain(nn.Module):
    """The same skeleton without equivariance, with the same input and output."""

    invariants: ClassVar[Invariants] = dict.fromkeys(("layer1", "layer2", "layer3"), nn.Identity())

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        one, two, three = PLAIN_WIDTHS
        self.normalize = Normalize(shape)
        self.layer1 = PlainLayer(shape.channels, one)
        self.layer2 = PlainLayer(one, two)
        self.layer3 = PlainLayer(two, three)
        self.head = nn.Linear(three, shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        maps = halved(self.layer1(self.normalize(images)))
        maps = self.layer3(halved(self.layer2(maps)))
        return self.head(maps.mean((2, 3)))


NETWORKS = {"plain": Plain, "rotating": Rotating}


def build(variant: str, shape: Shape) -> nn.Module:
    """The network of a variant for images of a shape: what the grid calls.

    Raises:
        ValueError: there is no such variant.
    """
    if variant not in NETWORKS:
        raise ValueError(f"variant {variant!r}: choose from {', '.join(NETWORKS)}")
    return NETWORKS[variant](shape)
