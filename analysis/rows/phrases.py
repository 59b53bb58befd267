"""Numbers and names as phrases of a sentence."""

from collections.abc import Sequence

import polars as pl

from rotgrid.spec.entries import is_own


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


def kind(model: str, variant: object) -> str:
    """`gcnn table1`; only the model where the variant has no name."""
    return f"{model} {variant}".rstrip()


def capitalised(line: str) -> str:
    """A line with a capital first letter, unless it begins with a name of the user's own."""
    first = line.partition(" ")[0].rstrip(",;.:")
    return line if is_own(first) else line[:1].upper() + line[1:]
