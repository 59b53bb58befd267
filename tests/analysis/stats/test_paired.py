import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest, ttest_1samp

from analysis.stats import paired
from rotgrid.spec import Probe, Trial

from made_up import frame, row

GCNN, STDCNN = pl.col("model") == "gcnn", pl.col("model") == "stdcnn"


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


def test_a_single_pair_is_described_by_the_interval_over_its_images():
    draw = np.random.default_rng(2)
    first, second = draw.random(400) < 0.9, draw.random(400) < 0.8
    rows = frame([measured("gcnn", first), measured("stdcnn", second)])
    (found,) = paired.differences(rows, GCNN, STDCNN, ["test_rotation"]).iter_rows(named=True)
    each = first.astype(float) - second
    theirs = ttest_1samp(each, 0).confidence_interval(0.95)
    assert (found["lower"], found["upper"]) == pytest.approx((theirs.low, theirs.high), abs=5e-4)
    assert found["difference"] == pytest.approx(each.mean())
    assert (found["n"], found["seeds"], found["p"]) == (400, 1, None)


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
    one, other = (paired.bits(frame([measured("gcnn", of)])) for of in (first, second))
    found = paired.contrast([(1.0, one, "a"), (-1.0, other, "b")])
    error = (0.8 * 0.2 / 299 + 1 / 299 / 300 + 0.25 / 99 + 1 / 99 / 100) ** 0.5
    assert found.value == pytest.approx(0.3)
    assert found.error == pytest.approx(error)


def test_one_term_of_bits_is_a_share():
    values = {0: np.arange(50) < 40.0}
    found = paired.contrast([(1.0, {s: of.astype(float) for s, of in values.items()}, "a")])
    wilson = binomtest(40, 50).proportion_ci(method="wilson")
    assert found.interval() == pytest.approx((wilson.low, wilson.high))


def test_the_image_that_is_added_is_measured_in_the_unit_of_the_values():
    far = np.random.default_rng(0).random(40)
    errors = {
        unit: paired.contrast([(1.0, {0: unit * far}, "a"), (-1.0, {0: 0 * far}, "b")]).error
        for unit in (0.1, 1.0)
    }
    assert errors[0.1] == pytest.approx(0.1 * errors[1.0])
