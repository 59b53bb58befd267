import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest

from analysis.stats import intervals


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_agrees_with_scipy(confidence):
    cases = [(k, n) for n in (1, 2, 7, 1_000, 10_000) for k in {0, 1, n // 3, n // 2, n - 1, n}]
    counts = pl.DataFrame(cases, schema=["n_correct", "n"], orient="row")
    lower, upper = intervals.wilson(confidence=confidence)
    ours = counts.select(lower=lower, upper=upper)
    for (k, n), interval in zip(cases, ours.iter_rows(), strict=True):
        theirs = binomtest(k, n).proportion_ci(confidence, method="wilson")
        assert interval == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_is_exact_at_the_ends_and_null_without_images():
    counts = pl.DataFrame({"n_correct": [0, 30, 0], "n": [30, 30, 0]})
    lower, upper = intervals.wilson()
    ends = counts.select(lower=lower, upper=upper)
    assert ends["lower"][0] == 0
    assert ends["upper"][1] == 1
    assert ends.row(2) == (None, None)


def newcombe(cells):
    counts = pl.DataFrame([cells], schema=intervals.CELLS, orient="row")
    lower, upper = intervals.newcombe()
    return counts.select(lower=lower, upper=upper).row(0)


def wilson(k, n):
    found = binomtest(k, n).proportion_ci(method="wilson")
    return found.low, found.high


@pytest.mark.parametrize("cells", [(36, 12, 2, 0), (20, 12, 2, 16), (54, 0, 0, 0), (2, 14, 0, 14)])
def test_newcombe_agrees_with_the_formula_written_out(cells):
    """Method 10 of Newcombe (1998), step by step with scipy's Wilson intervals."""
    a, b, c, d = cells
    n = sum(cells)
    p, q = (a + b) / n, (a + c) / n
    (l1, u1), (l2, u2) = wilson(a + b, n), wilson(a + c, n)
    product, margins = a * d - b * c, (a + b) * (c + d) * (a + c) * (b + d)
    numerator = max(product - n / 2, 0) if product > 0 else product
    phi = numerator / margins**0.5 if margins else 0.0
    below = (p - l1) ** 2 - 2 * phi * (p - l1) * (u2 - q) + (u2 - q) ** 2
    above = (u1 - p) ** 2 - 2 * phi * (u1 - p) * (q - l2) + (q - l2) ** 2
    assert newcombe(cells) == pytest.approx((p - q - below**0.5, p - q + above**0.5))


def test_newcombe_turns_round_with_the_networks():
    lower, upper = newcombe((500, 40, 10, 450))
    assert newcombe((500, 10, 40, 450)) == pytest.approx((-upper, -lower))


@pytest.mark.parametrize("shares", [(0.90, 0.03, 0.02, 0.05), (0.02, 0.06, 0.01, 0.91)])
def test_newcombe_covers_the_truth(shares):
    cells = np.random.default_rng(0).multinomial(500, shares, size=1_000)
    lower, upper = intervals.newcombe()
    counts = pl.DataFrame(cells, schema=intervals.CELLS)
    inside = counts.select((lower <= shares[1] - shares[2]) & (upper >= shares[1] - shares[2]))
    assert 0.93 <= inside.to_series().mean() <= 0.97
