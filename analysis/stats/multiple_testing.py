"""Several tests at once."""

from collections.abc import Sequence


def holm(p: Sequence[float], tests: int | None = None) -> list[float]:
    """The p-values, adjusted for a family of `tests` (default: these): those below 0.05 are
    together wrong with a probability of at most 0.05 (Holm, Scand. J. Statist. 1979).

    Tests of the family that are not among them count as undecided, so that when their p-values
    come, no adjusted one grows.
    """
    tests = len(p) if tests is None else tests
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, at in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, p[at] * (tests - rank)))
        adjusted[at] = largest
    return adjusted
