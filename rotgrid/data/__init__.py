"""Images as tensors by name of a data set: fixed splits, nested subsets.

`mnist5k` ships with the package. Files of the others come from the folder `ROTGRID_DATA`, or else
are downloaded once into the user's cache; `name.npz` is a file of the user's own. Whatever its
way here, a file whose checksum is wrong is refused: there is no fall-back to other data.
"""

import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rotgrid.data.cifar10 import read_cifar10
from rotgrid.data.files import DataError
from rotgrid.data.mnist import read_idx_set, read_mnist5k
from rotgrid.data.mnist_rot import read_mnist_rot
from rotgrid.data.own import read_own
from rotgrid.data.parts import KEYS, Arrays
from rotgrid.spec import entry_named
from rotgrid.spec.datasets import DATA, DataName, Shape
from rotgrid.spec.entries import is_own
from rotgrid.spec.subsets import stratified_subset

__all__ = ["DataError", "Dataset", "arrays", "load", "pixels", "provide", "subset", "tensor"]

READERS: dict[str, Callable[[], Arrays]] = {
    "mnist5k": read_mnist5k,
    "mnist": functools.partial(read_idx_set, "mnist"),
    "fashion-mnist": functools.partial(read_idx_set, "fashion-mnist"),
    "mnist-rot": read_mnist_rot,
    "cifar10": read_cifar10,
}
"""What reads each data set."""


@dataclass(frozen=True)
class Dataset:
    """Images uint8 (n, channels, size, size) and labels int64 (n,), all on one device."""

    name: DataName
    shape: Shape
    train_images: Tensor
    train_labels: Tensor
    val_images: Tensor
    val_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    def to(self, device: torch.device | str) -> "Dataset":
        """The same on another device."""
        return replace(self, **{key: getattr(self, key).to(device) for key in KEYS})


_provided: dict[str, Dataset] = {}
"""At most one."""


def arrays(dataset: Dataset) -> dict[str, Any]:
    """The images and labels of a data set as arrays, and its `shape`, by name: what `provide`
    takes."""
    content = {key: getattr(dataset, key).cpu().numpy() for key in KEYS}
    return {"shape": dataset.shape, **content}


def provide(name: DataName, content: Mapping[str, Any]) -> None:
    """Let `load` in this process give this content, which another process has verified, and no
    other that was given before.

    Nothing is copied: the arrays may be read-only and shared with other processes, and rotgrid
    never writes into a data set. Files of the set need not be here.
    """
    _provided.clear()
    _provided[name] = of_arrays(name, content["shape"], content)


def of_arrays(name: DataName, shape: Shape, content: Mapping[str, Any]) -> Dataset:
    """A data set of arrays, which are not copied."""
    return Dataset(name, shape, **{key: tensor(content[key]) for key in KEYS})


def tensor(array: np.ndarray) -> Tensor:
    """A tensor of the same memory, which must not be written to; torch cannot forbid it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(array)


def load(name: DataName) -> Dataset:
    """A data set by name, on the CPU. The split is by index and never changes: each reader of
    `READERS` says its own. A name that ends with `.npz` is a file of the user's.

    Raises:
        ValueError: there is no such data set.
        DataError: data are missing, truncated or corrupt.
    """
    if name in _provided:
        return _provided[name]
    if is_own(name):
        return of_arrays(name, *read_own(name))
    if entry_named(name, DATA) is None:
        raise ValueError(f"no data set {name!r}; choose from {', '.join(DATA)}")
    return of_arrays(name, DATA[name].shape, READERS[name]())


def subset(labels: Tensor, size: int) -> Tensor:
    """Indices (ascending) of a stratified subset; the one of a smaller size lies within it.

    Each class has its share to within one image. The same for every seed: what a `train_size`
    or `n_images` selects is part of the question, not of the noise.
    """
    return torch.from_numpy(stratified_subset(labels.cpu().numpy(), size)).to(labels.device)


def pixels(images: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1]."""
    return images.float() / 255
