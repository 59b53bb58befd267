"""What the arrays of an `.npz` file of the user's have to be: each mistake in a plain sentence."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PARTS = ("train", "val", "test")
CONVERT = "`rotgrid data make` converts it"


class Header(NamedTuple):
    """What the file says of one array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def require_images(headers: Mapping[str, Header]) -> tuple[dict[str, int], int, int]:
    """The images of each part, their channels, and their rows, from headers that are right."""
    forms = {}
    for part in PARTS:
        shape = image_shape(f"{part}_images", headers[f"{part}_images"])
        forms[part] = shape[1:]
        if forms[part] != forms["train"]:
            raise ValueError(
                f"{part}_images: its images are {form(forms[part])}, those of train_images "
                f"{form(forms['train'])}; all parts need the same"
            )
    channels, side, _ = forms["train"]
    return {part: headers[f"{part}_images"].shape[0] for part in PARTS}, channels, side


def image_shape(key: str, header: Header) -> tuple[int, int, int, int]:
    """(n, channels, size, size) of an array of images; raises ValueError if it is none."""
    shape, dtype = header
    expected = "expected uint8 (n, size, size) or (n, channels, size, size)"
    if dtype.hasobject:
        raise ValueError(f"{key}: holds pickled objects, which are never read; {expected}")
    if dtype != np.uint8:
        raise ValueError(f"{key}: is {dtype}; expected uint8 from 0 to 255; {CONVERT}")
    if len(shape) not in (3, 4) or 0 in shape:
        raise ValueError(f"{key}: has the shape {shape}; {expected}")
    n, channels, rows, columns = shape if len(shape) == 4 else (shape[0], 1, *shape[1:])
    if rows != columns and channels == rows:
        raise ValueError(
            f"{key}: has the shape {shape}, channels last; expected (n, channels, size, size); "
            f"transpose it (0, 3, 1, 2), or {CONVERT}"
        )
    if rows != columns:
        raise ValueError(f"{key}: its images are {rows} x {columns}; they should be square")
    return n, channels, rows, columns


def form(sizes: tuple[int, ...]) -> str:
    """Sizes in words: `3 x 32 x 32`."""
    return " x ".join(map(str, sizes))


def require_label_headers(headers: Mapping[str, Header], counts: Mapping[str, int]) -> None:
    """Raise ValueError unless each part has an integer label for each image."""
    for part in PARTS:
        key, (shape, dtype) = f"{part}_labels", headers[f"{part}_labels"]
        if dtype.hasobject:
            raise ValueError(f"{key}: holds pickled objects, which are never read")
        if dtype.kind not in "iu":
            raise ValueError(f"{key}: is {dtype}; expected integers from 0")
        if shape != (counts[part],):
            raise ValueError(
                f"{key}: has the shape {shape}; expected ({counts[part]},), one label for each "
                f"of {part}_images"
            )


def count_classes(labels: Mapping[str, NDArray[Any]]) -> int:
    """1 + the greatest label of all parts; each class needs a training image."""
    for part in PARTS:
        if (least := int(labels[part].min())) < 0:
            raise ValueError(f"{part}_labels: {least} is negative; labels count from 0")
    classes = 1 + max(int(labels[part].max()) for part in PARTS)
    present = np.unique(labels["train"])
    if len(present) < classes:
        places = np.flatnonzero(present != np.arange(len(present)))
        missing = int(places[0]) if len(places) else len(present)
        raise ValueError(
            f"train_labels: class {missing} of 0 to {classes - 1} has no training image"
        )
    if classes < 2:
        raise ValueError("train_labels: all are 0; expected two classes or more")
    return classes
