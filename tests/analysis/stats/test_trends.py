"""Trends with known answers, and that of scipy for everything."""

import itertools

import numpy as np
import polars as pl
import pytest
from scipy import stats

from analysis.stats import trends

X = [0.0, 15.0, 30.0, 60.0, 180.0]


def long(table, x=X):
    """Rows of a table (seeds, x)."""
    cells = [(s, x[i], float(v)) for s, line in enumerate(table) for i, v in enumerate(line)]
    return pl.DataFrame(cells, schema=["seed", "train_rotation", "y"], orient="row")


def test_slope_weights_are_least_squares():
    line = 0.9 - 0.001 * np.array(X) + np.random.default_rng(0).normal(0, 0.05, 5)
    assert line @ trends.slope_weights(X) == pytest.approx(stats.linregress(X, line).slope)


def test_a_perfect_order_of_six_is_one_of_720():
    rank, below, above = trends.rank_correlation(range(6), [9, 7, 5, 4, 2, 1])
    assert rank == pytest.approx(-1)
    assert below == pytest.approx(1 / 720)
    assert above == pytest.approx(1)


@pytest.mark.parametrize("y", [[3, 1, 2, 5, 4], [1, 1, 2, 2, 3], [2, 2, 2, 2, 1]])
def test_the_test_is_over_all_orders(y):
    rank, below, above = trends.rank_correlation(range(5), y)
    all_orders = [stats.spearmanr(range(5), of).statistic for of in itertools.permutations(y)]
    assert rank == pytest.approx(stats.spearmanr(range(5), y).statistic)
    assert below == pytest.approx(np.mean([of <= rank + 1e-9 for of in all_orders]))
    assert above == pytest.approx(np.mean([of >= rank - 1e-9 for of in all_orders]))


def test_of_many_values_orders_are_drawn():
    _, below, above = trends.rank_correlation(range(14), range(14))
    assert (below, above) == (1, pytest.approx(1 / (trends.PERMUTATIONS + 1)))


def test_what_is_constant_goes_with_nothing():
    assert trends.rank_correlation([1, 2, 3], [5, 5, 5]) == (0, 1, 1)


@pytest.mark.parametrize(
    ("seeds", "said"),
    [(1, ""), (2, ""), (3, ", Page's test that it falls p < 0.001 (3 seeds)")],
)
def test_words_test_nothing_below_three_seeds(seeds, said):
    line = 0.9 - 0.001 * np.array(X)
    words = trends.words(long([line] * seeds), "y", "falls")
    assert words == f"rank correlation with the range -1.00{said}"


@pytest.mark.parametrize("shape", [(3, 3), (5, 8), (12, 4), (4, 9)])
def test_pages_test_is_that_of_scipy(shape):
    for seed in range(4):
        table = np.random.default_rng(seed).normal(size=shape) + 0.1 * np.arange(shape[1])
        assert trends.rising(table) == pytest.approx(stats.page_trend_test(table).pvalue)


def test_pages_test_of_all_alike_finds_nothing():
    assert trends.rising(np.full((3, 4), 0.5)) > 0.5


def test_seeds_that_lack_a_range_are_not_tested():
    table = np.random.default_rng(0).normal(size=(4, 5))
    lacking = long(table).filter((pl.col("seed") != 2) | (pl.col("train_rotation") != 30))
    theirs = stats.page_trend_test(table[[0, 1, 3]]).pvalue
    assert f"rises p {theirs:.3f} (3 seeds)" in trends.words(lacking, "y", "rises")


def test_two_ranges_are_no_trend():
    assert trends.words(long([[0.9, 0.5]] * 3, X[:2]), "y", "falls") == ""
