"""Does a number rise or fall with another? Slopes, rank correlations and tests by permutation."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import polars as pl

from analysis.stats.seeds import FEWEST

FEWEST_VALUES = 3
"""Values of x below which nothing is said of a trend."""
PERMUTATIONS = 50_000
"""Beyond so many orders (more than eight values) so many are drawn."""


def slope_weights(x: Sequence[float]) -> list[float]:
    """What the least-squares slope against x weighs the value at each x by."""
    centred = np.asarray(x, dtype=float) - np.mean(x)
    return [float(weight) for weight in centred / (centred**2).sum()]


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Spearman's correlation, and the one-sided p-values that it is below and above 0: the share
    of the orders of y in which it is as low, or as high. 0 and 1, 1 if x or y is constant."""
    from scipy.stats import permutation_test, rankdata

    ranks, others = rankdata(x), rankdata(y)
    if np.ptp(ranks) == 0 or np.ptp(others) == 0:
        return 0.0, 1.0, 1.0

    def correlation(order: Any, axis: int = -1) -> Any:  # noqa: ANN401  # as scipy calls it
        return ((order - order.mean()) * (others - others.mean())).sum(axis) / (
            len(others) * ranks.std() * others.std()
        )

    below, above = (
        permutation_test(
            (ranks,),
            correlation,
            permutation_type="pairings",
            vectorized=True,
            n_resamples=PERMUTATIONS,
            alternative=side,
            rng=np.random.default_rng(0),
        )
        for side in ("less", "greater")
    )
    return float(below.statistic), float(below.pvalue), float(above.pvalue)


def words(rows: pl.DataFrame, y: str, which: Literal["rises", "falls"]) -> str:
    """A phrase on the trend of `y` against the range of training: the rank correlation of its
    means over seeds and, from three seeds that have every range, Page's test (which permutes the
    ranges of each seed); empty if there are too few ranges."""
    from scipy.stats import page_trend_test

    x = "train_rotation"
    means = rows.group_by(x).agg(pl.col(y).mean()).sort(x)
    if means.height < FEWEST_VALUES:
        return ""
    rank, *_ = rank_correlation(means[x].to_list(), means[y].to_list())
    table = rows.sort(x).pivot(x, index="seed", values=y).drop_nulls().drop("seed").to_numpy()
    found = f"rank correlation with the range {rank:+.2f}"
    if len(table) < FEWEST:
        return found
    p = float(page_trend_test(table if which == "rises" else -table).pvalue)
    number = "p < 0.001" if p < 0.001 else f"p {p:.3f}"
    return f"{found}, Page's test that it {which} {number} ({len(table)} seeds)"
