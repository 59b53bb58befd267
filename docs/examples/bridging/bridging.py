"""The networks of "Bridging Symmetry and Robustness" (Wang et al. 2025, arXiv 2510.16171) in their
shape, each with a plain one that differs in nothing but its rotating and scaling streams.

Taken from the authors' code (github.com/ifratmitul/Role-of-Equivariance, 7257b8a, cifar10/):
depth, widths, where they pool, where streams merge, batch norm, the greatest value over space at
the end. On 3 x 32 x 32 images, standardised by 0.5 and 0.5, and with the same weights, those
without -plain give the logits of the authors' classes (tests/test_bridging.py).

baseline: `ExtendedCNN`, ten convolutions of 16 to 256 channels, five poolings. The published
    comparison is with this one, which has fewer parameters and pools twice more than the others.
parallel: `ImprovedParallelGCNN`, a plain stream of 16 channels beside a C4-equivariant one of 16
    regular fields (64 channels, neither batch norm nor ReLU), then nine plain convolutions.
parallel-scale: `BaselineCNNWithParallelScaleAndRotEquivariance`, also three streams that see the
    image at half, full and double size; a 1 x 1 convolution merges all. C8, as in its test script:
    the merging convolution is made for its 128 channels (the training script says C4, whose 64 do
    not fit).
cascaded: `CascadedGCNN`, a plain convolution of 64 channels, which an equivariant one then takes
    for 16 regular fields of C4; seven plain convolutions.
...-plain: the equivariant convolution is an `nn.Conv2d` of as many channels, and the three scales
    are all 1. Parameters differ by less than 1 %.

Departures, in all alike: pixels are standardised by mean and deviation of the data (theirs: 0.5
and 0.5), inside of the network, so that attacks see pixels; where a size is odd, pooling rounds up
(theirs sees sizes that are halved without rest), so that 28 x 28 can be pooled five times; any
number of channels and classes.

None of these networks is invariant to rotations by its architecture: all layers behind the
equivariant one are plain, and that of `cascaded` reads the channels of a plain convolution, which
do not rotate with the image in the first place. Attack `equivariance` measures it.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from e2cnn import gspaces
from e2cnn import nn as e2nn
from torch import Tensor, nn

from rotgrid.models.layers import Invariants, Normalize
from rotgrid.spec.datasets import Shape

POOL = 0
TRUNKS: dict[str, tuple[int, ...]] = {
    "baseline": (16, POOL, 32, POOL, 32, 64, POOL, 64, 128, POOL, 128, 256, POOL, 256, 256),
    "parallel": (POOL, 32, 32, 64, POOL, 64, 128, POOL, 128, 256, 256, 512),
    "parallel-scale": (POOL, 32, 32, POOL, 64, 128, 128, 256, 256, 512),
    "cascaded": (POOL, 64, 128, POOL, 128, 256, POOL, 256, 512, 512),
}
"""Channels of the plain convolutions behind the first layer, and where to pool."""
FIELDS = 16
SCALES = (0.5, 1.0, 2.0)
SUFFIX = "-plain"
VARIANTS = ("baseline", *(name + end for name in [*TRUNKS][1:] for end in ("", SUFFIX)))


def convolution(before: int, after: int, size: int = 3) -> nn.Sequential:
    """A plain convolution, batch norm, ReLU."""
    layer = nn.Conv2d(before, after, size, padding=size // 2)
    return nn.Sequential(layer, nn.BatchNorm2d(after), nn.ReLU())


class Rotating(nn.Module):
    """A convolution to 16 regular fields of the group of so many rotations."""

    def __init__(self, channels: int, rotations: int, of_fields: bool = False) -> None:
        super().__init__()
        self.rotations = rotations
        space = gspaces.Rot2dOnR2(rotations)
        fields = e2nn.FieldType(space, [space.regular_repr] * FIELDS)
        image = e2nn.FieldType(space, [space.trivial_repr] * channels)
        self.before = fields if of_fields else image
        self.conv = e2nn.R2Conv(self.before, fields, kernel_size=3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, h, w) -> (batch, 16 * rotations, h, w)."""
        return self.conv(e2nn.GeometricTensor(maps, self.before)).tensor

    def over_rotations(self, maps: Tensor) -> Tensor:
        """The greatest number of each field: what only rotates with the image."""
        return maps.unflatten(1, (FIELDS, self.rotations)).amax(2)


class Scaled(nn.Module):
    """A plain convolution of 16 channels of the image at another scale, scaled back."""

    def __init__(self, channels: int, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.conv = convolution(channels, 16)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, h, w) -> (batch, 16, h, w)."""
        if self.factor == 1:
            return self.conv(images)
        size = [round(self.factor * side) for side in images.shape[2:]]
        maps = self.conv(F.interpolate(images, size, mode="bilinear", align_corners=False))
        return F.interpolate(maps, images.shape[2:], mode="bilinear", align_corners=False)


class Streams(nn.ModuleList):
    """Modules beside each other, their channels one after the other."""

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, h, w) -> (batch, sum of channels, h, w)."""
        return torch.cat([stream(images) for stream in self], 1)


class Bridging(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits."""

    def __init__(self, first: nn.Module, trunk: nn.Sequential, width: int, shape: Shape) -> None:
        super().__init__()
        self.normalize = Normalize(shape)
        self.first, self.trunk = first, trunk
        self.head = nn.Linear(width, shape.classes)
        self.invariants: Invariants = {
            name: module.over_rotations
            for name, module in self.named_modules()
            if isinstance(module, Rotating)
        }

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        maps = self.trunk(self.first(self.normalize(images)))
        return self.head(maps.amax((2, 3)))


def first_layer(name: str, channels: int, equivariant: bool) -> tuple[nn.Module, int]:
    """What sees the image, and how many channels it makes of it."""

    def rotating(before: int, rotations: int, of_fields: bool = False) -> nn.Module:
        if equivariant:
            return Rotating(before, rotations, of_fields)
        return nn.Conv2d(before, FIELDS * rotations, 3, padding=1)

    match name:
        case "parallel":
            return Streams([convolution(channels, 16), rotating(channels, 4)]), 80
        case "cascaded":
            after = rotating(64, 4, of_fields=True)
            return nn.Sequential(convolution(channels, 64), after, nn.ReLU()), 64
        case "parallel-scale":
            scales = SCALES if equivariant else (1.0, 1.0, 1.0)
            scaled = [Scaled(channels, factor) for factor in scales]
            rotated = nn.Sequential(rotating(channels, 8), nn.ReLU())
            streams = Streams([convolution(channels, 16), rotated, *scaled])
            return nn.Sequential(streams, convolution(192, 32, size=1)), 32
    return nn.Identity(), channels


def layers(before: int, widths: tuple[int, ...]) -> Iterator[nn.Module]:
    """Plain convolutions of these channels, with pooling where one is `POOL`."""
    for width in widths:
        if width == POOL:
            yield nn.MaxPool2d(2, ceil_mode=True)
        else:
            yield convolution(before, width)
            before = width


def build(variant: str, shape: Shape) -> nn.Module:
    """The network of a variant for images of a shape.

    Raises:
        ValueError: there is no such variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r}: choose from {', '.join(VARIANTS)}")
    name = variant.removesuffix(SUFFIX)
    first, channels = first_layer(name, shape.channels, equivariant=name == variant)
    widths = TRUNKS[name]
    return Bridging(first, nn.Sequential(*layers(channels, widths)), widths[-1], shape)
