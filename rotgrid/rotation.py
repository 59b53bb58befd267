"""Rotate and shift images; draw angles and shifts, fresh in training and frozen in testing.

The protocol's choices (robustness literature and the paper leave them open): the centre is the
middle of the image, angles are counter-clockwise, shifts are (right, down) in pixels, what comes
from outside is black, and float images are neither rescaled nor requantised.
"""

import functools
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rotgrid.spec.vocabulary import Interpolation

Stream = Literal["train", "val", "test"]
STREAMS: dict[Stream, int] = {"train": 1, "val": 2, "test": 3}
SHIFT_STREAMS: dict[Stream, int] = {"train": 4, "val": 5, "test": 6}


def rotate(
    images: Tensor, degrees: Tensor | float, interpolation: Interpolation = "bilinear"
) -> Tensor:
    """Rotate each image counter-clockwise (as displayed, row 0 on top) about its centre.

    A multiple of 90 degrees is exact: the pixels are moved, not resampled; 0 is a bit-exact copy.

    Args:
        images: float, (batch, channels, size, size).
        degrees: one angle for all, or (batch,) angles; on the CPU no device has to wait for them.
        interpolation: `bilinear` or `nearest`.

    Raises:
        TypeError: the images are not floating point.
        ValueError: the shapes or the interpolation are wrong.
    """
    return transform(images, degrees, torch.zeros(2), interpolation)


def transform(
    images: Tensor,
    degrees: Tensor | float,
    shift: Tensor,
    interpolation: Interpolation = "bilinear",
) -> Tensor:
    """Rotate each image counter-clockwise about its centre, then shift it: one resampling.

    Multiples of 90 degrees with shifts of whole pixels are exact: pixels are moved, not resampled.

    Args:
        images: as in `rotate`.
        degrees: as in `rotate`.
        shift: pixels to the (right, down), one pair for all or (batch, 2); may be fractions.
        interpolation: `bilinear` or `nearest`.

    Raises:
        TypeError: the images are not floating point.
        ValueError: the shapes or the interpolation are wrong.
    """
    if not images.is_floating_point():
        raise TypeError(f"images are {images.dtype}; rotate floats (data.pixels(images))")
    if images.ndim != 4 or images.shape[-1] != images.shape[-2]:
        shape = tuple(images.shape)
        raise ValueError(f"images have shape {shape}, not (batch, channels, size, size)")
    if interpolation not in ("bilinear", "nearest"):
        raise ValueError(f"interpolation {interpolation!r} is neither bilinear nor nearest")
    angles = torch.as_tensor(degrees, dtype=torch.float64)
    if angles.ndim and angles.shape != images.shape[:1]:
        raise ValueError(f"{tuple(angles.shape)} angles for {len(images)} images")
    if shift.shape not in ((2,), (len(images), 2)):
        raise ValueError(f"shift has shape {tuple(shift.shape)}, not (2,) or ({len(images)}, 2)")
    angles = angles.expand(len(images)) % 360
    shift = shift.to(angles).expand(len(images), 2)
    exact = (angles % 90 == 0) & (shift == shift.round()).all(1)
    if not (angles.any() or shift.any()):
        return images.clone()
    if exact.all():
        moved = images.clone()
    else:
        moved = resample(images, angles, shift, interpolation)
    if exact.any():
        for quarter in range(4):
            chosen = (exact & (angles == 90 * quarter)).nonzero().squeeze(1)
            there = chosen.to(images.device)
            moved[there] = pan(images[there].rot90(quarter, (-2, -1)), shift[chosen])
    return moved


def pan(images: Tensor, shift: Tensor) -> Tensor:
    """Shift images by whole pixels: there `nearest` copies exactly one pixel."""
    if not shift.any():
        return images
    return resample(images, shift.new_zeros(len(images)), shift, "nearest")


def resample(
    images: Tensor, angles: Tensor, shift: Tensor, interpolation: Interpolation
) -> Tensor:
    """Rotate and shift images by interpolation, whatever the angle."""
    radians = torch.deg2rad(angles)
    cos, sin = radians.cos(), radians.sin()
    # grid_sample asks where in the source each target pixel comes from; its y axis points down
    # and its unit is half the image.
    right, down = (shift * (2 / images.shape[-1])).unbind(1)
    across, along = sin * down - cos * right, -sin * right - cos * down
    theta = torch.stack([cos, sin, -sin, cos, across, along], 1).reshape(-1, 3, 2)
    size = images.shape[-1]
    centres = pixel_centres(size, images.device, images.dtype)
    grid = centres @ theta.to(images.device, images.dtype)
    grid = grid.view(-1, size, size, 2)
    return F.grid_sample(images, grid, interpolation, padding_mode="zeros", align_corners=False)


@functools.cache
def pixel_centres(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(size * size, 3): x, y and 1 of the centre of each pixel, in halves of the image.

    `affine_grid` multiplies the same, but builds them anew each time, which takes longer.
    """
    along = ((2 * torch.arange(size, dtype=torch.float64) + 1) / size - 1).to(dtype)
    y, x = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], -1).reshape(-1, 3).to(device)


def draw_angles(
    n: int, rotation: float, stream: Stream, *, seed: int = 0, epoch: int = 0
) -> Tensor:
    """n angles, float64 on the CPU, uniform in [-rotation, rotation].

    Image i has `rotation` times its own number u_i in (-1, 1), which depends on (stream, seed,
    epoch) and i alone, and on no library's release: the counter-based Philox generator is fixed
    by its definition. So test angles are common to all models, and nested over ranges.
    """
    return rotation * unit_draws(n, STREAMS[stream], seed, epoch)


def draw_shifts(n: int, most: float, stream: Stream, *, seed: int = 0, epoch: int = 0) -> Tensor:
    """n shifts to the (right, down): (n, 2), float64 on the CPU, uniform in [-most, most].

    Frozen and nested as the angles of `draw_angles`, and independent of them.
    """
    return most * unit_draws(2 * n, SHIFT_STREAMS[stream], seed, epoch).reshape(n, 2)


def unit_draws(n: int, stream: int, seed: int, epoch: int) -> Tensor:
    """n numbers in (-1, 1); each depends on its place and the three numbers alone."""
    generator = np.random.Philox(key=[(stream << 32) | seed, epoch])
    unit = (generator.random_raw(n) >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0
    return torch.from_numpy(unit)
