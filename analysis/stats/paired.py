"""Networks on the same images: which of them got each image right, from the stored bits.

A pair of single networks is compared as textbooks do (McNemar, Newcombe); kinds of network of
which three seeds or more were trained are compared over seeds and images (`seeds.crossed`).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from analysis.stats import seeds
from analysis.stats.intervals import CELLS, newcombe
from analysis.stats.seeds import Estimate

Bits = Mapping[int, np.ndarray]
"""By seed, 1 for each image that is right and 0 for each that is wrong, in test order."""


class Comparison(NamedTuple):
    """First less second: the difference of two accuracies, with its 95% interval."""

    difference: float
    lower: float
    upper: float
    p_above: float
    """One-sided: small if the first is more accurate."""
    p_below: float
    n: int
    seeds: int


def mcnemar(only_first: int, only_second: int) -> tuple[float, float]:
    """One-sided p-values, small if the first, or if the second, network is right more often.

    Exact for any number of images on which they disagree (McNemar 1947 with the binomial
    distribution): it costs nothing, so that no approximation has to be defended.
    """
    from scipy.special import bdtr

    disagree = only_first + only_second
    return float(bdtr(only_second, disagree, 0.5)), float(bdtr(only_first, disagree, 0.5))


def bits(rows: pl.DataFrame) -> Bits:
    """Which images the network of each seed got right; rows without bits are left out.

    Raises:
        ValueError: there are two rows of one seed, so that unlike things would be mixed.
    """
    known = rows.drop_nulls("correct")
    if known["seed"].is_duplicated().any():
        raise ValueError("rows differ in more than the seed")
    return {
        seed: np.unpackbits(np.frombuffer(correct, dtype=np.uint8), count=n).astype(float)
        for seed, n, correct in known.select("seed", "n", "correct").iter_rows()
    }


def contrast(terms: Sequence[tuple[float, Bits, str]]) -> Estimate:
    """A weighted sum of accuracies over the seeds that all terms have. Each term names its arm:
    what one seed trains in two arms differs as much as what two seeds do.

    Raises:
        NotMeasured: no seed is common to all terms.
    """
    tables, arms = seeds.tables(terms)
    return seeds.crossed(tables, arms, pseudo=max(abs(weight) for weight, *_ in terms))


def compare(first: Bits, second: Bits, arms: tuple[str, str] = ("first", "second")) -> Comparison:
    """First less second over the seeds that both have: of one seed Newcombe's interval and
    McNemar's test, of more the mean with seeds and images as clusters (`contrast`).

    Raises:
        NotMeasured: no seed is common to both.
    """
    found = contrast([(1.0, first, arms[0]), (-1.0, second, arms[1])])
    lower, upper = found.interval()
    tests = found.p_above(), found.p_below()
    common = first.keys() & second.keys()
    seed = min(common)
    if len(common) == 1 and first[seed].size == second[seed].size:
        cells = counts(first[seed], second[seed])
        frame = pl.DataFrame([cells], schema=CELLS, orient="row")
        ((lower, upper),) = frame.select(*map(pl.Expr.alias, newcombe(), "ab")).iter_rows()
        tests = mcnemar(cells[1], cells[2])
    n = min(first[seed].size, second[seed].size)
    return Comparison(found.value, lower, upper, *tests, n, found.seeds)


def counts(first: np.ndarray, second: np.ndarray) -> tuple[int, int, int, int]:
    """How many images both, only the first, only the second, and neither got right."""
    both = int((first * second).sum())
    only_first, only_second = int(first.sum()) - both, int(second.sum()) - both
    return both, only_first, only_second, first.size - both - only_first - only_second


def differences(
    rows: pl.DataFrame, first: pl.Expr, second: pl.Expr, conditions: Sequence[str]
) -> pl.DataFrame:
    """`compare` of the rows that `first` selects with those that `second` does, a row per
    condition that both have, sorted; `p` is two-sided."""
    found = []
    for key, part in rows.drop_nulls("correct").group_by(conditions):
        left, right = bits(part.filter(first)), bits(part.filter(second))
        if not left.keys() & right.keys():
            continue
        one = compare(left, right)
        p = min(1.0, 2 * min(one.p_above, one.p_below))
        found.append([*key, *one[:3], p, one.n, one.seeds])
    schema = {name: rows.schema[name] for name in conditions}
    schema |= dict.fromkeys(("difference", "lower", "upper", "p"), pl.Float64())
    schema |= {"n": pl.Int64(), "seeds": pl.Int64()}
    return pl.DataFrame(found, schema=schema, orient="row").sort(conditions)
