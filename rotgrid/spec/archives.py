"""Data of the user's own: an `.npz` file of images and labels, described without unpickling.

Keys: `{train,val,test}_images`, uint8 (n, size, size) or (n, channels, size, size), and
`{train,val,test}_labels`, integers (n,) from 0. Optional: `mean` and `std` of the pixels of the
training images as parts of 1, one number or one a channel; computed where they are absent.
"""

import functools
import hashlib
import math
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from rotgrid.spec.archive_checks import (
    PARTS,
    Header,
    count_classes,
    require_images,
    require_label_headers,
)
from rotgrid.spec.datasets import DataSet, Shape

KEYS = tuple(f"{part}_{kind}" for part in PARTS for kind in ("images", "labels"))
DIGITS = 6
"""Of a computed mean or deviation: more depend on the version of numpy."""
READ_HEADER = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
CHUNK = 1_000
"""Images counted at once."""
MAKE = "`rotgrid data make` writes such a file"


def describe(path: str | os.PathLike[str]) -> DataSet:
    """What a grid has to know of an `.npz` file; it is read once as long as it does not change.

    Classes are counted from the greatest label. The label for readers is the file's name.

    Raises:
        ValueError: the file is not as it should be; the message names the file and the key.
    """
    return _described(*_identity(path))


def digest(path: str | os.PathLike[str]) -> str:
    """The first 16 hexadecimal digits of a file's SHA-256; read once as `describe` does.

    Raises:
        ValueError: there is no such file.
    """
    return _digested(*_identity(path))


def _identity(path: str | os.PathLike[str]) -> tuple[str, int, int]:
    try:
        state = os.stat(path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    return os.path.abspath(path), state.st_size, state.st_mtime_ns


@functools.lru_cache(maxsize=100)
def _digested(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@functools.lru_cache(maxsize=100)
def _described(path: str, size: int, changed: int) -> DataSet:
    try:
        with zipfile.ZipFile(path) as archive:
            return _described_archive(archive)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: truncated, or not an .npz file ({error}); {MAKE}") from error
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _described_archive(archive: zipfile.ZipFile) -> DataSet:
    headers = read_headers(archive)
    if missing := [key for key in KEYS if key not in headers]:
        raise ValueError(f"lacks the keys {', '.join(missing)}; {MAKE}")
    counts, channels, side = require_images(headers)
    require_label_headers(headers, counts)
    labels = {part: read_array(archive, f"{part}_labels") for part in PARTS}
    classes = count_classes(labels)
    mean, std = read_moments(archive, headers, channels)
    return DataSet(**counts, shape=Shape(channels, side, classes, mean, std), label=Path(
        archive.filename or "").name)  # fmt: skip


def read_headers(archive: zipfile.ZipFile) -> dict[str, Header]:
    """The shape and type of each array of an archive, whose content is not read."""
    headers = {}
    for name in archive.namelist():
        key, suffix = os.path.splitext(name)
        if suffix != ".npy":
            continue
        with archive.open(name) as file:
            version = npy.read_magic(file)
            if version not in READ_HEADER:
                raise ValueError(f"{key}: is no array of numbers")
            shape, _, dtype = READ_HEADER[version](file)
        headers[key] = Header(shape, dtype)
    return headers


def read_array(archive: zipfile.ZipFile, key: str) -> NDArray[Any]:
    """One array; never a pickled one."""
    try:
        with archive.open(f"{key}.npy") as file:
            array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
            return array
    except (ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{key}: truncated or damaged ({error})") from error


def read_moments(
    archive: zipfile.ZipFile, headers: Mapping[str, Header], channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation by channel, as the file says or as they are."""
    found = {
        key: per_channel(archive, key, headers[key], channels)
        for key in ("mean", "std")
        if key in headers
    }
    if len(found) < 2:
        images = read_array(archive, "train_images")
        mean, std = moments(images if images.ndim == 4 else images[:, None])
        found = {"mean": mean, "std": std, **found}
    if not all(0 <= value <= 1 for value in found["mean"]):
        raise ValueError(f"mean: is {found['mean']}; expected parts of 1, not of 255")
    if not all(0 < value <= 1 for value in found["std"]):
        raise ValueError(
            f"std: is {found['std']} by channel; expected above 0 and at most 1, of pixels in "
            "[0, 1]: is a channel of train_images constant?"
        )
    return found["mean"], found["std"]


def per_channel(
    archive: zipfile.ZipFile, key: str, header: Header, channels: int
) -> tuple[float, ...]:
    """One number for each channel."""
    if header.dtype.kind not in "iuf" or math.prod(header.shape) not in (1, channels):
        raise ValueError(
            f"{key}: is {header.dtype} {header.shape}; expected one number, or {channels}"
        )
    values = read_array(archive, key).ravel()
    return tuple(float(value) for value in np.broadcast_to(values, (channels,)))


def moments(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the pixels / 255 of uint8 (n, channels, size, size)."""
    counts = np.zeros((images.shape[1], 256), np.int64)
    for start in range(0, len(images), CHUNK):
        for channel, pixels in enumerate(images[start : start + CHUNK].swapaxes(0, 1)):
            counts[channel] += np.bincount(pixels.ravel(), minlength=256)
    values, total = np.arange(256) / 255, counts.sum(1)
    mean = counts @ values / total
    std = np.sqrt((counts * (values - mean[:, None]) ** 2).sum(1) / total)
    return tuple(np.round(mean, DIGITS).tolist()), tuple(np.round(std, DIGITS).tolist())
