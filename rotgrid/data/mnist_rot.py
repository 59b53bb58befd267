"""MNIST-rot: 62,000 digits that were rotated once by U[0, 360] degrees (Larochelle et al. 2007).

The archive holds two files of text, a line of 784 pixels in [0, 1] and a label for each image;
pixels are rounded to bytes. They are read row by row, as Cohen and Welling and e2cnn do; Worrall
et al. (H-Net) transpose them, which mirrors each digit.
"""

import contextlib
import io
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rotgrid.data.files import (
    DataError,
    cache,
    download,
    existing,
    not_found,
    places,
    read,
    remedy,
    require_checksums,
)
from rotgrid.data.parts import Arrays, split

NAME = "mnist-rot"
ARCHIVE = "mnist_rotation_new.zip"
CHECKSUMS = (
    "md5:0f9a947ff3d30e95cd685462cbf3b847",
    "sha1:e67f72fa42029f62fd8eb92b0638c1b9761c9a63",
)
"""The second is the one of scikit-data."""
MIRRORS = (
    "http://www.iro.umontreal.ca/~lisa/icml2007data/",
    "https://zenodo.org/record/3670627/files/",
)
MEMBERS = (
    "mnist_all_rotation_normalized_float_train_valid.amat",
    "mnist_all_rotation_normalized_float_test.amat",
)
SIDE = 28
UNREADABLE = (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged archive may raise."""


def read_mnist_rot() -> Arrays:
    """10,000 for training and 2,000 for validation, the last of the training file; 50,000 for
    testing. Parsed once, then read from the user's cache."""
    path, todo = find_archive()
    content = require_checksums(read(path, todo), CHECKSUMS, path, todo)
    images, labels = cached(content, path, todo)
    return split(NAME, images, labels, ("train", "val", "test"))


def find_archive() -> tuple[Path, str]:
    """The archive, not verified yet, and what to do if it is damaged."""
    if folders := places(NAME):
        if path := next(existing(folders, [ARCHIVE]), None):
            return path, remedy(NAME)
        raise not_found(NAME, ARCHIVE, folders)
    return download(NAME, ARCHIVE, MIRRORS, CHECKSUMS[0]), "delete it to download it again"


def cached(content: bytes, path: Path, todo: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images and labels of the archive: parsing its text takes seconds, reading them again none.

    The name in the cache is that of the archive's checksum; a damaged file is written again.
    """
    parsed = cache(NAME) / f"{CHECKSUMS[0].partition(':')[2]}.npz"
    with contextlib.suppress(*UNREADABLE), open(parsed, "rb") as file, np.load(file) as arrays:
        return arrays["images"], arrays["labels"]
    images, labels = parse_archive(content, path, todo)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time only
        parsed.parent.mkdir(parents=True, exist_ok=True)
        part = parsed.with_name(f".{os.getpid()}.npz")
        np.savez(part, images=images, labels=labels)
        part.replace(parsed)
    return images, labels


def parse_archive(
    content: bytes, path: Path, todo: str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (n, 28, 28) and labels (n,) of both files, one after the other."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {Path(member).name: member for member in archive.namelist()}
            rows = np.concatenate([parse(archive, members[name]) for name in MEMBERS])
    except UNREADABLE as error:
        raise DataError(f"{path}: is not the archive of MNIST-rot ({error}); {todo}") from error
    return rows[:, :-1].reshape(-1, SIDE, SIDE), rows[:, -1]


def parse(archive: zipfile.ZipFile, member: str) -> NDArray[np.uint8]:
    """Rows of 784 pixels of 0 to 255 and a label."""
    with archive.open(member) as file:
        values = np.loadtxt(file, np.float32).reshape(-1, SIDE**2 + 1)
    values[:, :-1] *= 255
    return np.rint(values).astype(np.uint8)
