"""Steerable: networks on the kernel bases of e2cnn. Not a reproduction of any published network.

Cohen & Welling 2017, "Steerable CNNs", worked on CIFAR only; these are its layers as Weiler &
Cesa 2019, "General E(2)-Equivariant Steerable CNNs", have them: e2cnn 0.2.3. A map holds fields,
vectors at each pixel which a rotation of the image also mixes by a representation of the group;
filters are combinations of a basis of all filters that are equivariant (up to a band limit).

c4, c8: regular fields (one number for each of 4 or 8 rotations) on the skeleton of `p4cnn`, the
    maximum over rotations being the logits. e2cnn's rings of a 4x4 kernel miss its pixels; here
    they lie on them, as in all kernels of an even size.
so2: fields over all rotations, each a number that stays and a vector that rotates with the image
    (frequencies 0 and 1, as in `hnet`). Six 5x5 layers with mean pooling; the magnitudes, their
    mean over space, FC(10).
gcnn: GCNN of Table 1 with its convolutions replaced. Its 3x3 filters have 24 numbers for a pair
    of channels, GCNN's 36: the band limit.

The logits of all but gcnn are exactly invariant to quarter turns. Inputs are standardised
(`Normalize`), as in `p4cnn` and `gcnn`. Weights start with e2cnn's generalisation of He's method.

Departs from e2cnn: only its bases and first weights are used, so that filters are kept and a
network copied like any other; the tensors hold the same numbers. Magnitudes have a gradient at 0.
"""

import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid.models.e2cnn_repair import e2cnn
from rotgrid.models.gcnn import GCNN, over_orientations
from rotgrid.models.layers import Expanded, Invariants, Normalize
from rotgrid.models.z2cnn import top_size
from rotgrid.spec.datasets import MNIST_SHAPE, Shape

if TYPE_CHECKING:
    from e2cnn.nn import FieldType  # type: ignore[import-untyped]

WIDTHS: dict[str, tuple[int, ...]] = {
    "c4": (13,),  # 24,762 parameters; P4CNN has 24,680
    "c8": (9,),  # 25,426
    "so2": (9, 15, 20),  # 24,874
    "gcnn": (10, 20),  # 81,480, of which 16,920 in convolutions; GCNN has 89,910 and 25,350
}
"""Fields of a layer, from the first to the last resolution, by variant."""


def regular_fields(rotations: int, number: int) -> "FieldType":
    """A number of fields with a number for each rotation."""
    with e2cnn() as package:
        space = package.gspaces.Rot2dOnR2(rotations)
        return package.nn.FieldType(space, [space.regular_repr] * number)


def irrep_fields(number: int) -> "FieldType":
    """A number of fields with a number and a vector."""
    with e2cnn() as package:
        space = package.gspaces.Rot2dOnR2(-1, maximum_frequency=1)
        both = package.group.directsum([space.irrep(0), space.irrep(1)])
        return package.nn.FieldType(space, [both] * number)


def image_fields(fields: "FieldType", channels: int = 1) -> "FieldType":
    """An image, whose numbers stay as they are, for a layer that makes such fields of it."""
    space = fields.gspace
    with e2cnn() as package:
        return package.nn.FieldType(space, [space.trivial_repr] * channels)


def rings_on_pixels(size: int) -> dict[str, Any]:
    """Rings of a kernel of an even size, which e2cnn's miss the pixels of; others are e2cnn's."""
    if size % 2:
        return {}
    rings = [math.hypot(0.5, column + 0.5) for column in range(size // 2)]
    return {"rings": rings, "frequencies_cutoff": round}


class SteerableConv(Expanded):
    """(batch, fields in, size in, h, w) -> (batch, fields out, size out, h', w').

    Also reads images, (batch, channels, h, w). All fields of a map are of one kind. Weight (fields
    out, fields in, basis filters) and bias (fields out,) are those of e2cnn's R2Conv.
    """

    basis: Tensor
    bias_of_field: Tensor

    def __init__(
        self,
        before: "FieldType",
        after: "FieldType",
        kernel_size: int,
        padding: int = 0,
        **rings: Any,  # noqa: ANN401  # as R2Conv has them
    ) -> None:
        super().__init__()
        with e2cnn() as package:
            theirs = package.nn.R2Conv(before, after, kernel_size, **rings)
        (block,) = theirs.basisexpansion.children()  # one kind of field before, one after
        basis = block.sampled_basis.unflatten(-1, (kernel_size, kernel_size)).clone()
        weights = theirs.weights.detach().clone()
        self.padding = padding
        self.weight = nn.Parameter(weights.view(len(after), len(before), len(basis)))
        self.bias = nn.Parameter(theirs.bias.detach().clone())
        self.register_buffer("basis", basis, persistent=False)
        self.register_buffer(
            "bias_of_field", theirs.bias_expansion[: basis.shape[1], 0].clone(), persistent=False
        )

    def expand(self) -> tuple[Tensor, Tensor]:
        """(fields out * size out, fields in * size in, k, k), and the bias."""
        filters = torch.einsum("yxb,boihw->yoxihw", self.weight, self.basis)
        bias = self.bias[:, None] * self.bias_of_field
        return filters.flatten(2, 3).flatten(0, 1), bias.flatten()

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve the maps."""
        filters, bias = self.filters()
        maps = F.conv2d(maps.flatten(1, -3), filters, bias, padding=self.padding)
        return maps.unflatten(1, (len(self.bias), -1))


class RegularLayer(nn.Sequential):
    """A convolution of regular fields, batch norm shared by the rotations, ReLU."""

    def __init__(self, before: "FieldType", after: "FieldType") -> None:
        super().__init__(SteerableConv(before, after, 3), nn.BatchNorm3d(len(after)), nn.ReLU())


class SteerableP4CNN(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits.

    By fields over 4 or 8 rotations.
    """

    invariants: ClassVar[Invariants] = dict.fromkeys(
        [*(f"layer{n}" for n in range(1, 7)), "top"], over_orientations
    )

    def __init__(self, shape: Shape, width: int, rotations: int) -> None:
        super().__init__()
        fields = regular_fields(rotations, width)
        image, size = image_fields(fields, shape.channels), top_size(shape)
        self.normalize = Normalize(shape)
        self.layer1 = RegularLayer(image, fields)  # of MNIST: 26 x 26
        self.layer2 = RegularLayer(fields, fields)  # 24 x 24, pooled to 12 x 12
        self.layer3 = RegularLayer(fields, fields)  # 10 x 10
        self.layer4 = RegularLayer(fields, fields)  # 8 x 8
        self.layer5 = RegularLayer(fields, fields)  # 6 x 6
        self.layer6 = RegularLayer(fields, fields)  # 4 x 4
        logits = regular_fields(rotations, shape.classes)
        self.top = SteerableConv(fields, logits, size, **rings_on_pixels(size))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        maps = self.layer2(self.layer1(self.normalize(images)))
        maps = F.max_pool3d(maps, (1, 2, 2))
        maps = self.layer6(self.layer5(self.layer4(self.layer3(maps))))
        return over_orientations(self.top(maps)).flatten(1)


def lengths(vectors: Tensor) -> Tensor:
    """(batch, fields, 2, h, w) -> (batch, fields, 1, h, w); the gradient is 0 at 0."""
    return vectors.square().sum(2, keepdim=True).clamp_min(1e-20).sqrt()


def magnitudes(maps: Tensor) -> Tensor:
    """(batch, fields, 3, h, w) -> (batch, fields * 2, h, w): what only rotates, of `so2`."""
    return torch.cat([maps[:, :, :1], lengths(maps[:, :, 1:])], 2).flatten(1, 2)


class NormBatchNorm(nn.Module):
    """Divides vectors by their running root mean square over batch, space and components.

    As in e2cnn the running value is used in training too, and has no gradient.
    """

    running_var: Tensor

    def __init__(self, fields: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(fields))
        self.register_buffer("running_var", torch.ones(fields))

    def forward(self, vectors: Tensor) -> Tensor:
        """(batch, fields, 2, h, w) -> the same."""
        if self.training:
            with torch.no_grad():
                points = vectors[:, 0, 0].numel()
                variance = (
                    vectors.to(self.running_var).square().sum((0, 2, 3, 4))
                    / 2
                    / max(points - 1, 1)
                )
                self.running_var.lerp_(variance, 0.1)
        scale = self.weight / (self.running_var + 1e-5).sqrt()
        return vectors * scale[:, None, None, None]


class NormReLU(nn.Module):
    """Shortens vectors by exp(log_bias), those that are shorter to 0: e2cnn's NormNonLinearity."""

    def __init__(self, fields: int) -> None:
        super().__init__()
        self.log_bias = nn.Parameter(torch.zeros(fields))

    def forward(self, vectors: Tensor) -> Tensor:
        """(batch, fields, 2, h, w) -> the same."""
        before = lengths(vectors)
        after = F.relu(before - self.log_bias.exp()[:, None, None, None])
        return vectors * (after / before)


class IrrepLayer(nn.Module):
    """A convolution of fields of `so2`, batch norm, ReLU: of the numbers, and of the lengths."""

    def __init__(self, before: "FieldType", after: "FieldType", padding: int = 2) -> None:
        super().__init__()
        self.conv = SteerableConv(before, after, 5, padding)
        self.bn = nn.BatchNorm2d(len(after))
        self.norm_bn = NormBatchNorm(len(after))
        self.norm_relu = NormReLU(len(after))

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, fields, 3, h, w), of such maps or of images."""
        maps = self.conv(maps)
        numbers = F.relu(self.bn(maps[:, :, 0]))
        vectors = self.norm_relu(self.norm_bn(maps[:, :, 1:]))
        return torch.cat([numbers[:, :, None], vectors], 2)


class IrrepNet(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits.

    By fields over all rotations.
    """

    invariants: ClassVar[Invariants] = {f"layer{n}": magnitudes for n in range(1, 7)}

    def __init__(self, shape: Shape, first: int, second: int, third: int) -> None:
        super().__init__()
        one, two, three = (irrep_fields(number) for number in (first, second, third))
        image = image_fields(one, shape.channels)
        self.normalize = Normalize(shape)
        self.layer1 = IrrepLayer(image, one, padding=0)  # of MNIST: 24 x 24
        self.layer2 = IrrepLayer(one, one)  # pooled to 12 x 12
        self.layer3 = IrrepLayer(one, two)
        self.layer4 = IrrepLayer(two, two)  # pooled to 6 x 6
        self.layer5 = IrrepLayer(two, three)
        self.layer6 = IrrepLayer(three, three, padding=0)  # 2 x 2
        self.head = nn.Linear(2 * third, shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        maps = self.layer2(self.layer1(self.normalize(images)))
        maps = self.layer4(self.layer3(F.avg_pool3d(maps, (1, 2, 2))))
        maps = self.layer6(self.layer5(F.avg_pool3d(maps, (1, 2, 2))))
        return self.head(magnitudes(maps).mean((2, 3)))


class SteerableGCNN(GCNN):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits.

    GCNN with e2cnn's convolutions."""

    def __init__(self, shape: Shape, first: int, second: int) -> None:
        super().__init__(first, second, shape)
        few, many = (regular_fields(4, number) for number in (first, second))
        image = image_fields(few, shape.channels)
        self.add_module("conv1", SteerableConv(image, few, 3))
        self.add_module("conv2", SteerableConv(few, few, 3))
        self.add_module("conv3", SteerableConv(few, many, 3))
        self.add_module("conv4", SteerableConv(many, many, 3))


def build(
    variant: str = "c4", shape: Shape = MNIST_SHAPE
) -> SteerableP4CNN | IrrepNet | SteerableGCNN:
    """A network on e2cnn's bases.

    Raises:
        KeyError: there is no such variant.
    """
    widths = WIDTHS[variant]
    if variant == "so2":
        return IrrepNet(shape, *widths)
    if variant == "gcnn":
        return SteerableGCNN(shape, *widths)
    return SteerableP4CNN(shape, widths[0], rotations=int(variant.removeprefix("c")))
