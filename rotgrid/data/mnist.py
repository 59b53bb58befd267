"""MNIST and Fashion-MNIST, four IDX files each, and the embedded digits.

The IDX files of both sets have the same names: the checksum tells them apart.
"""

import hashlib
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rotgrid.data.files import (
    DataError,
    download,
    existing,
    not_found,
    places,
    read,
    remedy,
    require_checksums,
)
from rotgrid.data.parts import Arrays, split
from rotgrid.spec.datasets import DATA

EMBEDDED = Path(__file__).parents[1] / "mnist5k.npz"
EMBEDDED_SHA256 = "0ff9037cec50993a3e8682a82ee65a5f11eca0511fc79b91a43ed1d042e0107e"


class IdxSet(NamedTuple):
    """Where the IDX files of a data set are, and what is in them."""

    layout: str
    """torchvision's folder."""
    mirrors: tuple[str, ...]
    sha256: dict[str, str]
    """Of the uncompressed files."""
    gzip_md5: dict[str, str]
    """Of the files as the mirrors serve them (as listed by torchvision)."""


IDX = {
    "mnist": IdxSet(
        "MNIST/raw",
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        {
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738"
            "ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5"
            "333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77"
            "db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351"
            "222c34898ecbeaf847f06e48f7ec33f2",
        },
        {
            "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    "fashion-mnist": IdxSet(
        "FashionMNIST/raw",
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://storage.googleapis.com/cvdf-datasets/fashion-mnist/",
        ),
        {
            "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f8388776"
            "8d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec29"
            "4ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe0"
            "87ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494"
            "c5af83dab82d92729df917d7dec38c34",
        },
        {
            "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
}


def read_mnist5k() -> Arrays:
    """The embedded digits: 3,500 / 500 / 1,000, each part balanced.

    Its test images come from MNIST's training file, so accuracy on them is not MNIST test
    accuracy.
    """
    try:
        content = EMBEDDED.read_bytes()
    except OSError as error:
        raise DataError(f"{EMBEDDED}: {error.strerror}; reinstall rotgrid") from error
    require_checksums(content, [f"sha256:{EMBEDDED_SHA256}"], EMBEDDED, "reinstall rotgrid")
    with np.load(io.BytesIO(content)) as arrays:
        return split("mnist5k", arrays["images"], arrays["labels"], ("train", "val", "test"))


def read_idx_set(name: str) -> Arrays:
    """MNIST or Fashion-MNIST: validation is the first 5,000 images of the training file, training
    the other 55,000."""
    files = [parse_idx(read_idx_file(name, file)) for file in IDX[name].sha256]
    images, labels = np.concatenate(files[::2]), np.concatenate(files[1::2])
    return split(name, images, labels, ("val", "train", "test"))


def read_idx_file(name: str, file: str) -> bytes:
    """The verified, uncompressed content of one of a set's four files."""
    source = IDX[name]
    checksum, todo = source.sha256[file], remedy(name)
    if not (folders := places(name, source.layout)):
        path = download(name, f"{file}.gz", source.mirrors, f"md5:{source.gzip_md5[file]}")
        todo = "delete it to download it again"
        return require_checksums(read(path, todo), [f"sha256:{checksum}"], path, todo)
    others = []
    for path in existing(folders, (file, f"{file}.gz")):
        content = read(path, todo)
        if owner := other_owner(content, name, file):
            others.append(f"; {path} is {DATA[owner].label}'s")
            continue
        return require_checksums(content, [f"sha256:{checksum}"], path, todo)
    raise not_found(name, f"{file} (or .gz)", folders, "".join(others))


def other_owner(content: bytes, name: str, file: str) -> str | None:
    """The other set that a file of this name belongs to, unless it is this set's."""
    found = hashlib.sha256(content).hexdigest()
    owners = [owner for owner, source in IDX.items() if source.sha256[file] == found]
    return None if name in owners else next(iter(owners), None)


def parse_idx(content: bytes) -> NDArray[Any]:
    """The unsigned-byte array of an IDX file, whose content has been verified."""
    dimensions = content[3]
    shape = np.frombuffer(content, ">i4", dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
