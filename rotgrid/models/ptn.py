"""PTN: Polar Transformer Networks (Esteves et al. 2018), which resample the image about an origin.

A small network predicts the origin, the image is resampled in log-polar coordinates about it, and
a classifier sees the result: a rotation of the image about the origin becomes a roll of its rows.
Layer for layer as in daniilidis-group/polar-transformer-networks c6a4ad6 (`arch.py`, `layers.py`,
`flags_handler.py`; paper, Table 1), with its quirks: the resampling takes coordinate x for pixel
(x + 1) * size / 2, so that origin 0 is half a pixel off the image's centre; angles run over both 0
and 2 pi, so that the last row repeats the first; what lies outside the image is 0 after
standardisation (a grey, not the background). Variant `base` is the paper's PTN-B, `small` PTN-S.
The inputs were standardised, hence `Normalize`. In training the origin is shifted at random by up
to 2 pixels, as in the original; its random rotations of the training images belong to the protocol
(`train_rotation`) and are not here, nor is its averaging over rotated test images.

Departures: the centroid is guarded against a heatmap whose sum is 0; batch norm's running
variance is torch's unbiased one.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid.models.layers import Invariants, Normalize
from rotgrid.spec.datasets import MNIST_SHAPE, Shape

CLASSIFIERS: dict[str, tuple[tuple[int, int], ...]] = {
    "base": ((16, 1), (16, 1), (32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (64, 1)),  # 131,959
    "small": ((20, 1), (20, 2), (20, 1), (20, 1), (20, 1), (20, 1)),  # 27,931 parameters
}
"""Output channels and stride of the classifier's convolutions, by variant."""

RADIUS = 0.7071
"""Greatest radius of the log-polar grid, as a fraction of the image's width."""

SHIFT = 2
"""Greatest random shift of the origin in training, in pixels."""

LEAST_SUM = 1e-6
"""Heatmaps whose sum is closer to 0 than this have no centroid."""


def block(conv: nn.Conv2d) -> nn.Sequential:
    """The convolution, batch norm and ReLU, initialised as tflearn does.

    Weights: normal of deviation sqrt(1.3 * 2 / fan-in), cut at two deviations; the 1.3 makes up
    for the cut. Biases 0 (batch norm makes them idle; they are kept for the published count).
    """
    deviation = math.sqrt(2.6 / conv.weight[0].numel())
    nn.init.trunc_normal_(conv.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    norm = nn.BatchNorm2d(conv.out_channels)
    nn.init.normal_(norm.weight, 1, 0.002)
    return nn.Sequential(unbiased(conv), norm, nn.ReLU())


def unbiased(conv: nn.Conv2d) -> nn.Conv2d:
    """The convolution with its biases set to 0."""
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def centroid(heatmap: Tensor) -> Tensor:
    """(batch, 1, size, size) -> (batch, 2): its (x, y), in [-1, 1] from edge to edge.

    Heatmaps may be negative, so their sum may be 0; the original then divides by it. Here a sum
    of less than `LEAST_SUM` counts as `LEAST_SUM`: the origin is finite, mostly far outside the
    image, and passes no gradient on through the sum.
    """
    weights = heatmap[:, 0]
    steps = torch.linspace(-1, 1, weights.shape[-1], device=weights.device, dtype=weights.dtype)
    moments = torch.stack([weights.sum(1) @ steps, weights.sum(2) @ steps], 1)
    total = weights.sum((1, 2))
    total = torch.where(total.abs() < LEAST_SUM, LEAST_SUM, total)
    return moments / total[:, None]


class OriginPredictor(nn.Module):
    """(batch, channels, size, size) -> (batch, 2): the centroid (x, y) of a learned heatmap.

    The heatmap starts as 1 everywhere (weights 0, bias 1), so every origin starts as (0, 0); in
    the very first step only the heatmap's weights have a gradient.
    """

    def __init__(self, shape: Shape, channels: int = 20) -> None:
        super().__init__()
        before = shape.size % 2
        self.features = nn.Sequential(
            nn.ZeroPad2d((before, 1, before, 1)),  # TensorFlow's SAME
            block(nn.Conv2d(shape.channels, channels, 3, stride=2)),  # of MNIST: 14 x 14
            block(nn.Conv2d(channels, channels, 3, padding=1)),
            block(nn.Conv2d(channels, channels, 3, padding=1)),
        )
        self.heatmap = nn.Conv2d(channels, 1, 1)
        nn.init.zeros_(self.heatmap.weight)
        nn.init.constant_(self.heatmap.bias, 1)  # type: ignore[arg-type]  # it has a bias

    def forward(self, images: Tensor) -> Tensor:
        """The origins, shifted at random in training."""
        origins = centroid(self.heatmap(self.features(images)))
        if self.training:
            shift = 2 * SHIFT / images.shape[-1]  # 2 is the image's width
            origins = origins + (2 * torch.rand_like(origins) - 1) * shift
        return origins


class LogPolar(nn.Module):
    """Resample images (batch, channels, size, size) about origins (batch, 2), (x, y) in [-1, 1].

    Row i of the result is the angle 2 pi i / (angles - 1), clockwise as displayed from the x
    axis; the columns are radii in log steps, the first at the origin.
    """

    offsets: Tensor

    def __init__(self, size: int, angles: int, radii: int) -> None:
        super().__init__()
        greatest = size * RADIUS
        steps = torch.linspace(0, 1, radii, dtype=torch.float64)
        radius = (greatest**steps - 1) / (greatest - 1) * 2 * RADIUS
        angle = torch.linspace(0, 2 * math.pi, angles, dtype=torch.float64)[:, None]
        offsets = torch.stack([radius * angle.cos(), radius * angle.sin()], 2)
        self.register_buffer("offsets", offsets.to(torch.get_default_dtype()), persistent=False)

    def forward(self, images: Tensor, origins: Tensor) -> Tensor:
        """(batch, channels, angles, radii): bilinear, and 0 outside pixels 0 to size - 1."""
        size = images.shape[-1]
        points = origins[:, None, None] + self.offsets
        pixels = (points + 1) * (size / 2)
        # grid_sample fades out over one pixel beyond the border where the original cuts at it.
        inside = ((pixels >= 0) & (pixels < size - 1)).all(3).unsqueeze(1)
        # It takes coordinate x for pixel (x + 1) * size / 2 - 1/2.
        sampled = F.grid_sample(
            images, points + 1 / size, padding_mode="border", align_corners=False
        )
        return sampled * inside


class PolarConv(nn.Conv2d):
    """3 x 3 convolution of polar maps: the rows (angles) wrap around, the columns see zeros."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, 3, stride, padding=(0, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, in, angles, radii) -> (batch, out, angles / stride, radii / stride)."""
        return super().forward(torch.cat([maps[:, :, -1:], maps, maps[:, :, :1]], 2))


def over_angles(maps: Tensor) -> Tensor:
    """(batch, channels, angles, radii) -> (batch, channels, radii): the maximum."""
    return maps.amax(2)


class PTN(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits."""

    invariants: ClassVar[Invariants] = dict.fromkeys(
        ["polar", *(f"classifier.{at}" for at in range(5)), "classifier"], over_angles
    )

    def __init__(self, classifier: tuple[tuple[int, int], ...], shape: Shape) -> None:
        super().__init__()
        self.normalize = Normalize(shape)
        self.origin = OriginPredictor(shape)
        self.polar = LogPolar(*3 * [shape.size])
        self.classifier = nn.Sequential()
        channels = shape.channels
        for width, stride in classifier:
            self.classifier.append(block(PolarConv(channels, width, stride)))
            channels = width
        self.head = unbiased(PolarConv(channels, shape.classes))
        bound = math.sqrt(3 / self.head.weight[0].numel())  # tflearn's uniform scaling
        nn.init.uniform_(self.head.weight, -bound, bound)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a missing overload

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        images = self.normalize(images)
        polar = self.polar(images, self.origin(images))
        return self.head(self.classifier(polar)).mean((2, 3))


def build(variant: str = "base", shape: Shape = MNIST_SHAPE) -> PTN:
    """A PTN with the classifier of a variant.

    Raises:
        KeyError: there is no such variant.
    """
    return PTN(CLASSIFIERS[variant], shape)
