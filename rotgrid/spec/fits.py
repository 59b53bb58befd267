"""Which images an architecture takes, known where no network is built.

What the functions return tells of a shape what is wrong with it: one plain sentence whose subject,
the model, is left out, or "" if nothing is.
"""

import itertools
from collections.abc import Callable
from typing import TypeAlias

from rotgrid.spec.datasets import Shape

Fits: TypeAlias = Callable[[Shape], str]


def any_shape(shape: Shape) -> str:
    """Images of any shape, as far as is known."""
    return ""


def at_least(least: int) -> Fits:
    """Images of `least` rows and columns or more."""

    def problem(shape: Shape) -> str:
        if shape.size >= least:
            return ""
        return f"takes images of {least} x {least} pixels or more"

    return problem


def even_pools(least: int, taken: tuple[int, ...]) -> Fits:
    """Images of `least` rows and columns or more, all of whose pools halve maps of an even size.

    A pool of an odd map leaves its last row and column out, which a rotation by 90 degrees does
    not leave where they are.

    Args:
        least: rows and columns of the smallest images of which something is left.
        taken: rows and columns that the layers before each pool take off.
    """

    def problem(shape: Shape) -> str:
        odd = odd_map(shape.size, taken)
        if not odd or shape.size < least:
            return at_least(least)(shape)
        start = max(least, shape.size - 2 ** len(taken))
        sizes = (str(size) for size in itertools.count(start) if not odd_map(size, taken))
        return (
            f"pools {odd} x {odd} maps by 2 x 2, which is not the same after a rotation by 90 "
            f"degrees: sizes {', '.join(itertools.islice(sizes, 3))}, ... work"
        )

    return problem


def odd_map(size: int, taken: tuple[int, ...]) -> int:
    """The size of the first map that a pool cannot halve; 0 if there is none."""
    for rows in taken:
        size -= rows
        if size % 2:
            return size
        size //= 2
    return 0
