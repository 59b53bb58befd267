import numpy as np
import polars as pl
import pytest

from analysis.question.pairing import MOST_SETTINGS, paired

RNG = np.random.default_rng(0)
IMAGES = 200
DATA = {"data": "mnist5k"}


def cell(model, seed, bits, **fields):
    packed = np.packbits(np.asarray(bits, dtype=bool)).tobytes()
    more = {"n": len(bits), "n_correct": int(np.sum(bits)), "correct": packed}
    return {"model": model, "seed": seed, "arm": f"{model}{fields}", **DATA, **fields, **more}


def made(truth, rng, seeds=range(4), spread=0.03, turns=(0.0, 60.0)):
    """Cells of a study in which model b is better than a by `truth(turn)`: images differ in
    difficulty, every network in its luck."""
    difficulty = rng.uniform(0.25, 0.65, IMAGES)
    return pl.DataFrame(
        [
            cell(model, seed, rng.random(IMAGES) < difficulty + gain + luck, turn=turn)
            for turn in turns
            for model, gain in (("a", 0.0), ("b", truth(turn)))
            for seed in seeds
            for luck in [rng.normal(0, spread)]
        ]
    )


SIGNS = {"model": ("a", "b")}


def test_a_planted_effect_has_its_sign_and_lies_in_the_interval_as_often_as_said():
    hits, values = 0, []
    rng = np.random.default_rng(1)
    for _ in range(120):
        found = paired(made(lambda _: 0.1, rng), SIGNS, ["model", "turn"])
        lower, upper = found.estimate.interval()
        hits += lower <= 0.1 <= upper
        values.append(found.estimate.value)
    assert np.mean(values) == pytest.approx(0.1, abs=0.01)
    assert 0.9 <= hits / 120 <= 1


def test_a_planted_interaction_too():
    hits, rng, signs = 0, np.random.default_rng(2), {**SIGNS, "turn": (0.0, 60.0)}
    for _ in range(120):
        found = paired(made(lambda turn: 0.2 if turn else 0.0, rng), signs, ["model", "turn"])
        lower, upper = found.estimate.interval()
        hits += lower <= 0.2 <= upper
    assert 0.9 <= hits / 120 <= 1


def test_the_value_is_the_mean_over_settings_of_differences():
    rows = made(lambda turn: 0.1 if turn else -0.2, RNG)
    shares = rows.with_columns(share=pl.col("n_correct") / pl.col("n"))
    means = shares.group_by("model", "turn").agg(pl.col("share").mean())
    by_turn = means.pivot("model", index="turn", values="share")
    expected = (by_turn["b"] - by_turn["a"]).mean()
    found = paired(rows, SIGNS, ["model", "turn"])
    assert found.estimate.value == pytest.approx(expected)
    assert (found.settings, found.measured, found.n) == (2, 2, IMAGES)
    each = [part.value for part in found.parts]
    assert np.mean(each) == pytest.approx(expected)


def test_order_of_rows_and_constant_fields_change_nothing():
    rows = made(lambda _: 0.1, RNG)
    expected = paired(rows, SIGNS, ["model", "turn"])
    shuffled = rows.sample(fraction=1, shuffle=True, seed=3)
    assert paired(shuffled, SIGNS, ["model", "turn"]) == expected
    constant = rows.with_columns(size=pl.lit(7))
    assert paired(constant, SIGNS, ["model", "turn", "size"]).estimate == expected.estimate


def test_swapping_the_values_turns_the_sign():
    rows = made(lambda _: 0.1, RNG)
    one, other = (paired(rows, {"model": ends}, ["model", "turn"]) for ends in ("ab", "ba"))
    assert one.estimate.value == pytest.approx(-other.estimate.value)
    assert one.estimate.error == pytest.approx(other.estimate.error)


def test_only_what_both_sides_have_counts():
    rows = made(lambda _: 0.1, RNG)
    lacking = rows.filter(~((pl.col("model") == "b") & (pl.col("turn") == 60)))
    found = paired(lacking, SIGNS, ["model", "turn"])
    assert (found.settings, found.measured, found.parts) == (1, 1, ())
    assert found.estimate == paired(rows.filter(turn=0.0), SIGNS, ["model", "turn"]).estimate
    assert paired(rows.filter(model="a"), SIGNS, ["model", "turn"]) is None


def test_settings_without_the_seeds_of_most_are_left_out():
    rows = made(lambda _: 0.1, RNG, seeds=range(3))
    fewer = rows.filter((pl.col("turn") == 0) | (pl.col("seed") == 0))
    found = paired(fewer, SIGNS, ["model", "turn"])
    assert (found.estimate.seeds, found.settings, found.measured) == (3, 1, 2)


def test_of_several_numbers_of_images_the_largest_that_both_have_counts():
    small = made(lambda _: 0.1, RNG, seeds=(0,))
    more = [cell(m, 0, RNG.random(900) < 0.5, turn=0.0) for m in "ab"]
    both = pl.concat([small, pl.DataFrame(more)])
    assert paired(both.filter(turn=0.0), SIGNS, ["model"]).n == 900
    one_sided = pl.concat([small, pl.DataFrame(more[:1])]).filter(turn=0.0)
    assert paired(one_sided, SIGNS, ["model"]).n == IMAGES
    unequal = pl.concat([small.filter(model="b", turn=0.0), pl.DataFrame(more[:1])])
    found = paired(unequal, SIGNS, ["model"])
    assert (found.n, found.estimate.n) == (IMAGES, IMAGES + 900)


def test_images_of_two_data_sets_are_never_paired():
    bits = RNG.random(IMAGES) < 0.5
    rows = pl.DataFrame([cell("a", 0, bits, data="one"), cell("a", 0, ~bits, data="other")])
    found = paired(rows, {"data": ("one", "other")}, ["data"]).estimate
    assert found.n == 2 * IMAGES
    assert found.error == pytest.approx((2 * bits.var() / IMAGES) ** 0.5, rel=0.02)


def test_of_very_many_settings_some_are_averaged():
    turns = [float(turn) for turn in range(MOST_SETTINGS + 5)]
    found = paired(made(lambda _: 0.1, RNG, seeds=(0,), turns=turns), SIGNS, ["model", "turn"])
    assert found.settings <= MOST_SETTINGS < found.measured == len(turns)


def test_nothing_right_anywhere_is_the_floor():
    rows = pl.DataFrame([cell(m, s, np.zeros(50)) for m in "ab" for s in range(3)])
    found = paired(rows, SIGNS, ["model"])
    assert found.floor
    assert found.estimate.interval()[0] < 0 < found.estimate.interval()[1]
