"""DREN: the deep rotation equivariant network r-Z2CNN x4 for rotated MNIST.

Li et al. 2017, "Deep Rotation Equivariant Network"; ZJULearning/DREN 948f662 (Caffe),
`examples/rmnist/r-z2cnn_x4/net.prototxt` and `r-z2cnn_max_x4`. The skeleton is Cohen & Welling's
(`z2cnn`) without batch norm: a cycle layer, five isotonic layers of 10 channels in 4 rotations
with ReLU and dropout 0.2 (after layers 1, 3, 4, 5 and 6), a 2x2 maximum after the second, and a
4x4 decycle layer (`x4`), or a 4x4 isotonic layer and the maximum over rotations (`max-x4`).
The logits of both are exactly invariant to quarter turns.

Layers and rotations are those of P4 convolution, but rotation i is clockwise by i quarter turns,
and it is the slowest part of the channel axis, as in microljy/DREN_Tensorflow 2330e65 (fastest in
Caffe, except in the last layer of `max-x4`). Weights start as N(0, 0.05^2) and biases, one per
channel, as 0.

Departs from the original in one way: that standardised each pixel by its own mean and deviation,
which breaks the symmetry; here all pixels have the same ones (`Normalize`).
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid.models.layers import Expanded, Invariants, Normalize
from rotgrid.models.z2cnn import top_size
from rotgrid.spec.datasets import MNIST_SHAPE, Shape

CHANNELS = 10
"""Of every layer, in 4 rotations each: "x4" of r-Z2CNN's 20 maps is 40 maps."""
ROTATIONS = 4
MAXIMUM: dict[str, bool] = {
    "x4": False,  # 19,760 parameters
    "max-x4": True,  # 24,560
}
"""Whether the last layer keeps the rotations and takes their maximum, by variant."""


def rotated(weight: Tensor, rotation: int) -> Tensor:
    """Filters (..., k, k), rotated clockwise by a number of quarter turns."""
    return weight.rot90(-rotation, (-2, -1))


class DrenConv(Expanded):
    """A valid convolution whose filter is made of rotated copies of its weight."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape).normal_(std=0.05))
        self.bias = nn.Parameter(torch.zeros(shape[-4]))  # one per output channel

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, maps in, h, w) -> (batch, maps out, h', w')."""
        planar, bias = self.filters()
        return F.conv2d(maps, planar, bias)


class Cycle(DrenConv):
    """Lifts images to four rotations: (batch, in, h, w) -> (batch, 4 * out, h', w')."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(out_channels, in_channels, kernel_size, kernel_size)

    def expand(self) -> tuple[Tensor, Tensor]:
        """(4 * out, in, k, k): one filter, rotated for each rotation, and the bias."""
        planar = torch.cat([rotated(self.weight, i) for i in range(ROTATIONS)])
        return planar, self.bias.repeat(ROTATIONS)


class Isotonic(DrenConv):
    """From four rotations to four: (batch, 4 * in, h, w) -> (batch, 4 * out, h', w').

    Weight d of the four, (4, out, in, k, k), leads from each rotation to the one d further on.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(ROTATIONS, out_channels, in_channels, kernel_size, kernel_size)

    def expand(self) -> tuple[Tensor, Tensor]:
        """(4 * out, 4 * in, k, k), and the bias."""
        from_each = [rotated(self.weight.roll(i, 0), i).flatten(0, 1) for i in range(ROTATIONS)]
        return torch.cat(from_each, 1), self.bias.repeat(ROTATIONS)


class Decycle(DrenConv):
    """Back to the plane: (batch, 4 * in, h, w) -> (batch, out, h', w'), which only rotate."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(out_channels, in_channels, kernel_size, kernel_size)

    def expand(self) -> tuple[Tensor, Tensor]:
        """(out, 4 * in, k, k): one filter, rotated for each rotation, and the bias."""
        return torch.cat([rotated(self.weight, i) for i in range(ROTATIONS)], 1), self.bias


def over_rotations(maps: Tensor) -> Tensor:
    """(batch, 4 * channels, h, w) -> (batch, channels, h, w): the maximum, which only rotates."""
    return maps.unflatten(1, (ROTATIONS, -1)).amax(1)


class Dren(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits."""

    invariants: ClassVar[Invariants] = dict.fromkeys(
        ["cycle", *(f"isotonic{n}" for n in range(2, 7))], over_rotations
    )

    def __init__(self, shape: Shape, maximum: bool = False) -> None:
        super().__init__()
        self.maximum = maximum
        self.normalize = Normalize(shape)
        self.cycle = Cycle(shape.channels, CHANNELS, 3)  # of MNIST: 26 x 26
        self.isotonic2 = Isotonic(CHANNELS, CHANNELS, 3)  # 24 x 24, pooled to 12 x 12
        self.isotonic3 = Isotonic(CHANNELS, CHANNELS, 3)  # 10 x 10
        self.isotonic4 = Isotonic(CHANNELS, CHANNELS, 3)  # 8 x 8
        self.isotonic5 = Isotonic(CHANNELS, CHANNELS, 3)  # 6 x 6
        self.isotonic6 = Isotonic(CHANNELS, CHANNELS, 3)  # 4 x 4
        last = Isotonic if maximum else Decycle
        self.top = last(CHANNELS, shape.classes, top_size(shape))
        self.dropout = nn.Dropout(0.2)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        maps = self.normalize(images).contiguous(memory_format=torch.channels_last)
        maps = self.dropout(F.relu(self.cycle(maps)))
        maps = F.max_pool2d(F.relu(self.isotonic2(maps)), 2)
        for layer in (self.isotonic3, self.isotonic4, self.isotonic5, self.isotonic6):
            maps = self.dropout(F.relu(layer(maps)))
        maps = self.top(maps)
        return (over_rotations(maps) if self.maximum else maps).flatten(1)


def build(variant: str = "x4", shape: Shape = MNIST_SHAPE) -> Dren:
    """A Dren.

    Raises:
        KeyError: there is no such variant.
    """
    return Dren(shape, MAXIMUM[variant])
