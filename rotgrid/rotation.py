"""Rotate batches of images, and draw the angles: fresh in training, frozen in testing.

The protocol's choices (robustness literature and the paper leave them open): the centre is the
middle of the image, angles are counter-clockwise, what comes from outside is black, and float
images are neither rescaled nor requantised.
"""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rotgrid.spec import Interpolation

Stream = Literal["train", "val", "test"]
STREAMS: dict[Stream, int] = {"train": 1, "val": 2, "test": 3}


def rotate(
    images: Tensor, degrees: Tensor | float, interpolation: Interpolation = "bilinear"
) -> Tensor:
    """Turn each image counter-clockwise (as displayed, row 0 on top) about its centre.

    A multiple of 90 degrees is exact: the pixels are moved, not resampled; 0 is a bit-exact copy.

    Args:
        images: float, (batch, channels, size, size).
        degrees: one angle for all, or (batch,) angles; on the CPU no device has to wait for them.
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
    angles = angles.expand(len(images)) % 360
    exact = angles % 90 == 0
    if exact.all():
        turned = images.clone()
    else:
        turned = resample(images, angles, interpolation)
    if exact.any():
        for quarter in range(4):
            chosen = (angles == 90 * quarter).to(images.device)
            turned[chosen] = images[chosen].rot90(quarter, (-2, -1))
    return turned


def resample(images: Tensor, angles: Tensor, interpolation: Interpolation) -> Tensor:
    """Turn images by interpolation, whatever the angle."""
    radians = torch.deg2rad(angles)
    cos, sin = radians.cos(), radians.sin()
    zero = torch.zeros_like(cos)
    # affine_grid asks where in the source each target pixel comes from; its y axis points down.
    theta = torch.stack([cos, -sin, zero, sin, cos, zero], 1).reshape(-1, 2, 3)
    theta = theta.to(images.device, images.dtype)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, interpolation, padding_mode="zeros", align_corners=False)


def draw_angles(
    n: int, rotation: float, stream: Stream, *, seed: int = 0, epoch: int = 0
) -> Tensor:
    """n angles, float64 on the CPU, uniform in [-rotation, rotation].

    Image i has `rotation` times its own number u_i in (-1, 1), which depends on (stream, seed,
    epoch) and i alone, and on no library's release: the counter-based Philox generator is fixed
    by its definition. So test angles are common to all models, and nested over ranges.
    """
    generator = np.random.Philox(key=[(STREAMS[stream] << 32) | seed, epoch])
    unit = (generator.random_raw(n) >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0
    return torch.from_numpy(unit * rotation)
