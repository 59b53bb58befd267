"""RotEqNet: vector fields of the best angle of rotated filters, and their strength.

Marcos, Volpi, Komodakis & Tuia 2017, "Rotation equivariant vector field networks", section 3 and
the MNIST-rot network, in the PyTorch version COGMAR/RotEqNet f61abd2 (`layers_2D.py`, `utils.py`,
`mnist/mnist_test.py`), which is "the original" below; unlike the authors' MATLAB it has no biases
on rotated filters. Modules and weights have its names, so that its state_dict loads. It divided
each image by its maximum and standardised nothing: pixels stay in [0, 1]. The last rotated filters
have its 9 x 9 pixels on images of 28 x 28, and as many on others as leave one pixel.

Variants, all of 104,774 parameters on MNIST: `exact` samples rotated filters on their own pixels,
as the original did until April 2018; `zoomed` on a grid 9/8 as wide, as it has since, by a slip of
its port to Python 3. Neither is exactly equivariant, for two reasons: 17 angles contain no quarter
turn; and where an image touches only the corners of a patch, outside the disc, all rotated filters
respond alike (see `Rotations.masked`) and the first angle wins whatever the image does. So
`sixteen` has 16 angles and, as in the authors' MATLAB, no corners: quarter turns are exact.

We differ where the original has no gradient (zero vectors), and in batch norm's initial scale,
which was U(0, 1) in torch at that time and is 1 here.
"""

import math
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid.models.layers import Expanded, Invariants
from rotgrid.spec.datasets import MNIST_SHAPE, Shape


class Rotations(NamedTuple):
    """How filters are rotated."""

    angles: int = 17
    zoomed: bool = False
    """A filter of k x k is read on a grid k / (k - 1) as wide as itself, even at angle 0."""
    masked: bool = False
    """Pixels outside the inscribed disc are 0. If not, all take the filter's first weight: the
    original reads it there, and has switched off the mask that would clear it."""


ROTATIONS: dict[str, Rotations] = {
    "exact": Rotations(),
    "zoomed": Rotations(zoomed=True),
    "sixteen": Rotations(16, masked=True),
}
"""By variant."""


def resampling(size: int, rotations: Rotations) -> Tensor:
    """(angles, size^2, size^2): from a filter's pixels to those of its rotations, bilinearly."""
    radius = (size - 1) / 2
    pixels = torch.arange(size, dtype=torch.float64) - radius
    grid = pixels * size / (size - 1) if rotations.zoomed else pixels
    row, column = (axis.flatten() for axis in torch.meshgrid(grid, grid, indexing="ij"))
    cos, sin = directions(rotations.angles)[..., None]
    sources = torch.stack([cos * row - sin * column, sin * row + cos * column])
    shares = (1 - (sources[..., None] - pixels).abs()).clamp(min=0)  # (2, angles, size^2, size)
    inside = torch.einsum("apr,apc->aprc", *shares).flatten(2)
    first = torch.eye(size**2, dtype=torch.float64)[0]
    outside = torch.zeros_like(first) if rotations.masked else first
    return torch.where(torch.hypot(row, column)[:, None] > radius + 1e-4, outside, inside)


def directions(angles: int) -> Tensor:
    """(2, angles): cos and sin of equally spaced angles."""
    angle = torch.arange(angles, dtype=torch.float64) * (2 * math.pi / angles)
    return torch.stack([angle.cos(), angle.sin()])


class RotConv(Expanded):
    """Convolution with one filter rotated to all angles, and the maximum over them.

    Filter i of n is rotated clockwise by i * 360 / n degrees. The output is a vector field (batch,
    2, out, h', w'): the ReLU of the greatest response, times cos and sin of its angle. Rotating
    the input counter-clockwise by 90 degrees rotates the maps by 90, the vectors by -90 degrees,
    exactly if 4 divides n and the greatest response is the only one.

    Weights start as U(-b, b), b = 1 / sqrt(in * k * k).
    """

    weights: ClassVar[tuple[str, ...]] = ("weight1",)
    weight1: Tensor
    resampling: Tensor
    directions: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        padding: int,
        rotations: Rotations,
    ) -> None:
        super().__init__()
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        bound = 1 / math.sqrt(in_channels * kernel_size**2)
        for name in self.weights:
            self.register_parameter(name, nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))
        self.padding = padding
        for name, constant in {
            "resampling": resampling(kernel_size, rotations),
            "directions": directions(rotations.angles),
        }.items():
            self.register_buffer(name, constant.to(self.weight1.dtype), persistent=False)

    def rotated(self, weight: Tensor) -> Tensor:
        """(out, in, k, k) -> (angles, out, in, k, k)."""
        rotations = torch.einsum("oip,aqp->aoiq", weight.flatten(2), self.resampling)
        return rotations.unflatten(-1, weight.shape[-2:])

    def strongest(self, responses: Tensor) -> Tensor:
        """(batch, angles * out, h, w) -> (batch, 2, out, h, w)."""
        strength, winner = responses.unflatten(1, (self.directions.shape[1], -1)).max(1)
        return F.relu(strength).unsqueeze(1) * self.directions[:, winner].transpose(0, 1)


class ScalarRotConv(RotConv):
    """First layer: (batch, in, h, w) -> (batch, 2, out, h', w'); weight1 (out, in, k, k)."""

    def expand(self) -> tuple[Tensor]:
        """(angles * out, in * k, 1, k): the rows of the rotated filters stand as channels."""
        return (self.rotated(self.weight1).flatten(0, 1).flatten(1, 2).unsqueeze(2),)

    def forward(self, images: Tensor) -> Tensor:
        """The strongest response and its direction."""
        (filters,) = self.filters()
        size, padding = filters.shape[-1], self.padding
        # Rows as channels: with one input channel, gradients of the pixels come 5 times faster.
        rows = F.pad(images, (0, 0, padding, padding)).unfold(2, size, 1).movedim(-1, 2)
        rows = rows.flatten(1, 2).contiguous(memory_format=torch.channels_last)
        return self.strongest(F.conv2d(rows, filters, padding=(0, padding)))


class VectorRotConv(RotConv):
    """(batch, 2, in, h, w) -> (batch, 2, out, h', w'); weight1, weight2 (out, in, k, k).

    The weights of a pixel are a vector (weight1, weight2), which rotates with the filter; the
    response is its scalar product with the field.
    """

    weights: ClassVar = ("weight1", "weight2")
    weight2: Tensor

    def expand(self) -> tuple[Tensor]:
        """(angles * out, 2 * in, k, k)."""
        u, v = self.rotated(torch.cat([self.weight1, self.weight2], 1)).chunk(2, 2)
        cos, sin = self.directions[:, :, None, None, None, None]
        return (torch.cat([cos * u - sin * v, sin * u + cos * v], 2).flatten(0, 1),)

    def forward(self, field: Tensor) -> Tensor:
        """The strongest response and its direction."""
        (filters,) = self.filters()
        maps = field.flatten(1, 2).contiguous(memory_format=torch.channels_last)
        return self.strongest(F.conv2d(maps, filters, padding=self.padding))


def magnitude(field: Tensor) -> Tensor:
    """(batch, 2, channels, h, w) -> (batch, channels, h, w); its gradient at zero is zero."""
    return torch.linalg.vector_norm(field, dim=1)


class VectorMaxPool(nn.Module):
    """The longest vector of each 2 x 2 square: (batch, 2, c, h, w) -> (batch, 2, c, h/2, w/2)."""

    def forward(self, field: Tensor) -> Tensor:
        """Pool."""
        _, longest = F.max_pool2d(field.detach().square().sum(1), 2, return_indices=True)
        chosen = longest.flatten(2).unsqueeze(1).expand(-1, 2, -1, -1)
        return field.flatten(3).gather(3, chosen).unflatten(3, longest.shape[2:])


class VectorBatchNorm(nn.Module):
    """Divides vectors by the rms of their magnitude over batch and space, and scales them.

    One scale a channel, from U(0, 1); no mean and no shift, which would rotate vectors. In
    training eps is added to the rms, in evaluation to the running mean square, as in the original.
    """

    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.5) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.rand(1, channels, 1, 1))
        self.register_buffer("running_var", torch.ones(1, channels, 1, 1))

    def forward(self, field: Tensor) -> Tensor:
        """(batch, 2, channels, h, w), the same shape."""
        if not self.training:
            return field * (self.weight / (self.running_var + self.eps).sqrt())
        mean_square = field.square().sum(1).mean((0, 2, 3), keepdim=True)
        self.running_var.lerp_(mean_square.detach(), self.momentum)
        rms = mean_square.clamp(min=torch.finfo(field.dtype).tiny).sqrt()  # sqrt has no slope at 0
        return field * (self.weight / (rms + self.eps))


class Magnitude(nn.Module):
    """Ends the vector fields: (batch, 2, channels, h, w) -> (batch, channels, h, w)."""

    def forward(self, field: Tensor) -> Tensor:
        """Lengths of the vectors."""
        return magnitude(field)


class RotEqNet(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits."""

    invariants: ClassVar[Invariants] = {f"main.{at}": magnitude for at in (0, 1, 3, 4, 6)}

    def __init__(self, rotations: Rotations, shape: Shape) -> None:
        super().__init__()
        self.normalize = nn.Identity()
        self.main = nn.Sequential(
            ScalarRotConv(shape.channels, 6, 9, 4, rotations),  # of MNIST: 28 x 28
            VectorMaxPool(),  # 14 x 14
            VectorBatchNorm(6),
            VectorRotConv(6, 16, 9, 4, rotations),
            VectorMaxPool(),  # 7 x 7
            VectorBatchNorm(16),
            VectorRotConv(16, 32, shape.size // 4 + 2, 1, rotations),  # 1 x 1
            Magnitude(),
            nn.Conv2d(32, 128, 1),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Dropout2d(0.7),
            nn.Conv2d(128, shape.classes, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        return self.main(self.normalize(images)).flatten(1)


def build(variant: str = "exact", shape: Shape = MNIST_SHAPE) -> RotEqNet:
    """A RotEqNet with the filters of a variant.

    Raises:
        KeyError: there is no such variant.
    """
    return RotEqNet(ROTATIONS[variant], shape)
