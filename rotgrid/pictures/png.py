"""Arrays of pixels as PNG files, and panels side by side."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""By channels: grey, grey and opacity, colour, colour and opacity (PNG specification, 11.2.2)."""
GAP = 2
"""Transparent pixels between two panels."""

Pixels = NDArray[np.uint8]


def encode(pixels: Pixels) -> bytes:
    """A PNG file of pixels (height, width, 1 to 4 channels), 8 bits each.

    Raises:
        ValueError: the array is none of these.
    """
    if pixels.ndim != 3 or pixels.shape[2] not in COLOUR_TYPES or pixels.dtype != np.uint8:
        raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}, not uint8 (h, w, 1 to 4)")
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # each begins with its filter: none
    rows[:, 1:] = pixels.reshape(height, -1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in chunks)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG file, with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def strip(panels: Sequence[Tensor]) -> Pixels:
    """Images (channels, height, width) in [0, 1] side by side, with transparent gaps between.

    Returns:
        (height, all widths and gaps, channels + 1): opacity is the last channel.
    """
    images = [
        np.round(255 * panel.numpy()).astype(np.uint8).transpose(1, 2, 0) for panel in panels
    ]
    opaque = [np.concatenate([image, np.full_like(image[..., :1], 255)], 2) for image in images]
    height, _, channels = opaque[0].shape
    gap = np.zeros((height, GAP, channels), np.uint8)
    spaced = [part for panel in opaque for part in (gap, panel)]
    return np.concatenate(spaced[1:], 1)
