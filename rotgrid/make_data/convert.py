"""Arrays as people have them to the arrays of an `.npz` file, and the file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotgrid.spec.archive_checks import PARTS, form
from rotgrid.spec.archives import describe, moments
from rotgrid.spec.datasets import DataSet
from rotgrid.spec.subsets import stratified_subset

Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images (n, channels, size, size) and labels (n,)."""


def as_images(array: NDArray[Any], what: str) -> NDArray[np.uint8]:
    """uint8 (n, channels, size, size) of whole numbers from 0 to 255 or floats in [0, 1].

    The axis of channels may be missing, or the last. Floats are rounded to 256 levels.

    Raises:
        ValueError: it is neither; the message names `what`.
    """
    return as_bytes(channels_first(array, what), what)


def channels_first(array: NDArray[Any], what: str) -> NDArray[Any]:
    """(n, channels, size, size) of (n, size, size), (n, channels, size, size) or (n, size, size,
    channels)."""
    shape = array.shape
    if len(shape) == 3:
        array = array[:, None]
    elif len(shape) == 4 and shape[1] == shape[2] != shape[3]:
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[2] != array.shape[3] or 0 in shape:
        raise ValueError(
            f"{what}: has the shape {shape}; expected square images (n, size, size), "
            "(n, channels, size, size) or (n, size, size, channels)"
        )
    return array


def as_bytes(array: NDArray[Any], what: str) -> NDArray[np.uint8]:
    """Pixels from 0 to 255."""
    if array.dtype.kind not in "uif":
        raise ValueError(f"{what}: is {array.dtype}; expected whole numbers or floats")
    least, most = float(array.min()), float(array.max())
    limit = 1 if array.dtype.kind == "f" else 255
    if not 0 <= least <= most <= limit:
        raise ValueError(
            f"{what}: {array.dtype} from {least:g} to {most:g}; expected floats in [0, 1], or "
            "whole numbers from 0 to 255"
        )
    if array.dtype.kind == "f":
        array = np.rint(array * array.dtype.type(255))
    return np.ascontiguousarray(array, dtype=np.uint8)


def as_labels(array: NDArray[Any], what: str) -> NDArray[np.int64]:
    """int64 (n,) of whole numbers (n,) or (n, 1)."""
    flat = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
    if flat.ndim != 1 or flat.dtype.kind not in "uif" or not np.all(flat == np.rint(flat)):
        raise ValueError(
            f"{what}: {array.dtype} {array.shape}; expected whole numbers (n,) that count from 0"
        )
    return flat.astype(np.int64)


def with_validation(parts: Mapping[str, Labelled], size: int | None) -> dict[str, Labelled]:
    """All parts; validation, if there is none, is taken from training.

    It is the stratified subset of `rotgrid.spec.subsets`, the same for the same labels: `size`
    images, or a tenth and at most 5,000.
    """
    if "val" in parts:
        if size is not None:
            raise ValueError("--val-size: there are validation images already")
        return {part: parts[part] for part in PARTS}
    images, labels = parts["train"]
    size = min(len(labels) // 10, 5_000) if size is None else size
    if not 0 < size < len(labels):
        raise ValueError(
            f"--val-size: {size:,} of {len(labels):,} training images; choose one image or more, "
            "and leave some for training"
        )
    chosen = np.zeros(len(labels), bool)
    chosen[stratified_subset(labels, size)] = True
    return {
        "train": (images[~chosen], labels[~chosen]),
        "val": (images[chosen], labels[chosen]),
        "test": parts["test"],
    }


def write(parts: Mapping[str, Labelled], out: Path) -> DataSet:
    """Write an `.npz` file if its content is as it should be; what it holds.

    Equal content is an equal file.

    Raises:
        ValueError: the content is not as it should be, or the file cannot be written.
    """
    content: dict[str, Any] = {}
    for part, (images, labels) in parts.items():
        content |= {f"{part}_images": images, f"{part}_labels": labels}
    content["mean"], content["std"] = moments(content["train_images"])
    unfinished = out.with_name(f".{os.getpid()}.{out.name}")
    try:
        np.savez_compressed(unfinished, **content)
        found = describe(unfinished)
        unfinished.replace(out)
    except ValueError as error:
        raise ValueError(str(error).replace(f"{unfinished.absolute()}: ", "")) from error
    except OSError as error:
        raise ValueError(f"{out}: cannot be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return found


def summary(found: DataSet) -> str:
    """What a file holds, in a line."""
    shape = found.shape
    counts = ", ".join(f"{part} {getattr(found, part):,}" for part in PARTS)
    sizes = form((shape.channels, shape.size, shape.size))
    return f"{counts} images of {sizes}, {shape.classes} classes"
