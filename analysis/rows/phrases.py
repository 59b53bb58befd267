"""Numbers and names as phrases of a sentence."""

from collections.abc import Sequence

import polars as pl


def plural(counts: pl.Series, noun: str) -> str:
    """`1 step`, `10 to 40 steps`."""
    return f"{span(counts)} {noun}{'' if counts.max() == 1 else 's'}"


def span(values: pl.Series) -> str:
    """The one value, or the least and the greatest."""
    ends = values.min(), values.max()
    words = [f"{v:,}" if isinstance(v, int) else format(v, "g") for v in ends]
    return words[0] if words[0] == words[1] else f"{words[0]} to {words[1]}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
