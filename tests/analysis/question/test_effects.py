import numpy as np
import polars as pl
import pytest

from analysis.question.effects import Effect, comparisons, interactions, largest, main_effects
from analysis.question.fields import with_fields
from analysis.question.outcomes import outcomes
from analysis.question.pairing import Paired
from analysis.stats.seeds import Estimate, crossed

from made_up import frame, study


@pytest.fixture(scope="module")
def asked():
    rows = study(test_rotations=(0, 60), eps=(0.1, 0.3), attacks=("pgd",))
    return outcomes(with_fields(frame(rows)))


@pytest.fixture(scope="module")
def effects(asked):
    return main_effects(asked)


def one(effects, field, outcome):
    (found,) = (e for e in effects if e.field == field and e.outcome == outcome)
    return found


def test_planted_effects_are_found_with_their_sign(effects):
    robust, tested = "under PGD at eps 0.1", "(tested at the range of training)"
    assert one(effects, "adversary", robust).value > 0.3
    assert one(effects, "train_rotation", f"{robust} {tested}").value < -0.1
    assert one(effects, "test_rotation", "without attack").value < 0
    assert one(effects, "eps", "under PGD").value < -0.2
    assert one(effects, "attack", "at eps 0.1").value < -0.3
    assert one(effects, "adversary", robust).verdict == "holds"
    assert abs(one(effects, "adversary", "without attack").value) < 0.02


def test_p_grows_with_the_number_of_effects(asked, effects):
    alone = main_effects(asked[:1])
    assert 0 < len(alone) < len(effects)
    for effect in alone:
        assert one(effects, effect.field, effect.outcome).p >= effect.p


def test_two_seeds_describe():
    rows = study(seeds=(0, 1), test_rotations=(0,), eps=(0.1,), attacks=("pgd",))
    for effect in main_effects(outcomes(with_fields(frame(rows)))):
        assert (effect.p, effect.verdict) == (None, "described")


def test_the_largest_interaction_is_the_planted_one(asked, effects):
    found = interactions(asked, effects)
    assert [abs(e.value) for e in found] == sorted((abs(e.value) for e in found), reverse=True)
    assert {frozenset(e.signs) for e in found} >= {frozenset({"attack", "adversary"})}
    of_attack = next(e for e in found if set(e.signs) == {"attack", "adversary"})
    assert of_attack.value > 0.3


def test_numbers_compare_the_ends_and_words_the_first_with_each(asked):
    rows = asked[0].rows
    assert comparisons(rows, "train_rotation") == [(0.0, 180.0)]
    assert comparisons(rows, "model") == [("stdcnn table1", "gcnn table1")]


def test_numbers_that_few_settings_have_are_not_compared():
    trials = [(m, r) for m in "abcd" for r in ((0, 60, 180) if m == "a" else (0, 60))]
    rows = pl.DataFrame([{"model": m, "seed": 0, "test_rotation": float(r)} for m, r in trials])
    assert comparisons(rows, "test_rotation", ["model"]) == [(0.0, 60.0)]
    assert comparisons(rows.filter(model="a"), "test_rotation", ["model"]) == [(0.0, 180.0)]


def test_of_each_field_the_largest_effect_is_kept(effects):
    tops = largest(effects)
    assert len({(e.outcome, e.field) for e in tops}) == len(tops)
    sizes = [abs(e.value) for e in tops]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == max(abs(e.value) for e in effects)


def effect(p, *parts, floor=False):
    estimate = Estimate(0.1, 0.02, 100, 3, 0.5, 2)
    return Effect("", {"model": ("a", "b")}, Paired(estimate, 2, 2, parts, 100, floor), p)


def test_verdicts():
    rng = np.random.default_rng(0)
    up, down = (crossed([rng.normal(mean, 0.1, (4, 500))]) for mean in (0.5, -0.5))
    assert effect(0.01).verdict == "holds"
    assert effect(0.01, up, up).verdict == "holds"
    assert effect(0.01, up, down).verdict == "mixed"
    assert effect(0.5).verdict == "too close to call"
    assert effect(0.5, floor=True).verdict == "at the floor"
    assert effect(None, up, down).verdict == "described"
