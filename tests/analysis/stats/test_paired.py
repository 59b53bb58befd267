import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest

from analysis.stats import paired
from analysis.stats.intervals import CELLS, newcombe
from rotgrid.spec import Probe, Trial

from made_up import frame, row

GCNN, STDCNN = pl.col("model") == "gcnn", pl.col("model") == "stdcnn"


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
    counts = pl.DataFrame([(*cells, 400 - sum(cells))], schema=CELLS, orient="row")
    lower, upper = newcombe()
    interval = counts.select(lower=lower, upper=upper).row(0)
    assert (found["lower"], found["upper"]) == pytest.approx(interval)
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
