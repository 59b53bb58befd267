import polars as pl
import pytest

from analysis.question.answer import answer, scope
from analysis.question.effects import Effect
from analysis.question.pairing import Paired
from analysis.stats.seeds import Estimate
from rotgrid.spec import Probe, Trial

from made_up import OWN, OWN_ATTACK, OWN_DATA, frame, row, study

SMALL = {"test_rotations": (0, 60), "eps": (0.1, 0.3), "attacks": ("pgd",)}


@pytest.fixture(scope="module")
def rows():
    return frame(study(train_rotations=(0, 60), **SMALL))


def test_the_headline_names_what_matters_and_what_training_does(rows):
    found = answer(rows)
    assert found.headline.startswith(
        "Of what this grid varies, `adversary` matters most: fgsm at eps 0.3 instead of none "
        "changes accuracy under PGD at eps 0.1 by +"
    )
    assert "`model`: GCNN table1 instead of StdCNN table1 changes accuracy" in found.headline
    assert found.headline.endswith(".")
    assert found.headline.count("3 seeds") == 1
    assert any(line.startswith("Largest interaction: `") for line in found.lines)
    varied = next(line for line in found.lines if line.startswith("Varied: "))
    assert "`model` (StdCNN table1, GCNN table1)" in varied
    assert varied.endswith("; 3 seeds.")


def test_the_order_of_rows_and_a_constant_field_change_nothing(rows):
    expected = answer(rows)
    shuffled = answer(rows.sample(fraction=1, shuffle=True, seed=1))
    assert (shuffled.headline, shuffled.lines) == (expected.headline, expected.lines)
    assert shuffled.every.equals(expected.every)
    constant = rows.with_columns(batch_size=pl.lit(7, pl.Int64), precision=pl.lit("bfloat16"))
    assert answer(constant).every.equals(expected.every)


def test_fewer_than_three_seeds_describe():
    found = answer(frame(study(seeds=(0,), **SMALL)))
    assert found.headline.endswith("(described: 1 seed, these networks only).")
    assert set(found.every["verdict"]) == {"described"}
    assert found.every["p"].null_count() == found.every.height


def test_a_verdict_against_its_interval_says_that_it_counts_all_comparisons():
    def words(value, p):
        estimate = Estimate(value, 0.02, 100, 3, 0.0, 2)
        found = Paired(estimate, 1, 1, (), 100, False)
        return scope(Effect("", {"model": ("a", "b")}, found, p))

    assert words(0.1, 0.3) == "3 seeds, too close to call once all comparisons are counted"
    assert words(-0.1, 0.3) == words(0.1, 0.3)
    assert words(0.01, 0.3) == "3 seeds, too close to call"
    assert words(0.1, 0.01) == "3 seeds"


def test_own_names_are_compared():
    models = (("stdcnn", "table1"), (OWN, ""))
    own = {"attacks": ("pgd", OWN_ATTACK), "adversaries": ("none", OWN_ATTACK), "data": OWN_DATA}
    found = answer(frame(study(models, (0,), **own, test_rotations=(0,), eps=(0.1,))))
    compared = set(found.every["compared"])
    assert f"{OWN} instead of StdCNN table1" in compared
    assert f"{OWN_ATTACK} at eps 0.3 instead of none" in compared
    assert f"{OWN_ATTACK} instead of no attack" in compared


def test_of_one_network_the_tests_are_compared():
    found = answer(frame(study((("gcnn", "table1"),), (0,), ("none",), **SMALL)))
    assert set(found.table["field"]) == {"attack", "eps", "test_rotation"}


def test_what_was_never_varied_alone_is_said():
    trials = [
        Trial(model=model, data="mnist5k", interpolation=interpolation, seed=seed)
        for model, interpolation in (("stdcnn", "bilinear"), ("gcnn", "nearest"))
        for seed in range(3)
    ]
    probes = [Probe(test_rotation=0.0), Probe(test_rotation=60.0)]
    found = answer(frame([row(t, p) for t in trials for p in probes]))
    assert set(found.table["field"]) == {"test_rotation"}
    assert "Never varied with all else equal, so not compared: `model` and `interpolation`." in (
        found.lines
    )


def test_rows_of_networks_that_fail_checks_are_left_out_and_counted(rows):
    attacked = (pl.col("seed") == 0) & (pl.col("eps") > 0)
    flagged = rows.with_columns(flags=pl.when(attacked).then(pl.lit("repeat")))
    left = rows.filter(attacked).height
    found = answer(flagged)
    assert any(line.startswith(f"Left out: {left} rows") for line in found.lines)
    robust = found.every.filter(pl.col("outcome") == "accuracy under PGD at eps 0.1")
    assert set(robust["seeds"]) == {2}


def test_rows_of_another_threat_model_are_left_out_and_named(rows):
    few = rows.filter(pl.col("eps") > 0, pl.col("seed") == 0).with_columns(threat=pl.lit("l2"))
    found = answer(pl.concat([rows, few]))
    assert "Left out: rows of L2 balls." in found.lines
    assert found.every.equals(answer(rows).every)


def test_nothing_varied_has_no_answer():
    assert answer(frame([row(Trial(model="gcnn", data="mnist5k"), Probe())])) is None
    assert answer(frame([])) is None
