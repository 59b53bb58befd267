import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest

from analysis.stats import paired
from rotgrid.spec import Probe, Trial

from made_up import frame, row

GCNN, STDCNN = pl.col("model") == "gcnn", pl.col("model") == "stdcnn"


def newcombe(cells):
    counts = pl.DataFrame([cells], schema=paired.CELLS, orient="row")
    lower, upper = paired.newcombe()
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
    lower, upper = paired.newcombe()
    counts = pl.DataFrame(cells, schema=paired.CELLS)
    inside = counts.select((lower <= shares[1] - shares[2]) & (upper >= shares[1] - shares[2]))
    assert 0.93 <= inside.to_series().mean() <= 0.97


@pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 0), (3, 9), (120, 90), (1, 1)])
def test_mcnemar_is_the_exact_binomial_test(b, c):
    tests = paired.mcnemar(b, c)
    if b + c:
        sides = [binomtest(b, b + c, alternative=side).pvalue for side in ("greater", "less")]
        assert tests == pytest.approx(tuple(sides))
    else:
        assert tests == (1, 1)


def measured(model, correct, seed=0, **probe):
    trial = Trial(model=model, data="mnist5k", seed=seed)
    bits = np.array(correct, dtype=bool)
    return row(
        trial,
        Probe(**{"test_rotation": 0.0, **probe}),
        n=bits.size,
        n_correct=int(bits.sum()),
        correct=np.packbits(bits).tobytes(),
    )


def test_bits_come_back_in_test_order_by_seed():
    rows = frame([measured("gcnn", [1, 0, 0, 1, 1, 0, 0, 0, 1, 1], seed=3)])
    assert {seed: of.tolist() for seed, of in paired.bits(rows).items()} == {
        3: [1, 0, 0, 1, 1, 0, 0, 0, 1, 1]
    }
    assert paired.bits(rows.with_columns(correct=pl.lit(None, pl.Binary))) == {}
    with pytest.raises(ValueError, match="differ in more than the seed"):
        paired.bits(pl.concat([rows, rows]))


def test_a_single_pair_has_newcombes_interval_and_mcnemars_test():
    draw = np.random.default_rng(2)
    first, second = draw.random(400) < 0.9, draw.random(400) < 0.8
    cells = (sum(first & second), sum(first & ~second), sum(~first & second))
    cells = tuple(int(cell) for cell in cells)
    rows = frame([measured("gcnn", first), measured("stdcnn", second)])
    (found,) = paired.differences(rows, GCNN, STDCNN, ["test_rotation"]).iter_rows(named=True)
    assert (found["lower"], found["upper"]) == pytest.approx(newcombe((*cells, 400 - sum(cells))))
    assert found["p"] == pytest.approx(binomtest(cells[1], cells[1] + cells[2]).pvalue)
    assert found["difference"] == pytest.approx(first.mean() - second.mean())
    assert (found["n"], found["seeds"]) == (400, 1)


def test_differences_are_of_the_seeds_that_both_have():
    ones, zeros = np.ones(200), np.zeros(200)
    rows = [measured("gcnn", ones if seed else zeros, seed) for seed in (0, 1, 2, 3)]
    rows += [measured("stdcnn", zeros, seed) for seed in (1, 2, 3, 4)]
    rows += [measured("gcnn", ones, test_rotation=30.0)]
    rows += [measured("stdcnn", ones, 1, test_rotation=30.0)]
    (found,) = paired.differences(frame(rows), GCNN, STDCNN, ["test_rotation"]).iter_rows(
        named=True
    )
    assert (found["test_rotation"], found["difference"], found["seeds"]) == (0, 1, 3)
    assert found["p"] < 0.001


def test_networks_tested_on_other_numbers_of_images_are_not_paired():
    first, second = np.arange(300) < 240, np.arange(100) < 50
    found = paired.compare(*(paired.bits(frame([measured("gcnn", of)])) for of in (first, second)))
    error = (0.8 * 0.2 / 299 + 1 / 299 / 300 + 0.25 / 99 + 1 / 99 / 100) ** 0.5
    assert found.difference == pytest.approx(0.3)
    assert found.lower == pytest.approx(0.3 - 1.9659 * error, abs=1e-3)
