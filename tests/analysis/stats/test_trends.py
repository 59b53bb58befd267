"""Trends with known answers, and that of scipy for everything."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from analysis.stats import trends

X = [0.0, 15.0, 30.0, 60.0, 180.0]


def long(table, x=X):
    """Rows of a table (seeds, x)."""
    cells = [(s, x[i], float(v)) for s, line in enumerate(table) for i, v in enumerate(line)]
    schema = ["seed", "train_rotation", "y"]
    return pl.DataFrame(cells, schema=schema, orient="row").with_columns(model=pl.lit("gcnn"))


def found(rows):
    return trends.trend(rows, "train_rotation", "y", ["model"]).row(0, named=True)


def test_slopes_and_ranks_are_scipys():
    draw = np.random.default_rng(0)
    table = 0.9 - 0.001 * np.array(X) + draw.normal(0, 0.05, (4, 5))
    one = found(long(table))
    slopes = [stats.linregress(X, line).slope for line in table]
    theirs = stats.ttest_1samp(slopes, 0).confidence_interval(0.95)
    assert one["slope"] == pytest.approx(np.mean(slopes))
    assert (one["lower"], one["upper"]) == pytest.approx((theirs.low, theirs.high))
    assert one["rank"] == pytest.approx(stats.spearmanr(X, table.mean(0)).statistic)
    assert table[0] @ trends.slope_weights(X) == pytest.approx(slopes[0])


def test_theil_sen_and_page_are_scipys():
    table = np.random.default_rng(0).normal(size=(4, 5)) - 0.02 * np.array(X)
    one = found(long(table))
    line = stats.theilslopes(table.mean(0), X)
    for name, theirs in zip(
        trends.TESTS, (line.slope, line.low_slope, line.high_slope), strict=False
    ):
        assert one[name] == pytest.approx(theirs)
    assert one["p_rises"] == pytest.approx(stats.page_trend_test(table).pvalue)
    falling = stats.page_trend_test(table, predicted_ranks=[5, 4, 3, 2, 1]).pvalue
    assert one["p_falls"] == pytest.approx(falling)
    assert one["blocks"] == 4


def test_of_two_seeds_that_rise_alike_one_order_in_36_does():
    one = found(long([[1, 2, 3], [4, 5, 9]], X[:3]))
    assert one["p_rises"] == pytest.approx(1 / 36)
    assert one["p_falls"] == pytest.approx(1)
    assert one["rank"] == pytest.approx(1)


def test_one_wild_range_does_not_move_the_slope_of_theil_and_sen():
    line = 0.9 - 0.001 * np.array(X)
    wild = line.copy()
    wild[2] = 0.1
    assert found(long([line, line]))["theil_sen"] == pytest.approx(-0.001)
    assert found(long([wild, wild]))["theil_sen"] == pytest.approx(-0.001)
    assert found(long([wild, wild]))["slope"] != pytest.approx(-0.001, rel=0.05)


def test_seeds_that_lack_a_range_are_no_blocks():
    rows = long(np.random.default_rng(0).normal(size=(4, 5)))
    lacking = rows.filter((pl.col("seed") != 2) | (pl.col("train_rotation") != 30))
    assert found(lacking)["blocks"] == 3
    assert found(lacking.filter(pl.col("seed") >= 2))["p_falls"] is None


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        (1, "one seed: no test over seeds"),
        (2, "Page's test that it falls p < 0.001 (2 seeds, these networks only)"),
        (3, "Page's test that it falls p < 0.001 (3 seeds)"),
    ],
)
def test_words_say_what_few_seeds_are_worth(seeds, said):
    line = 0.9 - 0.001 * np.array(X)
    words = trends.words(long([line] * seeds), "y", "falls")
    assert words == (
        f"Theil-Sen -18.0 points from 0 to 180° [-18.0, -18.0], rank correlation -1.00, {said}"
    )


def test_two_ranges_are_no_trend():
    assert trends.words(long([[0.9, 0.5]] * 3, X[:2]), "y", "falls") == ""
