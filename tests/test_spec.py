import typing

import pytest
from pydantic import ValidationError

from rotgrid import recipes, spec
from rotgrid.spec import Probe, Trial


def test_defaults_are_filled_from_recipe_and_data():
    trial = Trial(model="gcnn")
    assert (trial.variant, trial.train_size) == ("table1", 55_000)
    assert (trial.epochs, trial.batch_size, trial.learning_rate) == (10, 64, 0.01)
    assert Trial(model="gcnn", data="mnist5k").train_size == 3_500


def test_equal_work_has_an_equal_key():
    explicit = Trial(
        model="gcnn", variant="table1", train_size=55_000, train_rotation=60.0, epochs=10
    )
    assert Trial(model="gcnn", train_rotation=60).key() == explicit.key()
    assert Trial(model="gcnn", adversary_eps=0.1).key() == Trial(model="gcnn").key()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "stdcnn"),
        ("variant", "orbit"),
        ("data", "mnist5k"),
        ("train_size", 100),
        ("train_rotation", 1e-9),
        ("adversary", "fgsm"),
        ("recipe", "fast"),
        ("epochs", 3),
        ("batch_size", 1),
        ("learning_rate", 0.1),
        ("interpolation", "nearest"),
        ("seed", 1),
    ],
)
def test_every_field_changes_the_key(field, value):
    assert Trial(**{"model": "gcnn", field: value}).key() != Trial(model="gcnn").key()


def test_adversary_eps_changes_the_key_of_an_adversarial_training():
    keys = {Trial(model="gcnn", adversary="fgsm", adversary_eps=e).key() for e in (0.1, 0.2)}
    assert len(keys) == 2


def test_contents_of_the_recipe_are_part_of_the_key(monkeypatch):
    before = Trial(model="gcnn").key()
    changed = recipes.RECIPES["paper"].model_copy(update={"momentum": 0.9})
    monkeypatch.setitem(recipes.RECIPES, "paper", changed)
    assert Trial(model="gcnn").key() != before


def test_every_model_has_its_authors_recipe():
    trial = Trial(model="hnet", recipe="original")
    assert (trial.epochs, trial.batch_size, trial.learning_rate) == (200, 46, 0.0076)
    same = Trial(model="gcnn", recipe="original")
    assert same.learning_rate == Trial(model="gcnn").learning_rate
    assert Trial(model="hnet", recipe="original", epochs=3).epochs == 3


def test_a_recipe_may_be_another_for_a_model():
    fast = {m: Trial(model=m, recipe="fast") for m in ("gcnn", "hnet")}
    assert (fast["gcnn"].learning_rate, fast["gcnn"].epochs) == (0.005, 4)
    assert (fast["hnet"].learning_rate, fast["hnet"].epochs) == (0.001, 8)


def test_a_variant_may_be_written_as_a_number():
    assert Trial(model="hnet", variant=2018) == Trial(model="hnet", variant="2018")
    with pytest.raises(ValidationError, match="variant"):
        Trial(model="hnet", variant=2018.0)


def test_keys_are_the_same_on_every_machine():
    assert Trial(model="gcnn", train_rotation=60).key() == "11cebd923134e96b"
    probe = Probe(attack="pgd").resolve(Trial(model="gcnn"))
    assert probe.key() == "e2db217dab45aa1a"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "gcn"}, "'stdcnn', 'gcnn', .* or 'madrycnn'"),
        ({"model": "gcnn", "variant": "doubled"}, "is not a variant of gcnn; choose from table1"),
        ({"model": "gcnn", "data": "mnist5k", "train_size": 5_000}, "more than the 3500"),
        ({"model": "gcnn", "train_rotation": 181}, "less than or equal to 180"),
        ({"model": "gcnn", "epochs": True}, "valid integer"),
        ({"model": "gcnn", "epochs": "3"}, "valid integer"),
        ({"model": "gcnn", "sed": 3}, "Extra inputs"),
        ({"model": ["gcnn"]}, "'stdcnn', 'gcnn', .* or 'madrycnn'"),
        ({}, "Field required"),
    ],
)
def test_wrong_fields_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        Trial(**fields)


def test_records_are_frozen_and_hashable():
    trial = Trial(model="gcnn")
    with pytest.raises(ValidationError):
        trial.seed = 3
    assert len({trial, Trial(model="gcnn")}) == 1


def test_probes_are_canonical():
    assert Probe(attack="none", eps=0.1, steps=7) == Probe()
    assert Probe(attack="fgsm", eps=0.1, steps=9, restarts=3) == Probe(attack="fgsm", eps=0.1)
    assert Probe(attack="pgd").steps == 40
    assert Probe(attack="equivariance", eps=0.2, steps=3) == Probe(attack="equivariance")


def test_same_resolves_to_the_range_of_the_trial():
    trial = Trial(model="gcnn", train_rotation=60)
    same, sixty = Probe().resolve(trial), Probe(test_rotation=60).resolve(trial)
    assert same == sixty
    assert same.key() == sixty.key()
    assert (same.test_rotation, same.n_images) == (60.0, 10_000)


def test_an_unresolved_probe_has_no_key():
    with pytest.raises(ValueError, match="resolve"):
        Probe().key()


def test_more_images_than_there_are_is_an_error():
    with pytest.raises(ValueError, match="more than the 1000 test images of mnist5k"):
        Probe(n_images=1_001).resolve(Trial(model="gcnn", data="mnist5k"))


def test_vocabulary_agrees_with_the_code():
    from rotgrid.attacks import SWEEPS
    from rotgrid.models import MODELS, gcnn, stdcnn
    from rotgrid.work import MULTIPLY_ADDS

    assert tuple(MODELS) == spec.MODELS == tuple(spec.VARIANTS)
    assert tuple(stdcnn.WIDTHS) == spec.VARIANTS["stdcnn"]
    assert tuple(gcnn.WIDTHS) == spec.VARIANTS["gcnn"]
    elsewhere = ("rotation-grid", "translation-grid", "spatial-grid", "worst-of-10")
    assert {*SWEEPS, *elsewhere, "equivariance", "diagnostics"} == {*spec.ATTACKS}
    assert spec.FIXED.keys() == {*spec.ATTACKS}
    assert (*recipes.RECIPES, "original") == typing.get_args(recipes.RecipeName)
    assert tuple(recipes.ORIGINALS) == spec.MODELS
    assert tuple(spec.DATA) == typing.get_args(spec.DataName)
    pairs = {(model, variant) for model, vs in spec.VARIANTS.items() for variant in vs}
    assert set(MULTIPLY_ADDS) == pairs


def test_fields_that_came_later_leave_old_keys_as_they_were():
    probe = Probe(attack="pgd", eps=0.1, test_rotation=60, n_images=500)
    fields = probe.model_dump()
    old = {name: value for name, value in fields.items() if name not in spec.LATER}
    assert probe.key() == spec.digest(old)
    for name, value in (("loss", "margin"), ("label_rule", "predicted"), ("test_translation", 2)):
        other = Probe(**{**fields, name: value})
        assert other.key() != probe.key()


@pytest.mark.parametrize("attack", spec.ATTACKS)
def test_an_attack_that_changed_has_new_keys_and_no_other_has(attack, monkeypatch):
    source = {"source": "stdcnn"} if attack == "transfer" else {}
    probe = Probe(attack=attack, eps=0.1, test_rotation=60, n_images=500, **source)
    first = spec.digest(spec.without_later(probe))
    assert (probe.key() == first) is (attack not in spec.ATTACK_REVISIONS)
    monkeypatch.setitem(spec.ATTACK_REVISIONS, "bim", 2)
    second = probe.key()
    monkeypatch.setitem(spec.ATTACK_REVISIONS, "bim", 3)
    third = probe.key()
    assert (len({first, second, third}) == 3) is (attack == "bim")


def test_a_precision_that_came_later_leaves_old_networks_as_they_were():
    trial = Trial(model="stdcnn")
    recipe = recipes.recipe_of(trial.recipe, trial.model).contents()
    old = {**trial.model_dump(exclude={"precision"}), "recipe": recipe}
    assert trial.key() == spec.digest(old)
    assert Trial(model="stdcnn", precision="bfloat16").key() != trial.key()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"attack": "pgd", "loss": "dlr"}, "cannot be climbed by pgd; choose from ce, margin"),
        ({"attack": "apgd", "loss": "margin"}, "choose from ce, dlr"),
        ({"attack": "strong", "label_rule": "predicted"}, "not a choice of strong"),
        ({"attack": "transfer"}, "needed by transfer; choose from stdcnn"),
        ({"attack": "diagnostics", "restarts": 0}, "1 or more for diagnostics"),
        *(
            ({"attack": a, "source": "stdcnn", "steps": 0, "restarts": 0}, f"1 or more for {a}")
            for a in ("pgd", "apgd", "fmn-pgd", "transfer")
        ),
    ],
)
def test_probes_whose_fields_do_not_fit_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        Probe(**fields)


@pytest.mark.parametrize("attack", ["pgd", "apgd", "fmn-pgd", "transfer"])
def test_steps_or_a_random_start_are_enough_for_an_attack_that_climbs(attack):
    for steps, restarts in ((0, 1), (1, 0)):
        probe = Probe(attack=attack, source="stdcnn", steps=steps, restarts=restarts)
        assert (probe.steps, probe.restarts) == (steps, restarts)


def test_fields_that_an_attack_does_not_have_do_not_make_another_probe():
    same = Probe(attack="fgsm", eps=0.1)
    assert Probe(attack="fgsm", eps=0.1, loss="ce", steps=7, restarts=3, source="gcnn") == same
    assert Probe(attack="rotation-grid", eps=0.2, steps=9) == Probe(attack="rotation-grid")
    assert Probe(attack="apgd").steps == 100
