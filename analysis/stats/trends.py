"""Does a number rise or fall with another? Slopes, rank correlations and tests by permutation."""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl

from analysis.stats.intervals import cdf
from analysis.stats.seeds import FEWEST

FEWEST_VALUES = 3
"""Values of x below which nothing is said of a trend."""
PERMUTATIONS = 50_000
"""Beyond so many orders (more than eight values) so many are drawn."""
SAME = 1e-9
"""Correlations that differ by less are the same."""


def slope_weights(x: Sequence[float]) -> list[float]:
    """What the least-squares slope against x weighs the value at each x by."""
    centred = np.asarray(x, dtype=float) - np.mean(x)
    return [float(weight) for weight in centred / (centred**2).sum()]


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Spearman's correlation, and the one-sided p-values that it is below and above 0: the share
    of the orders of y in which it is as low, or as high. 0 and 1, 1 if x or y is constant."""
    first, second = (ranks(values) - (len(values) + 1) / 2 for values in (x, y))
    if not (first.any() and second.any()):
        return 0.0, 1.0, 1.0
    scale = (first @ first * (second @ second)) ** 0.5
    value = float(first @ second / scale)
    every = second[orders(len(second))] @ first / scale
    drawn = int(len(every) != math.factorial(len(second)))  # the one observed is then added
    below, above = (
        (side + drawn) / (len(every) + drawn)
        for side in (int((every <= value + SAME).sum()), int((every >= value - SAME).sum()))
    )
    return value, below, above


def ranks(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """The place of each value from 1; equal ones have the mean of theirs."""
    return pl.Series(np.asarray(values, dtype=float)).rank().to_numpy()


@functools.cache
def orders(n: int) -> np.ndarray:
    """Every order of n places, a row each; of too many a random choice."""
    if math.factorial(n) <= PERMUTATIONS:
        return np.array(list(itertools.permutations(range(n))))
    return np.random.default_rng(0).permuted(np.tile(np.arange(n), (PERMUTATIONS, 1)), axis=1)


def rising(table: np.ndarray) -> float:
    """The p-value of Page's test that the columns of a table (seeds, x) rise (J. Am. Stat. Assoc.
    1963): exact for up to eight columns, else by its normal approximation."""
    m, n = table.shape
    places = np.arange(1, n + 1)
    sums = float(sum(ranks(row) @ places for row in table))
    if math.factorial(n) > PERMUTATIONS:
        mean, variance = m * n * (n + 1) ** 2 / 4, m * n**2 * (n + 1) ** 2 * (n - 1) / 144
        return float(cdf((mean - sums) / variance**0.5, 0.0, 1.0))
    one = np.bincount((orders(n) + 1) @ places) / math.factorial(n)
    every = functools.reduce(np.convolve, [one] * m)
    return float(every[math.ceil(sums) :].sum())


def words(rows: pl.DataFrame, y: str, which: Literal["rises", "falls"]) -> str:
    """A phrase on the trend of `y` against the range of training: the rank correlation of its
    means over seeds and, from three seeds that have every range, Page's test (which permutes the
    ranges of each seed); empty if there are too few ranges."""
    x = "train_rotation"
    means = rows.group_by(x).agg(pl.col(y).mean()).sort(x)
    if means.height < FEWEST_VALUES:
        return ""
    rank, *_ = rank_correlation(means[x].to_list(), means[y].to_list())
    table = rows.sort(x).pivot(x, index="seed", values=y).drop_nulls().drop("seed").to_numpy()
    found = f"rank correlation with the range {rank:+.2f}"
    if len(table) < FEWEST:
        return found
    p = rising(table if which == "rises" else -table)
    number = "p < 0.001" if p < 0.001 else f"p {p:.3f}"
    return f"{found}, Page's test that it {which} {number} ({len(table)} seeds)"
