"""HNet: the Harmonic Network of the paper's experiments, and its layers.

Worrall et al. 2017, "Harmonic Networks: Deep Translation and Rotation Equivariance", section 5.1
(MNIST-rot): rotation orders 0 and 1 everywhere, 5 x 5 filters on 4 rings, three blocks of two
convolutions, a last convolution to a channel a class and the mean of its magnitudes. Built as the
authors' code, deworrall92/harmonicConvolutions 26fb490 (`MNIST-rot/mnist_model.py`,
`harmonic_network_lite.py`, `harmonic_network_ops.py`), which takes pixels in [0, 1] as they are.

Until commit 3817853 of April 2019 that code conjugated the feature where it should conjugate the
filter, and let order 0 to order 0 and order 1 to order 1 see only the real part of a complex
input. Variant `2018` is that code: its features do not follow a quarter turn, but follow a half
turn. Variant `fixed` follows every rotation, exactly at multiples of 90 degrees.

Departures: the authors declare 34,066 numbers, of which 11,240 (filters of order -1) are never
read; only the 22,826 that are read are declared here. Their running averages start from zero and
decay by 0.99 per batch, which lags far behind in trainings of some hundred steps; ours are the
plain average of the first 10 batches, and from then on decay by 0.9.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid.models.layers import Expanded, Invariants
from rotgrid.spec.datasets import MNIST_SHAPE, Shape

KERNEL, RINGS, ANGLES = 5, 4, 101
"""Width of a filter in pixels, radii it is defined at, and samples on each ring."""

Maps = Tensor
"""(batch, order, real or imaginary, channels, height, width), of orders 0 and 1."""


def ring_interpolation(order: int) -> Tensor:
    """(rings, angles, pixels): each point's share in each pixel, a Gaussian of deviation 0.5.

    The outer ring lies beyond the patch; the inner one is its centre for order 0.
    """
    radii = torch.linspace(float(order != 0), RINGS - 0.5, RINGS, dtype=torch.float64)
    angles = 2 * math.pi * torch.arange(ANGLES, dtype=torch.float64) / ANGLES
    points = radii[:, None, None] * torch.stack([-angles.sin(), angles.cos()], -1)  # (row, column)
    line = torch.arange(KERNEL, dtype=torch.float64) - (KERNEL - 1) / 2
    squares = (points[:, :, None] - torch.cartesian_prod(line, line)).square().sum(-1)
    return torch.softmax(-squares / (2 * 0.5**2), -1)


def ring_basis(order: int) -> Tensor:
    """(2, pixels, rings): real and imaginary part of e^(-i order angle) on every ring."""
    angles = 2 * math.pi * order * torch.arange(ANGLES, dtype=torch.float64) / ANGLES
    wave = torch.stack([angles.cos(), -angles.sin()])
    return torch.einsum("ca,rap->cpr", wave, ring_interpolation(order))


def stream_signs(real_input: bool, fixed: bool) -> Tensor:
    """How filters enter the planar filter bank: 1, -1, or 0 for not at all.

    (out order, out part, in order, in part, filter order, filter part), a part being real or
    imaginary. Output order q gets input order p through the filter of order q - p; a negative
    order takes the conjugate of the positive one. A filter of order 0 acts on complex inputs by
    its real part alone.
    """
    inputs = 1 if real_input else 2
    signs = torch.zeros(2, 2, inputs, inputs, 2, 2)
    for q in range(2):
        for p in range(inputs):
            order, sign = abs(q - p), (q > p) - (q < p)
            signs[q, 0, p, 0, order, 0] = 1
            signs[q, 1, p, 0, order, 1] = 1 if real_input or not fixed else sign
            if not real_input:
                signs[q, 0, p, 1, order, 1] = -sign
                signs[q, 1, p, 1, order, 0] = 1 if fixed else sign
    return signs


class HConv(Expanded):
    """Harmonic convolution, 5 x 5, output as large as the input.

    A filter of order m is a radial profile times e^(-i m angle), rotated by a phase. Rotating the
    image by an angle rotates the maps of every order, and multiplies order m by e^(-i m angle).

    Attributes:
        radial: for orders 0 and 1 the profiles (rings, in, out).
        phase: for orders 0 and 1 the phases (1, 1, in, out); empty if the layer has none.
    """

    basis: Tensor
    signs: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        fixed: bool = True,
        real_input: bool = False,
        phased: bool = True,
    ) -> None:
        super().__init__()
        shape = (RINGS, in_channels, out_channels)
        deviation = 0.4 * math.sqrt(2 / math.prod(shape))  # out_channels too, as the authors do
        self.radial = nn.ParameterList(torch.randn(shape) * deviation for _ in range(2))
        self.phase = nn.ParameterList(
            torch.rand(1, 1, in_channels, out_channels) * 2 * math.pi for _ in range(2 * phased)
        )
        basis = torch.stack([ring_basis(order) for order in range(2)])
        self.register_buffer("basis", basis.to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("signs", stream_signs(real_input, fixed), persistent=False)

    def harmonics(self) -> Tensor:
        """(order, real or imaginary, pixels, in, out): the filters."""
        plain = torch.einsum("mcpr,mrio->mcpio", self.basis, torch.stack(list(self.radial)))
        if not self.phase:
            return plain
        real, imaginary = plain.unbind(1)
        phase = torch.cat(list(self.phase))
        cos, sin = phase.cos(), phase.sin()
        return torch.stack([cos * real + sin * imaginary, cos * imaginary - sin * real], 1)

    def expand(self) -> tuple[Tensor]:
        """Of the planar convolution: (4 * out, orders * parts * in, 5, 5)."""
        planar = torch.einsum("qapbmc,mckio->qaopbik", self.signs, self.harmonics())
        return (planar.flatten(3, 5).flatten(0, 2).unflatten(2, (KERNEL, KERNEL)),)

    def forward(self, maps: Maps) -> Maps:
        """Convolve all orders with all orders."""
        (planar,) = self.filters()
        return F.conv2d(maps.flatten(1, 3), planar, padding=KERNEL // 2).unflatten(1, (2, 2, -1))


def magnitudes(maps: Maps, floor: float = 1e-12) -> Tensor:
    """(batch, order, channels, height, width); no square is less than `floor`.

    So the gradient is finite at zero, where it is zero.
    """
    real, imaginary = maps.unbind(2)
    return (real.square() + imaginary.square()).clamp(min=floor).sqrt()


def of_each_order(maps: Maps) -> Tensor:
    """(batch, order * channels, height, width): the magnitudes, which only rotate."""
    return magnitudes(maps).flatten(1, 2)


def per_channel(numbers: Tensor) -> Tensor:
    """(order, 1, channels) -> (order, channels, 1, 1), to go with magnitudes."""
    return numbers.squeeze(1)[..., None, None]


class MagnitudeReLU(nn.Module):
    """Replace |z| by ReLU(|z| + bias) and keep the angle; bias (order, 1, channels)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        bound = math.sqrt(3 / (1 + channels))  # TensorFlow's default for (1, 1, 1, 2, 1, channels)
        self.bias = nn.Parameter(torch.empty(2, 1, channels).uniform_(-bound, bound))

    def forward(self, maps: Maps) -> Maps:
        """Rescale every complex number."""
        size = magnitudes(maps, 1e-4)
        return maps * (F.relu(size + per_channel(self.bias)) / size).unsqueeze(2)


class MagnitudeNorm(nn.Module):
    """Replace |z| by ReLU(batch norm(|z|)) and keep the angle; all numbers (order, 1, channels).

    In training the statistics are those of the batch, over images and pixels; in evaluation the
    running ones.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(2, 1, channels))
        self.beta = nn.Parameter(torch.zeros(2, 1, channels))
        self.register_buffer("running_mean", torch.zeros(2, 1, channels))
        self.register_buffer("running_var", torch.ones(2, 1, channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def track(self, mean: Tensor, var: Tensor) -> None:
        """Move the running statistics a tenth of the way, further in the first batches."""
        self.num_batches_tracked += 1
        share = (1 / self.num_batches_tracked).clamp(min=0.1).to(mean.dtype)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(var, share)

    def forward(self, maps: Maps) -> Maps:
        """Rescale every complex number."""
        size = magnitudes(maps, 1e-4)
        if self.training:  # as precise as the running ones, whatever the maps are
            both = torch.var_mean(size.to(self.running_var), (0, 3, 4), correction=0)
            var, mean = (numbers.unsqueeze(1) for numbers in both)
            self.track(mean.detach(), var.detach())
        else:
            mean, var = self.running_mean, self.running_var
        scale = self.gamma * (var + 1e-3).rsqrt()
        normed = size * per_channel(scale) + per_channel(self.beta - mean * scale)
        return maps * (F.relu(normed) / size).unsqueeze(2)


def mean_pool(maps: Maps) -> Maps:
    """2 x 2 mean over space."""
    return F.avg_pool2d(maps.flatten(1, 3), 2).unflatten(1, (2, 2, -1))


class MagnitudeHead(nn.Module):
    """(batch, classes): the magnitudes of a channel each, summed over orders, their mean over
    space."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.full((classes,), 0.01))

    def forward(self, maps: Maps) -> Tensor:
        """Logits of the images."""
        return magnitudes(maps).sum(1).mean((2, 3)) + self.bias


class HNet(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits."""

    invariants: ClassVar[Invariants] = {
        **{f"conv{layer}": of_each_order for layer in range(1, 8)},
        "head": nn.Identity(),
    }

    def __init__(self, fixed: bool, shape: Shape) -> None:
        super().__init__()
        self.normalize = nn.Identity()
        self.conv1 = HConv(shape.channels, 8, fixed=fixed, real_input=True)
        self.relu1 = MagnitudeReLU(8)
        self.conv2 = HConv(8, 8, fixed=fixed)
        self.norm2 = MagnitudeNorm(8)
        self.conv3 = HConv(8, 16, fixed=fixed)
        self.relu3 = MagnitudeReLU(16)
        self.conv4 = HConv(16, 16, fixed=fixed)
        self.norm4 = MagnitudeNorm(16)
        self.conv5 = HConv(16, 32, fixed=fixed)
        self.relu5 = MagnitudeReLU(32)
        self.conv6 = HConv(32, 32, fixed=fixed)
        self.norm6 = MagnitudeNorm(32)
        self.conv7 = HConv(32, shape.classes, fixed=fixed, phased=False)
        self.head = MagnitudeHead(shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        maps = self.normalize(images)[:, None, None]  # one order, real
        maps = self.norm2(self.conv2(self.relu1(self.conv1(maps))))  # of MNIST: 28 x 28
        maps = mean_pool(maps)
        maps = self.norm4(self.conv4(self.relu3(self.conv3(maps))))  # 14 x 14
        maps = mean_pool(maps)
        maps = self.norm6(self.conv6(self.relu5(self.conv5(maps))))  # 7 x 7
        return self.head(self.conv7(maps))


def build(variant: str = "fixed", shape: Shape = MNIST_SHAPE) -> HNet:
    """An HNet as the authors' code is, or as it was until April 2019.

    Raises:
        KeyError: there is no such variant.
    """
    return HNet({"fixed": True, "2018": False}[variant], shape)
