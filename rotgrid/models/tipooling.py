"""TI-Pooling (Laptev et al. 2016): the maximum over 24 rotated copies of the image.

One branch of convolutions and a fully connected layer sees every copy; the maximum of each of its
features over the copies goes to the classifier (paper, section 3). Layer for layer as in
dlaptev/TI-pooling 41bb343 (`tensorflow/rot_mnist12K_model.py`, `torch/rot_mnist12K_model.lua`);
pixels in [0, 1], as there. Variant `full` has its width, `narrow` a fifth of it.

Departures: the original rotates its data set once and for all, by cubic splines (TensorFlow) or
bilinearly (Torch7). Here the copies are made inside the model, bilinearly, so that gradients go
through them. Quarter turns come first and move pixels, so that rotating the image by 90 degrees
only permutes the copies: the logits stay as they are. The maxima over pixels and over copies are
taken before the ReLU, which gives the same numbers in less time. The original's two versions
disagree on the sense of rotation and on the order in which maps are flattened; neither matters.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rotgrid.models.layers import Invariants
from rotgrid.spec.datasets import MNIST_SHAPE, Shape

WIDTHS: dict[str, int] = {
    "narrow": 8,  # 541,450 parameters
    "full": 40,  # 13,308,170
}
"""Channels of the first convolution, by variant."""

COPIES = 24
PADDING = 2
"""Black pixels on each side of an image, so that a rotated digit is not cut off."""

CHUNK = 384
"""Copies that are convolved at once: their maps stay in the cache, and few in memory."""


class RotatedCopies(nn.Module):
    """(batch, channels, size, size) -> (batch * 24, channels, padded, padded).

    Copy k of 24 is rotated by 15 k degrees, counter-clockwise about the centre, black outside. The
    copies of an image are neighbours.
    """

    grid: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        padded = size + 2 * PADDING
        angles = torch.arange(1, COPIES // 4, dtype=torch.float64) * (2 * math.pi / COPIES)
        cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
        theta = torch.stack([cos, -sin, zero, sin, cos, zero], 1).reshape(-1, 2, 3)
        grid = F.affine_grid(theta, [len(theta), 1, padded, padded], align_corners=False)
        grid = grid.reshape(1, -1, padded, 2).to(torch.get_default_dtype())
        self.register_buffer("grid", grid, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """The quarter turns of each padded image, each rotated on by 0, 15, ..., 75 degrees."""
        padded = F.pad(images, 4 * [PADDING])
        quarters = torch.stack([padded.rot90(quarters, (-2, -1)) for quarters in range(4)], 1)
        # As channels of one image they share the grid: its weights are worked out only once.
        channels = quarters.flatten(0, 2)
        between = F.grid_sample(channels[None], self.grid, align_corners=False)[0]
        copies = torch.cat([channels, between], 1)  # (batch * 4 * channels, 6 * padded, padded)
        copies = copies.unflatten(1, (-1, padded.shape[-1])).unflatten(0, quarters.shape[:3])
        return copies.transpose(2, 3).flatten(0, 2)


class ConvPool(nn.Conv2d):
    """3 x 3 convolution that keeps the size, 2 x 2 maximum, ReLU; chunk by chunk of images.

    Weights and biases start as U(-b, b), b = 1 / sqrt(fan-in): torch's default, as the original's.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, in, size, size) -> (n, out, size / 2, size / 2)."""
        chunks = [F.max_pool2d(super(ConvPool, self).forward(m), 2) for m in maps.split(CHUNK)]
        return F.relu(torch.cat(chunks))


class TIPool(nn.Module):
    """The transformation-invariant pooling: maximum of each feature over the copies."""

    def forward(self, features: Tensor) -> Tensor:
        """(batch * 24, features) -> (batch, features)."""
        return features.unflatten(0, (-1, COPIES)).amax(1)


def over_copies(maps: Tensor) -> Tensor:
    """(batch * 24, channels, size, size) -> (batch, channels * size * size): the maximum."""
    return maps.flatten(1).unflatten(0, (-1, COPIES)).amax(1)


class TIPooling(nn.Module):
    """(batch, channels, size, size) in [0, 1] -> (batch, classes) logits.

    They are the same for all quarter turns.
    """

    invariants: ClassVar[Invariants] = {
        **{f"branch.{layer}": over_copies for layer in range(3)},
        "pool": nn.Identity(),
    }

    def __init__(self, width: int, shape: Shape) -> None:
        super().__init__()
        side = (shape.size + 2 * PADDING) // 8
        self.normalize = nn.Identity()
        self.copies = RotatedCopies(shape.size)
        self.branch = nn.Sequential(
            ConvPool(shape.channels, width),  # of MNIST: 16 x 16
            ConvPool(width, 2 * width),  # 8 x 8
            ConvPool(2 * width, 4 * width),  # 4 x 4
            nn.Flatten(),
            nn.Linear(4 * width * side**2, 128 * width),
        )
        self.pool = TIPool()
        self.head = nn.Sequential(
            nn.ReLU(), nn.Dropout(0.5), nn.Linear(128 * width, shape.classes)
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a missing overload

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        copies = self.copies(self.normalize(images))
        return self.head(self.pool(self.branch(copies)))


def build(variant: str = "narrow", shape: Shape = MNIST_SHAPE) -> TIPooling:
    """A TI-Pooling network of the width of a variant.

    Raises:
        KeyError: there is no such variant.
    """
    return TIPooling(WIDTHS[variant], shape)
