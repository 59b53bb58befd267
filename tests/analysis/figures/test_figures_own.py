"""Networks, data, attacks, adversaries and recipes of the user's own in every generic figure."""

import json

import pytest
import vl_convert

from analysis.rows.selection import NotMeasured
from rotgrid.spec import Probe
from rotgrid.spec.recipes import FAST

from made_up import (
    OWN,
    OWN_ATTACK,
    OWN_DATA,
    chart,
    frame,
    learned,
    near,
    study,
    table_of,
    trials_of,
    turned,
    words_of,
)

MANY = [f"nets.family{index:02}:build" for index in range(20)]
GENERIC = ("overview", "tradeoff", "frontier", "attacks", "figure01", "figure02", "cost")
SETTINGS = FAST.model_copy(update={"weight_decay": 0.1}).model_dump_json()
MINE = {"recipe": "mine", "recipe_settings": SETTINGS}


def own_study(models, seeds=(0, 1, 2), **changes):
    """Every table of a study of own things alone, of three classes."""
    rows = study(
        [(model, "") for model in models],
        **{
            "train_rotations": (0, 180),
            "adversaries": ("none", OWN_ATTACK),
            "seeds": seeds,
            "test_rotations": (0, 90, 180),
            "eps": (0.1, 0.3),
            "data": OWN_DATA,
            "attacks": ("pgd", OWN_ATTACK),
            **MINE,
            **changes,
        },
    )
    trials = trials_of(rows)
    plain = [trial for trial in trials if trial.adversary == "none"]
    rows += [near(trial, Probe(attack="fmn", eps=0.3)) for trial in plain]
    return {
        "rows": frame(rows),
        "training": table_of("training", [r for trial in trials for r in learned(trial)]),
        "equivariance": table_of("equivariance", [r for trial in plain for r in turned(trial)]),
    }


@pytest.fixture(scope="module")
def alone():
    return own_study([OWN])


@pytest.fixture(scope="module")
def many():
    return own_study(MANY, seeds=(0,))


@pytest.mark.parametrize("name", [*GENERIC, "boundary", "equivariance", "learning"])
def test_generic_figures_show_own_things_by_their_names(name, alone):
    found = chart(name, **alone).to_dict()
    words = words_of(found)
    assert "mine.npz; recipe mine, like fast but weight_decay 0.1 (4 epochs" in words
    assert "digits" not in json.dumps(found)
    assert OWN in json.dumps(found["concat"])


@pytest.mark.parametrize("name", [*GENERIC, "learning"])
def test_twenty_own_models_have_a_legend_and_are_drawn(name, many):
    found = chart(name, **many).to_dict()
    svg = vl_convert.vegalite_to_svg(found)
    assert all(model in svg for model in MANY)


def test_own_attacks_stand_beside_the_papers_in_the_difference_and_the_strengths():
    rows = frame(study(attacks=("fgsm", "pgd", OWN_ATTACK), adversaries=("none",)))
    for name, wanted in (
        ("difference", ["No attack", "FGSM", "PGD", OWN_ATTACK]),
        ("figure10", ["FGSM", "PGD", OWN_ATTACK]),
    ):
        found = chart(name, rows)
        assert [panel.title.text for panel in found.concat] == wanted
        assert f"{OWN_ATTACK} (20 steps, 1 restart)" in words_of(found.to_dict())


def test_strengths_of_an_own_attack_alone_are_shown():
    rows = frame(study(attacks=(OWN_ATTACK,), adversaries=("none",)))
    found = chart("figure10", rows)
    assert [panel.title.text for panel in found.concat] == [OWN_ATTACK]
    assert "Not measured: FGSM. Not measured: PGD." in words_of(found.to_dict())


def test_data_sets_are_never_mixed_and_it_is_said():
    same = {"adversaries": ("none",), "seeds": (0, 1)}
    rows = frame(study(**same) + study(data=OWN_DATA, train_rotations=(0, 60), **same))
    found = chart("tradeoff", rows)
    words = words_of(found.to_dict())
    assert "MNIST-5k subset" in words
    assert "rows with train_size 600, data mine.npz." in words


def test_figures_of_the_papers_networks_need_them(alone):
    for name in ("figure04", "figure07", "figure09", "figure11", "difference"):
        with pytest.raises(NotMeasured):
            chart(name, **alone)
