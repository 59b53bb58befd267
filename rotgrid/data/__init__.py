"""MNIST as tensors: the embedded 5,000 digits, or the full set; fixed splits, nested subsets.

`mnist5k` ships with the package. `mnist` comes from the folder `ROTGRID_DATA`, or else is
downloaded once into the user's cache. Whatever its way here, a file whose SHA-256 is wrong is
refused: there is no fall-back to other data.
"""

import gzip
import hashlib
import io
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pooch
import torch
from torch import Tensor

from rotgrid.results.failures import MachineError
from rotgrid.spec import entry_named
from rotgrid.spec.datasets import DATA, DataName, Shape

EMBEDDED = Path(__file__).parents[1] / "mnist5k.npz"
EMBEDDED_SHA256 = "0ff9037cec50993a3e8682a82ee65a5f11eca0511fc79b91a43ed1d042e0107e"

SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Of the four uncompressed files of MNIST."""

GZIP_MD5 = {
    "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
}
"""Of the files as the mirrors serve them (as listed by torchvision)."""

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


class DataError(MachineError):
    """Data are missing or damaged; the message names the file and what to do."""


@dataclass(frozen=True)
class Dataset:
    """Images uint8 (n, 1, 28, 28) and labels int64 (n,), all on one device."""

    name: DataName
    train_images: Tensor
    train_labels: Tensor
    val_images: Tensor
    val_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    @property
    def shape(self) -> "Shape":
        """Of the images."""
        return DATA[self.name].shape

    def to(self, device: torch.device | str) -> "Dataset":
        """The same on another device."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "name"}
        return replace(self, **{name: tensor.to(device) for name, tensor in tensors.items()})


_provided: dict[str, Dataset] = {}
"""At most one."""


def arrays(dataset: Dataset) -> dict[str, np.ndarray]:
    """The images and labels of a data set as arrays, by name: what `provide` takes."""
    names = [f.name for f in fields(dataset) if f.name != "name"]
    return {name: getattr(dataset, name).cpu().numpy() for name in names}


def provide(name: DataName, content: Mapping[str, np.ndarray]) -> None:
    """Let `load` in this process give this content, which another process has verified, and no
    other that was given before.

    Nothing is copied: the arrays may be read-only and shared with other processes, and rotgrid
    never writes into a data set.
    """
    _provided.clear()
    _provided[name] = Dataset(name, **{k: tensor(array) for k, array in content.items()})


def tensor(array: np.ndarray) -> Tensor:
    """A tensor of the same memory, which must not be written to; torch cannot forbid it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(array)


def load(name: DataName) -> Dataset:
    """A data set by name, on the CPU. The split is by index and never changes.

    `mnist`: validation is the first 5,000 images of the training file, training the other
    55,000. `mnist5k`: 3,500 / 500 / 1,000, each balanced; its test images come from MNIST's
    training file, so accuracy on them is not MNIST test accuracy.

    Raises:
        ValueError: there is no such data set.
        DataError: data are missing, truncated or corrupt.
    """
    if entry_named(name, DATA) is None:
        raise ValueError(f"no data set {name!r}; choose from {', '.join(DATA)}")
    if name in _provided:
        return _provided[name]
    images, labels, order = READERS[name]()
    parts: dict[str, Tensor] = {}
    start = 0
    for part in order:
        stop = start + getattr(DATA[name], part)
        parts[f"{part}_images"] = torch.from_numpy(images[start:stop].copy()).unsqueeze(1)
        parts[f"{part}_labels"] = torch.from_numpy(labels[start:stop].astype(np.int64))
        start = stop
    return Dataset(name, **parts)


Content = tuple[np.ndarray, np.ndarray, tuple[str, ...]]
"""Images (n, height, width), labels (n,), and the parts that follow each other in them."""


def read_mnist5k() -> Content:
    """The embedded digits."""
    try:
        content = EMBEDDED.read_bytes()
    except OSError as error:
        raise DataError(f"{EMBEDDED}: {error.strerror}; reinstall rotgrid") from error
    require_sha256(content, EMBEDDED_SHA256, str(EMBEDDED), "reinstall rotgrid")
    with np.load(io.BytesIO(content)) as arrays:
        return arrays["images"], arrays["labels"], ("train", "val", "test")


def read_mnist() -> Content:
    """The four files of MNIST."""
    files = [parse_idx(read_mnist_file(file)) for file in SHA256]
    images, labels = np.concatenate(files[::2]), np.concatenate(files[1::2])
    return images, labels, ("val", "train", "test")


READERS: dict[DataName, Callable[[], Content]] = {"mnist5k": read_mnist5k, "mnist": read_mnist}
"""What reads each data set."""


def read_mnist_file(name: str) -> bytes:
    """The verified, uncompressed content of one of MNIST's four files."""
    if folder := os.environ.get("ROTGRID_DATA"):
        return read_local(Path(folder), name)
    return download(name)


def read_local(folder: Path, name: str) -> bytes:
    """One file of `ROTGRID_DATA`, plain or gzipped."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            remedy = "replace it, or unset ROTGRID_DATA to download MNIST"
            content = decompress(path, remedy) if path.suffix == ".gz" else path.read_bytes()
            return require_sha256(content, SHA256[name], str(path), remedy)
    raise DataError(
        f"{folder / name}: not found, nor with .gz; ROTGRID_DATA should name a folder with "
        f"{', '.join(SHA256)} (plain or .gz), or be unset to download MNIST"
    )


def download(name: str) -> bytes:
    """One file from the cache, or from the first mirror that serves it intact."""
    remedy = "set ROTGRID_DATA to a folder that holds MNIST's four files"
    errors = []
    for mirror in MIRRORS:
        try:
            path = pooch.retrieve(
                mirror + f"{name}.gz",
                known_hash=f"md5:{GZIP_MD5[name]}",
                fname=f"{name}.gz",
                path=pooch.os_cache("rotgrid"),
            )
            return require_sha256(decompress(Path(path), remedy), SHA256[name], path, remedy)
        except (OSError, ValueError, DataError) as error:  # requests' errors are OSErrors
            errors.append(f"{mirror}: {error}")
    raise DataError(f"{name}: cannot be downloaded; {remedy}\n  " + "\n  ".join(errors))


def decompress(path: Path, remedy: str) -> bytes:
    """The content of a gzip file."""
    try:
        with gzip.open(path) as file:
            return file.read()
    except (OSError, EOFError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise DataError(f"{path}: truncated or not gzip ({error}); {remedy}") from error


def require_sha256(content: bytes, sha256: str, path: str, remedy: str) -> bytes:
    """`content` if it has that hash."""
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(
            f"{path}: corrupt: {len(content):,} bytes with SHA-256 {found}, not {sha256}; {remedy}"
        )
    return content


def parse_idx(content: bytes) -> np.ndarray:
    """The unsigned-byte array of an IDX file, whose content has been verified."""
    dimensions = content[3]
    shape = np.frombuffer(content, ">i4", dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def subset(labels: Tensor, size: int) -> Tensor:
    """Indices (ascending) of a stratified subset; the one of a smaller size lies within it.

    Each class has its share to within one image. The same for every seed: what a `train_size`
    or `n_images` selects is part of the question, not of the noise.
    """
    classes = labels.cpu().numpy()
    if size >= len(classes):
        return torch.arange(len(classes), device=labels.device)
    rng = np.random.RandomState(0)
    rank = np.empty(len(classes))
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        rank[members] = (rng.permutation(len(members)) + 0.5) / len(members)
    chosen = np.sort(np.lexsort((classes, rank))[:size])
    return torch.from_numpy(chosen).to(labels.device)


def pixels(images: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1]."""
    return images.float() / 255
