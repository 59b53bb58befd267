"""GCNN: the P4 group-equivariant network of the paper's Table 1, and its two layers.

Cohen & Welling 2016, "Group Equivariant Convolutional Networks", sections 4-6; conventions of
their library GrouPy. Table 1 is, layer for layer, the MNIST example of
adambielski/pytorch-gconv-experiments: no padding, no batch norm, pooling over space only, and the
orientation axis kept and flattened into FC(50). So the features rotate exactly with the image by
multiples of 90 degrees, but the logits are not invariant; variant `orbit` takes the maximum over
orientations before FC(50), as Cohen & Welling do before their classifier, and leaves only the
position to be read. "FC(10) + Softmax": the softmax is in the loss.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid.models.layers import Expanded, Invariants, Normalize, convolve_image
from rotgrid.models.stdcnn import last_size
from rotgrid.spec.datasets import MNIST_SHAPE, Shape

WIDTHS: dict[str, tuple[int, int]] = {
    "table1": (10, 20),  # 89,910 parameters
    "halved": (5, 10),  # 38,935; the paper's partner of the doubled StdCNN (58,060)
    "matched-table1": (3, 6),  # 22,073; StdCNN table1 has 23,010
    "matched-doubled": (7, 14),  # 57,813; StdCNN doubled has 58,060
    "orbit": (10, 20),  # 41,910
}
"""Channels before and after the first pooling, by variant."""


class P4Conv(Expanded):
    """Group convolution over the translations and quarter turns of the plane.

    The filter of output orientation r for input orientation s is the weight of orientation
    (s - r) mod 4, rotated counter-clockwise by r quarter turns; all are stacked and applied by
    one planar convolution. Rotating the input by k quarter turns rotates every output map by k and
    rolls the orientation axis by k.

    Weights and bias start as U(-b, b), b = 1 / sqrt(in * k * k), as in adambielski/GrouPy (which
    leaves the 4 input orientations out of the fan-in).

    Args:
        in_channels, out_channels: each in 4 orientations; images in one.
        in_orientations: 1 of images, 4 of maps.
        kernel_size: rows and columns of a filter.
        padding: of zeros on each side.
        bias: whether the channels have one.
    """

    memory_format = torch.channels_last
    """Of the filters, and so of the maps: what the other layers of a network are fast on."""
    in_orientations: ClassVar[int]
    source: Tensor
    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.padding = padding
        shape = (out_channels, in_channels, self.in_orientations, kernel_size, kernel_size)
        bound = 1 / math.sqrt(in_channels * kernel_size**2)
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        biases = torch.empty(out_channels).uniform_(-bound, bound) if bias else None
        self.register_parameter("bias", None if biases is None else nn.Parameter(biases))
        self.register_buffer("source", source(*shape[1:4]), persistent=False)

    def expand(self) -> tuple[Tensor, ...]:
        """Of the planar convolution: (out * 4, in * in_orientations, k, k), and the bias."""
        out_channels, *_, size = self.weight.shape
        weights = self.weight.flatten(1)[:, None].expand(-1, 4, -1)
        filters = weights.gather(2, self.source.expand(out_channels, -1, -1))
        planar = filters.view(4 * out_channels, size, size, -1).permute(0, 3, 1, 2)
        if self.memory_format is torch.contiguous_format:
            planar = planar.clone(memory_format=self.memory_format)
        return (planar,) if self.bias is None else (planar, self.bias.repeat_interleave(4))

    def weight_and_bias(self) -> tuple[Tensor, Tensor | None]:
        """What `expand` returns, or None for a bias."""
        weight, *bias = self.filters()
        return weight, bias[0] if bias else None

    def convolve(self, maps: Tensor) -> Tensor:
        """(batch, in * in_orientations, h, w) -> (batch, out * 4, h', w')."""
        return F.conv2d(maps, *self.weight_and_bias(), padding=self.padding)


def source(in_channels: int, in_orientations: int, size: int) -> Tensor:
    """(1, 4, size * size * in * in_orientations): which weight of an output channel stands where
    in each of its four planar filters, which are laid out channels-last."""
    shape = (in_channels, in_orientations, size, size)
    weights = torch.arange(math.prod(shape)).view(shape)
    rotated = [weights.roll(r, dims=1).rot90(r, (-2, -1)) for r in range(4)]
    # Rolling by r puts orientation (s - r) mod 4 at s.
    return torch.stack(rotated).permute(0, 3, 4, 1, 2).reshape(1, 4, -1)


class P4ConvZ2(P4Conv):
    """First layer: (batch, in, h, w) -> (batch, out, 4, h', w'); weight (out, in, 1, k, k)."""

    in_orientations = 1

    def forward(self, images: Tensor) -> Tensor:
        """Lift planar images to maps over the group."""
        if images.shape[1] > 1:
            return self.convolve(images).unflatten(1, (-1, 4))
        maps = convolve_image(images, *self.weight_and_bias(), self.padding)
        return maps.unflatten(1, (-1, 4))


class P4ConvP4(P4Conv):
    """(batch, in, 4, h, w) -> (batch, out, 4, h', w'); weight (out, in, 4, k, k)."""

    in_orientations = 4

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve maps over the group."""
        return self.convolve(maps.flatten(1, 2)).unflatten(1, (-1, 4))


def spatial_max_pool(maps: Tensor) -> Tensor:
    """2 x 2 maximum over space; channels and orientations are kept."""
    return F.max_pool2d(maps.flatten(1, 2), 2).unflatten(1, (-1, 4))


def over_orientations(maps: Tensor) -> Tensor:
    """(batch, channels, 4, h, w) -> (batch, channels, h, w): the maximum, which only rotates."""
    return maps.amax(2)


class GCNN(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits."""

    invariants: ClassVar[Invariants] = {f"conv{layer}": over_orientations for layer in range(1, 5)}

    def __init__(self, first: int, second: int, shape: Shape, orbit: bool = False) -> None:
        super().__init__()
        self.normalize = Normalize(shape)
        self.conv1 = P4ConvZ2(shape.channels, first, 3)
        self.conv2 = P4ConvP4(first, first, 3)
        self.conv3 = P4ConvP4(first, second, 3)
        self.conv4 = P4ConvP4(second, second, 3)
        self.orbit = orbit
        self.head = nn.Sequential(
            nn.Linear(second * (1 if orbit else 4) * last_size(shape) ** 2, 50),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(50, shape.classes),
        )

    def features(self, images: Tensor) -> Tensor:
        """(batch, channels, 4, h, w): the pooled maps, which rotate exactly with the image."""
        maps = self.normalize(images).contiguous(memory_format=torch.channels_last)
        maps = F.relu(self.conv1(maps))  # of MNIST: 26 x 26
        maps = self.conv2(maps)  # 24 x 24
        maps = F.relu(spatial_max_pool(maps))  # 12 x 12; ReLU after it is the same, and less work
        maps = F.relu(self.conv3(maps))  # 10 x 10
        maps = self.conv4(maps)  # 8 x 8
        return F.relu(spatial_max_pool(maps))  # 4 x 4

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        maps = self.features(images)
        return self.head((over_orientations(maps) if self.orbit else maps).flatten(1))


def build(variant: str = "table1", shape: Shape = MNIST_SHAPE) -> GCNN:
    """A GCNN of the widths of a variant.

    Raises:
        KeyError: there is no such variant.
    """
    return GCNN(*WIDTHS[variant], shape, orbit=variant == "orbit")
