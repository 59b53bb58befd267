import polars as pl
import pytest

from analysis.question.fields import said, values, varied, with_fields
from rotgrid.spec import Probe, Trial

from made_up import OWN, OWN_ATTACK, frame, row, study


def fields_of(**changes):
    return with_fields(frame(study(seeds=(0,), test_rotations=(0,), eps=(0.1,), **changes)))


def test_what_varies_is_named_once_and_what_follows_from_it_is_not():
    found = varied(fields_of())
    assert found == ["model", "train_rotation", "adversary", "test_rotation", "attack"]
    assert varied(fields_of(models=((OWN, ""),), adversaries=("none",), attacks=())) == [
        "train_rotation",
        "test_rotation",
    ]


def test_epochs_vary_beside_a_recipe_or_follow_it():
    trial = Trial(model="gcnn", data="mnist5k", recipe="fast")
    longer = [trial.model_copy(update={"epochs": n}) for n in (1, 2)]
    assert varied(with_fields(frame([row(t, Probe()) for t in longer]))) == ["epochs"]
    recipes = [Trial(model="gcnn", data="mnist5k", recipe=r) for r in ("fast", "paper")]
    assert varied(with_fields(frame([row(t, Probe()) for t in recipes]))) == ["recipe"]


def test_words_compare_with_the_first_of_their_order():
    models = (("gcnn", "halved"), ("stdcnn", "doubled"), (OWN, ""))
    fields = fields_of(models=models, attacks=("pgd", OWN_ATTACK))
    assert values(fields, "model") == ["stdcnn doubled", "gcnn halved", OWN]
    assert values(fields, "adversary") == ["none", "fgsm 0.3"]
    assert values(fields, "attack") == ["none", "pgd", OWN_ATTACK]
    assert values(fields, "train_rotation") == [0.0, 60.0, 180.0]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("model", "gcnn halved", "GCNN halved"),
        ("model", OWN, OWN),
        ("attack", "pgd", "PGD"),
        ("adversary", "fgsm 0.1", "fgsm at eps 0.1"),
        ("adversary", "none", "none"),
        ("train_rotation", 60.0, "\u00b160\u00b0"),
        ("test_rotation", 0.0, "0\u00b0"),
        ("train_size", 1_000, "1,000"),
        ("eps", 0.1, "0.1"),
        ("recipe", "fast", "fast"),
    ],
)
def test_values_are_said_as_readers_know_them(name, value, words):
    assert said(name, value) == words


def test_rows_that_count_something_else_are_no_accuracy():
    trial = Trial(model="gcnn", data="mnist5k")
    rows = frame(
        [row(trial, Probe(attack=a, test_rotation=30.0)) for a in ("none", "equivariance")]
    )
    assert with_fields(rows)["attack"].to_list() == ["none"]


def test_an_arm_is_a_network_whatever_its_seed_and_test():
    rows = frame(study(test_rotations=(0, 60)))
    fields = with_fields(rows)
    networks = rows.select("model", "train_rotation", "adversary").n_unique()
    assert fields["arm"].n_unique() == networks
    assert fields.group_by("arm").agg(pl.col("seed").n_unique())["seed"].unique().to_list() == [3]
