import re

import polars as pl
import pytest

from analysis.figures import captions
from analysis.figures.registry import FIGURES
from analysis.rows.notes import LeftOut, OtherVariants
from rotgrid.spec import Probe, Trial
from rotgrid.spec.recipes import FAST

from made_up import OWN, OWN_ATTACK, OWN_DATA, frame, row, study

TRIAL = Trial(model="gcnn", data="mnist5k")


def test_attack_settings_name_steps_and_starts():
    probes = [
        Probe(attack="pgd", eps=0.1, steps=40, restarts=5),
        Probe(attack="fgsm", eps=0.1),
        Probe(attack="noise", eps=0.2, restarts=10),
        Probe(),
    ]
    rows = frame([row(TRIAL, probe) for probe in probes])
    assert captions.attacks(rows) == (
        "random noise (10 draws), FGSM (1 step), PGD (40 steps, 5 random starts); eps 0.1 to 0.2, "
        "an L-inf radius in pixel units (pixels in [0, 1]) around the rotated image."
    )
    assert captions.attacks(rows.filter(pl.col("attack") == "none")) == ""


def test_of_own_attacks_and_recipes_the_rows_say_what_the_name_leaves_open():
    settings = FAST.model_copy(update={"weight_decay": 0.0005, "epochs": 1}).model_dump_json()
    rows = frame(
        study(
            models=((OWN, ""), ("hnet", "fixed")),
            attacks=("pgd", OWN_ATTACK),
            adversaries=("none", OWN_ATTACK),
            recipe="mine",
            recipe_settings=settings,
        )
    )
    assert captions.attack_settings(rows.filter(pl.col("eps") > 0)) == (
        f"PGD (20 steps, 1 random start), {OWN_ATTACK} (20 steps, 1 restart)"
    )
    unread = rows.filter(attack=OWN_ATTACK).with_columns(steps=0, restarts=0)
    assert captions.attack_settings(unread) == OWN_ATTACK
    assert captions.training(rows.filter(model=OWN)) == (
        "MNIST-5k subset (not MNIST test accuracy); recipe mine, like fast but weight_decay "
        "0.0005 (1 epoch, 3,500 training images)"
    )


def test_a_line_that_begins_with_an_own_name_keeps_it():
    title = captions.heading("Q", [f"{OWN_ATTACK} (1 step)", "eps 0.1"], 600)
    assert title.subtitle == [f"{OWN_ATTACK} (1 step)", "Eps 0.1"]


def test_deviations_are_those_of_the_data_sets_of_the_rows():
    small = {"train_rotations": (0,), "seeds": (0,), "eps": (), "adversaries": ("none",)}
    own = frame(study(data=OWN_DATA, **small))
    words = "deviations of the data's pixels"
    assert captions.unit_of_eps("normalised", own) == f"{words} (1 is 0.25 pixel units)"
    both = pl.concat([own, frame(study(**small))])
    assert captions.unit_of_eps("normalised", both) == (
        f"{words} (1 is, in pixel units, 0.25 for {OWN_DATA} and 0.3081 for mnist5k)"
    )
    unknown = own.with_columns(data_digest=pl.lit("f" * 16))
    assert captions.unit_of_eps("normalised", unknown) == words


TURNED = {"test_rotation": 30.0, "test_translation": 3.0}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"attack": "noise", "restarts": 1}, "random noise (1 draw)"),
        ({"attack": "sign-noise", "restarts": 10}, "random sign noise (10 draws)"),
        ({"attack": "class-means"}, "difference of class means"),
        (
            {"attack": "fgsm", "label_rule": "predicted"},
            "FGSM (1 step, on the predicted label: errors may be repaired)",
        ),
        ({"attack": "bim"}, "Basic iterative method (steps of 1/255 from the image itself)"),
        ({"attack": "pgd", "restarts": 0}, "PGD (40 steps, from the image itself)"),
        (
            {"attack": "pgd", "loss": "margin", "label_rule": "predicted"},
            "PGD (40 steps, 1 random start, on the margin, on the predicted label: errors may be "
            "repaired)",
        ),
        (
            {"attack": "fgsm", "clip": "normalised"},
            "FGSM (1 step, clipped to [0, 1] of standardised images, which leaves the ball)",
        ),
        (
            {"attack": "pgd", "clip": "none", "mode": "train"},
            "PGD (40 steps, 1 random start, not clipped, in training mode)",
        ),
        ({"attack": "apgd"}, "Auto-PGD (100 steps, 1 random start)"),
        (
            {"attack": "apgd", "loss": "dlr"},
            "Auto-PGD (100 steps, 1 random start, on the difference of logits ratio toward up to "
            "9 targets)",
        ),
        ({"attack": "square", "steps": 5_000}, "Square (5,000 queries, 1 random start)"),
        ({"attack": "fmn"}, "Fast minimum norm (50 steps)"),
        (
            {"attack": "fmn-pgd", "restarts": 5},
            "Fast minimum norm and PGD (40 steps, 5 random starts)",
        ),
        (
            {"attack": "strong"},
            "Ensemble of attacks (100 steps; Fast minimum norm, Auto-PGD without and with "
            "targets, Square)",
        ),
        (
            {"attack": "transfer", "source": "stdcnn"},
            "transferred PGD (40 steps, 1 random start, images made on StdCNN)",
        ),
        (
            {"attack": "rotation-grid", **TURNED},
            "worst rotation (over all whole degrees in [-x, x] degrees, x = 30)",
        ),
        (
            {"attack": "translation-grid", **TURNED},
            "worst shift (over all whole pixels in [-t, t] pixels, t = 3, along both axes)",
        ),
        (
            {"attack": "spatial-grid", **TURNED},
            "worst rotation and shift (over 31 rotations in [-x, x] degrees, x = 30, times 5 x 5 "
            "shifts in [-t, t] pixels, t = 3)",
        ),
        (
            {"attack": "worst-of-10", **TURNED},
            "worst of 10 rotations and shifts (drawn from [-x, x] degrees, x = 30, and [-t, t] "
            "pixels, t = 3)",
        ),
        (
            {"attack": "spatial-pgd", **TURNED},
            "PGD at the worst rotations (40 steps, 1 random start, around the worst whole degree "
            "in [-x, x] degrees, x = 30, around 10 draws of such rotations and of shifts in "
            "[-t, t] pixels, t = 3)",
        ),
        ({"attack": "equivariance"}, "class unchanged by a rotation"),
        ({"attack": "diagnostics"}, "all checks (of PGD with 40 steps, 1 random start)"),
    ],
)
def test_every_attack_says_what_its_name_leaves_open(fields, words):
    assert captions.attack_settings(frame([row(TRIAL, Probe(**fields))])) == words


def test_kinds_of_one_attack_are_told_apart():
    probes = [
        Probe(attack="pgd", loss=loss, restarts=n) for loss in ("ce", "margin") for n in (0, 5)
    ]
    assert captions.attack_settings(frame([row(TRIAL, probe) for probe in probes])) == (
        "PGD (40 steps, from the image itself or 5 random starts), "
        "PGD (40 steps, from the image itself or 5 random starts, on the margin)"
    )


def test_the_unit_of_eps_and_shifts_are_explained():
    probe = Probe(attack="fgsm", eps=0.5, eps_unit="normalised", test_translation=2.0)
    rows = frame([row(TRIAL, probe)])
    assert captions.attacks(rows) == (
        "FGSM (1 step); eps 0.5, an L-inf radius in deviations of the data's pixels (1 is 0.3081 "
        "pixel units) around the rotated image."
    )
    assert "test images per network, shifted by U[-t, t] pixels, t = 2." in captions.sample(rows)


def test_the_training_mode_and_shifts_in_training_are_said():
    usual, trains = Probe(), Probe(mode="train")
    shifted = TRIAL.model_copy(update={"train_translation": 2.0})
    words = [
        captions.sample(frame([row(trial, probe) for probe in probes]))
        for trial, probes in ((TRIAL, [usual]), (shifted, [trains]), (TRIAL, [usual, trains]))
    ]
    assert "shifted" not in words[0]
    assert "mode" not in words[0]
    assert "3,500 training images, shifted by U[-t, t] pixels, t = 2)" in words[1]
    assert "per network, all with the network in training mode." in words[1]
    assert "per network, some with the network in training mode." in words[2]


def test_networks_that_are_not_to_be_believed_are_named_or_counted():
    trials = [Trial(model="gcnn", data="mnist5k", seed=seed) for seed in (0, 1)]
    probe = Probe(attack="pgd", eps=0.1)
    rows = [row(trial, probe, flags=f) for trial, f in zip(trials, ["b, a", "b, c"], strict=True)]
    named = "GCNN table1, range 0 (a, b, c)."
    rows_of_both = frame(rows)
    assert captions.flagged(rows_of_both, outlined=False) == f"Not to be believed: {named}"
    assert captions.flagged(rows_of_both, outlined=True) == (
        f"Not to be believed (dotted outlines): {named}"
    )
    rows += [
        row(Trial(model="gcnn", data="mnist5k", train_rotation=float(x)), probe, flags="repeat")
        for x in range(1, 9)
    ]
    assert captions.failing(rows_of_both, outlined=False) == "1 network fails checks."
    assert captions.failing(frame(rows), outlined=True) == (
        "Dotted outline: 9 networks fail checks."
    )
    words = captions.flagged(frame(rows), outlined=True)
    assert "GCNN table1, range 4 (repeat); 4 more." in words
    assert "range 5" not in words


@pytest.mark.parametrize(("eps", "flags"), [(0.0, "repeat"), (0.1, ""), (0.1, None)])
def test_nothing_is_flagged_without_an_attack_or_a_flag(eps, flags):
    rows = frame([row(TRIAL, Probe(attack="pgd", eps=eps), flags=flags)])
    assert captions.flagged(rows, outlined=True) == ""
    assert captions.failing(rows, outlined=True) == ""


def test_a_caption_has_a_line_for_each_that_is_given_and_no_more():
    heading = captions.heading("What", ["word " * 60, "", "end"], 540)
    assert heading.text == "What"
    long, end = heading.subtitle
    assert long.startswith("Word word")
    assert long.endswith("word ...")
    assert len(long) <= 540 / captions.CHARACTER
    assert end == "End"


@pytest.mark.parametrize("name", ["against", "tradeoff", "figure11"])
def test_a_shortened_caption_still_says_that_networks_fail_checks(name, monkeypatch):
    monkeypatch.setattr(captions, "CHARACTER", 14.0)
    rows = frame(study(seeds=(0,), test_rotations=())).with_columns(flags=pl.lit("repeat"))
    line = FIGURES[name].draw(rows).to_dict(validate=False)["title"]["subtitle"][0]
    assert re.match(r"(Dotted outline: )?\d+ networks fail checks\.", line)
    assert line.endswith(" ...")


def test_of_many_attacks_a_caption_says_how_many():
    attacks = ("fgsm", "pgd", "apgd", "square", "fmn")
    rows = [row(TRIAL, Probe(attack=attack, eps=0.1)) for attack in attacks]
    assert "; 5 attacks; eps 0.1 in pixel units." in captions.measured(frame(rows))
    assert "; FGSM, PGD, Auto-PGD, Square; eps" in captions.measured(frame(rows[:4]))


def test_a_caption_names_a_ball_that_is_not_the_usual_one():
    probes = [Probe(attack="pgd", eps=eps, threat="l2") for eps in (0.5, 1.5)]
    words = captions.measured(frame([row(TRIAL, probe) for probe in probes]))
    assert words.endswith("; PGD; eps 0.5 to 1.5 (L2) in pixel units.")


def test_many_kinds_of_rows_left_out_are_summed_up():
    notes = [LeftOut(n, {}, {"epochs": 1}, {"epochs": n}) for n in (2, 3, 4)]
    assert captions.summed_up(["First.", notes[0]], []) == f"First. {notes[0]}"
    one = LeftOut(1, {}, {"epochs": 1}, {"epochs": 2})
    assert captions.summed_up([one, one], []) == "Left out: 2 rows that differ in epochs."
    kept, left = {"steps": 1, "loss": "ce"}, {"steps": 2, "loss": "a, b with c 1."}
    more = LeftOut(1_000, {"attack": "pgd"}, kept, left)
    assert captions.summed_up([*notes, "Last.", more], []) == (
        "Last. Left out: 1,009 rows that differ in epochs, steps and loss."
    )


def test_variants_of_models_that_are_not_shown_are_not_named():
    note = OtherVariants({"hnet": "2018", "capsnet": "narrow"}, {})
    assert captions.summed_up([note], {"gcnn"}) == ""
    words = captions.summed_up(["First.", note], {"gcnn", "capsnet"})
    assert "capsnet narrow" in words
    assert "hnet" not in words
