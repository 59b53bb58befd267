import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rotgrid import spec
from rotgrid.models import gcnn, stdcnn
from rotgrid.spec import Probe, Trial, data_of, recipes, records
from rotgrid.spec.adversaries import ADVERSARIES
from rotgrid.spec.attacks import ATTACKS, UNREAD
from rotgrid.spec.models import MODELS, recipe_of


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
        ("train_translation", 1e-9),
        ("adversary", "fgsm"),
        ("recipe", "fast"),
        ("epochs", 3),
        ("train_steps", 3),
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


def test_a_key_is_computed_once_and_a_copy_has_its_own(monkeypatch):
    digests = []
    monkeypatch.setattr(records, "digest", lambda fields: digests.append(fields) or len(digests))
    trial = Trial(model="gcnn")
    assert (trial.key(), trial.key(), len(digests)) == (1, 1, 1)
    other = trial.model_copy(update={"seed": 1})
    assert (hash(other), other) == (hash(Trial(model="gcnn", seed=1)), Trial(model="gcnn", seed=1))
    assert hash(trial) != hash(other)
    assert other.key() == 2


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


def test_steps_take_the_place_of_epochs():
    trial = Trial(model="gcnn", train_steps=860, epochs=7)
    assert (trial.epochs, trial.train_steps, trial.steps(), trial.passes()) == (0, 860, 860, 1.0)
    assert trial == Trial(model="gcnn", train_steps=860)
    by_epochs = Trial(model="gcnn")
    assert (by_epochs.steps(), by_epochs.passes()) == (8600, 10.0)
    assert by_epochs.key() != Trial(model="gcnn", train_steps=8600).key()


def test_a_variant_may_be_written_as_a_number():
    assert Trial(model="hnet", variant=2018) == Trial(model="hnet", variant="2018")
    with pytest.raises(ValidationError, match="variant"):
        Trial(model="hnet", variant=2018.0)


def test_keys_are_the_same_on_every_machine():
    assert Trial(model="gcnn", train_rotation=60).key() == "11cebd923134e96b"
    probe = Probe(attack="pgd").resolve(Trial(model="gcnn"))
    assert probe.key() == "e2db217dab45aa1a"


TRIALS = [
    ("02a7da395a617a38", {"model": "stdcnn"}),
    ("02a7da395a617a38", {"model": "stdcnn", "recipe": "original", "train_rotation": -0.0}),
    ("297fc7bd47fcb9d8", {"model": "hnet", "recipe": "fast", "seed": 3}),
    ("6de606b931cbd899", {"model": "ptn", "recipe": "original"}),
    ("006a99d9d2b084ee",
     {"model": "roteqnet", "data": "mnist5k", "train_size": 500, "train_rotation": 180}),
    ("97fdde5684c329f1", {"model": "capsnet", "variant": "narrow", "adversary": "fgsm"}),
    ("300815ecdef6febb",
     {"model": "stdcnn", "variant": "doubled", "adversary": "pgd", "adversary_eps": 0.1,
      "recipe": "fast"}),
    ("ffd6fcaea852d7af", {"model": "gcnn", "recipe": "original", "interpolation": "nearest"}),
    ("5b2a99df8bcb69a1",
     {"model": "steerable", "variant": "c8", "precision": "bfloat16", "epochs": 2,
      "batch_size": 32, "learning_rate": 1e-3}),
    ("c28a30adeb13ef37", {"model": "madrycnn", "adversary": "trades", "train_rotation": 22.5}),
]  # fmt: skip
PROBES = [
    ("03be0cba972c104f", {}),
    ("c5d85ff34f57a385", {"attack": "fgsm", "eps": 0.1}),
    ("bc76cdf358474a68",
     {"attack": "pgd", "eps": 0.3, "steps": 7, "restarts": 3, "loss": "margin"}),
    ("edd2077ac591ea5c", {"attack": "noise", "restarts": 20, "test_rotation": 90}),
    ("53f4d71e43cd67ca",
     {"attack": "fgsm", "eps": 0.3, "eps_unit": "normalised", "label_rule": "predicted"}),
    ("6a511d47bc2bcf03", {"attack": "rotation-grid", "test_rotation": 30, "n_images": 500}),
    ("c093192f23c9fd4b", {"attack": "transfer", "source": "gcnn", "eps": 0.2}),
    ("ec25f0baafc0dd38", {"attack": "equivariance", "test_rotation": 90}),
    ("4e77cfb5bd3789cc",
     {"attack": "spatial-pgd", "test_rotation": 30, "test_translation": 3, "eps": 0.05}),
    ("5d7e6919c4bbc561", {"attack": "fmn", "steps": 100, "test_rotation": 180}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "fields"), TRIALS)
def test_keys_of_stored_trials_do_not_move(key, fields):
    assert Trial(**fields).key() == key


@pytest.mark.parametrize(("key", "fields"), PROBES)
def test_keys_of_stored_probes_do_not_move(key, fields):
    assert Probe(**fields).resolve(Trial(model="gcnn", train_rotation=60)).key() == key


ANY_TRIAL = st.builds(
    Trial,
    model=st.sampled_from(["stdcnn", "gcnn", "cyclic", "hnet"]),
    recipe=st.sampled_from(["paper", "fast", "original"]),
    train_rotation=st.sampled_from([0, 0.0, -0.0, 1e-9, 60]),
    adversary=st.sampled_from(["none", "fgsm", "cusp"]),
    adversary_eps=st.sampled_from([0.0, -0.0, 0.3]),
    epochs=st.sampled_from([4, 10]),
    learning_rate=st.sampled_from([0.005, 0.01]),
    batch_size=st.just(64),
)


@given(ANY_TRIAL, ANY_TRIAL)
def test_trials_are_equal_where_their_keys_are(one, other):
    assert (one == other) == (one.key() == other.key())


@given(st.sampled_from([*ATTACKS]), st.sampled_from([0, -0.0, 0.1]), st.sampled_from([0, -0.0]))
def test_what_an_attack_does_not_read_makes_no_other_probe(attack, eps, translation):
    trial = Trial(model="gcnn")
    source = {"source": "gcnn"} if attack == "transfer" else {}
    plain = Probe(attack=attack, eps=0.1, **source).resolve(trial)
    other = Probe(attack=attack, eps=eps, test_translation=translation, **source).resolve(trial)
    assert (plain == other) == (plain.key() == other.key())
    assert (plain == other) == (eps == 0.1 or "eps" not in ATTACKS[attack].reads)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "gcn"}, "'stdcnn', 'gcnn', .* or 'p4resnet'"),
        ({"model": "gcnn", "variant": "doubled"}, "is not a variant of gcnn; choose from table1"),
        ({"model": "gcnn", "data": "mnist5k", "train_size": 5_000}, "more than the 3500"),
        ({"model": "gcnn", "train_rotation": 181}, "less than or equal to 180"),
        ({"model": "gcnn", "train_translation": 14.5}, "less than or equal to 14"),
        ({"model": "gcnn", "train_translation": -1}, "greater than or equal to 0"),
        ({"model": "gcnn", "epochs": True}, "valid integer"),
        ({"model": "gcnn", "epochs": "3"}, "valid integer"),
        ({"model": "gcnn", "sed": 3}, "Extra inputs"),
        ({"model": "roteqnet", "batch_size": 1}, "should be 2 or more: roteqnet"),
        ({"model": "roteqnet", "train_size": 1}, "should be 2 or more: roteqnet"),
        ({"model": "gcnn", "learning_rate": float("inf")}, "finite number"),
        ({"model": "gcnn", "train_rotation": float("nan")}, "finite number"),
        ({"model": "gcnn", "batch_size": 10**9}, "less than or equal to 1000000"),
        ({"model": ["gcnn"]}, "'stdcnn', 'gcnn', .* or 'p4resnet'"),
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


def test_every_entry_names_what_does_it():
    from rotgrid import models
    from rotgrid.attacks.dispatch import module_of, survival_under
    from rotgrid.evaluation import MEASURES
    from rotgrid.training.adversarial import adversary_of

    assert tuple(models.MODELS) == tuple(MODELS)
    assert tuple(stdcnn.WIDTHS) == tuple(MODELS["stdcnn"].variants)
    assert tuple(gcnn.WIDTHS) == tuple(MODELS["gcnn"].variants)
    for name, attack in ATTACKS.items():
        assert callable(survival_under(name)) if attack.run else name in MEASURES
        if len(attack.label_rules) > 1:
            assert callable(module_of(name).perturb)
        assert set(attack.reads) <= set(UNREAD) <= set(Probe.model_fields)
        assert not set(attack.fixed) & set(attack.reads)
        assert set(attack.at_least_one) <= set(attack.reads)
    trials = [Trial(model="stdcnn", adversary=name) for name in ADVERSARIES]
    assert all(callable(adversary_of(trial)) for trial in trials)


def test_fields_that_came_later_leave_old_keys_as_they_were():
    probe = Probe(attack="pgd", eps=0.1, test_rotation=60, n_images=500)
    fields = probe.model_dump()
    old = {name: value for name, value in fields.items() if name not in spec.ADDED_FIELDS}
    assert probe.key() == spec.digest(old)
    for name, value in (
        ("loss", "margin"),
        ("label_rule", "predicted"),
        ("test_translation", 2),
        ("clip", "normalised"),
        ("mode", "train"),
        ("threat", "l2"),
    ):
        other = Probe(**{**fields, name: value})
        assert other.key() != probe.key()


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_that_changed_has_new_keys_and_no_other_has(attack, monkeypatch):
    source = {"source": "stdcnn"} if attack == "transfer" else {}
    probe = Probe(attack=attack, eps=0.1, test_rotation=60, n_images=500, **source)
    first = spec.digest(spec.without_added_defaults(probe))
    assert (probe.key() == first) is (ATTACKS[attack].revision == 1)
    monkeypatch.setitem(ATTACKS, "bim", ATTACKS["bim"]._replace(revision=2))
    second = probe.model_copy().key()
    monkeypatch.setitem(ATTACKS, "bim", ATTACKS["bim"]._replace(revision=3))
    third = probe.model_copy().key()
    assert (len({first, second, third}) == 3) is (attack == "bim")


def test_fields_that_came_later_leave_old_networks_as_they_were():
    trial = Trial(model="stdcnn")
    recipe = recipe_of(trial.recipe, trial.model).contents()
    old = {**trial.model_dump(exclude={*spec.ADDED_FIELDS}), "recipe": recipe}
    assert trial.key() == spec.digest(old)
    for later in ({"precision": "bfloat16"}, {"train_steps": 9}, {"train_translation": 2.0}):
        assert Trial(model="stdcnn", **later).key() != trial.key()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"attack": "pgd", "loss": "dlr"}, "cannot be climbed by pgd; choose from ce, margin"),
        ({"attack": "apgd", "loss": "margin"}, "choose from ce, dlr"),
        ({"attack": "strong", "label_rule": "predicted"}, "not a choice of strong"),
        ({"attack": "pgd", "clip": "normalized"}, "'pixel', 'none' or 'normalised'"),
        ({"attack": "pgd", "mode": "training"}, "'eval' or 'train'"),
        ({"attack": "pgd", "threat": "l1"}, "'linf' or 'l2'"),
        ({"attack": "bim", "threat": "l2"}, "is not a choice of bim; choose from linf"),
        ({"attack": "pgd", "eps": 1.5}, "should be at most 1 with threat: linf"),
        ({"attack": "pgd", "threat": "l2", "clip": "none"}, "clip, mode or label_rule is that of"),
        ({"mode": "train", "n_images": 1}, "should be 2 or more with mode: train"),
        ({"attack": "transfer"}, "needed by transfer; choose from stdcnn"),
        ({"attack": "fmn", "steps": 0}, "should be 1 or more for fmn"),
        ({"attack": "noise", "restarts": 0}, "should be 1 or more for noise"),
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


def test_eps_is_at_most_one_pixel_in_whatever_unit():
    """MNIST's deviation is 0.3081 pixel."""
    trial = Trial(model="stdcnn", data="mnist5k")
    whole = Probe(attack="pgd", eps=3.24, eps_unit="normalised")
    assert whole.pixel_eps(data_of(trial).shape) == pytest.approx(1, abs=2e-3)
    assert whole.resolve(trial).eps == 3.24
    with pytest.raises(ValueError, match=r"is 1.02 pixel on mnist5k; linf: at most 1 pixel"):
        Probe(attack="pgd", eps=3.3, eps_unit="normalised").resolve(trial)
    Probe(attack="pgd", eps=3.3, eps_unit="normalised", threat="l2").resolve(trial)


@pytest.mark.parametrize("attack", [name for name in ATTACKS if "eps" in ATTACKS[name].reads])
def test_every_attack_within_eps_has_the_threat_models_that_it_says(attack):
    source, entry = {"source": "stdcnn"} if attack == "transfer" else {}, ATTACKS[attack]
    assert Probe(attack=attack, **source).threat == entry.threats[0]
    for threat in ("linf", "l2"):
        if threat in entry.threats:
            assert Probe(attack=attack, threat=threat, **source).threat == threat
        else:
            with pytest.raises(ValidationError, match=f"choose from {entry.threats[0]}"):
                Probe(attack=attack, threat=threat, **source)


@pytest.mark.parametrize("attack", ["pgd", "apgd", "fmn-pgd", "transfer"])
def test_steps_or_a_random_start_are_enough_for_an_attack_that_climbs(attack):
    for steps, restarts in ((0, 1), (1, 0)):
        probe = Probe(attack=attack, source="stdcnn", steps=steps, restarts=restarts)
        assert (probe.steps, probe.restarts) == (steps, restarts)


def test_fields_that_an_attack_does_not_have_do_not_make_another_probe():
    same = Probe(attack="fgsm", eps=0.1)
    assert Probe(attack="fgsm", eps=0.1, loss="ce", steps=7, restarts=3, source="gcnn") == same
    assert Probe(attack="rotation-grid", eps=0.2, steps=9) == Probe(attack="rotation-grid")
    assert Probe(clip="none") == Probe(threat="l2") == Probe()
    assert Probe(attack="pgd", eps=3.0, threat="l2").eps == 3.0
    assert Probe(mode="train") != Probe()
    assert Probe(attack="strong", clip="none", mode="train") == Probe(attack="strong")
    assert Probe(attack="apgd").steps == 100
