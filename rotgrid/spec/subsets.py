"""Which images a stratified subset has."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def stratified_subset(labels: NDArray[Any], size: int) -> NDArray[np.intp]:
    """Indices (ascending) of a stratified subset; the one of a smaller size lies within it.

    Each class has its share to within one image, and the same labels have the same subset.
    """
    if size >= len(labels):
        return np.arange(len(labels))
    rng = np.random.RandomState(0)
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = (rng.permutation(len(members)) + 0.5) / len(members)
    return np.sort(np.lexsort((labels, rank))[:size])
