"""The parts of a data set as arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotgrid.spec.archives import KEYS
from rotgrid.spec.datasets import DATA

Arrays = dict[str, NDArray[Any]]
"""By the keys of `KEYS`: images uint8 (n, channels, size, size), labels int64 (n,)."""

__all__ = ["KEYS", "Arrays", "split"]


def split(
    name: str, images: NDArray[np.uint8], labels: NDArray[Any], order: Sequence[str]
) -> Arrays:
    """The parts of a set, which follow each other in that order, as many images as its entry
    says; images may lack the axis of channels."""
    arrays: Arrays = {}
    start = 0
    for part in order:
        stop = start + getattr(DATA[name], part)
        chosen = images[start:stop]
        arrays[f"{part}_images"] = chosen if chosen.ndim == 4 else chosen[:, None]
        arrays[f"{part}_labels"] = labels[start:stop].astype(np.int64)
        start = stop
    return arrays
