import pytest

from analysis.rows.selection import NotMeasured
from rotgrid.spec import Probe, Trial

from made_up import OWN, OWN_ATTACK, chart, frame, row, study


def test_every_attack_adversary_and_model_is_drawn():
    models = (("stdcnn", "table1"), (OWN, ""))
    attacks = ("pgd", OWN_ATTACK)
    found = chart("against", frame(study(models, (0, 90), attacks=attacks, test_rotations=())))
    spec = found.to_dict()
    assert spec["title"]["text"] == (
        "Accuracy against eps, by model, adversary, attack and train rotation"
    )
    titles = [panel["title"]["text"] for panel in spec["concat"]]
    assert titles == [
        f"{OWN_ATTACK}, trained on 0\u00b0",
        f"{OWN_ATTACK}, trained on \u00b190\u00b0",
        "PGD, trained on 0\u00b0",
        "PGD, trained on \u00b190\u00b0",
    ]
    assert spec["columns"] == 2
    assert set(found.data["model"]) == {"stdcnn", OWN}
    assert set(found.data["adversary"]) == {"none", "fgsm 0.3"}
    words = " ".join(spec["title"]["subtitle"])
    assert words == (
        "Line: mean over seeds, band: 95% interval; colour: model; dash: adversary; panels: "
        "attack and train rotation. MNIST-5k subset (not MNIST test accuracy); 3 seeds; n = 1,000 "
        f"images; PGD, {OWN_ATTACK}; eps 0.05 to 0.3 in pixel units."
    )


@pytest.mark.parametrize("field", ["train_size", "epochs", "learning_rate"])
def test_any_number_goes_along_x(field):
    trials = [Trial(model="gcnn", data="mnist5k", **{field: n}) for n in (1, 2, 3)]
    spec = chart("against", frame([row(trial, Probe()) for trial in trials])).to_dict()
    x = spec["concat"][0]["layer"][0]["encoding"]["x"]
    assert x["field"] == field
    log = field != "epochs"
    assert (x["scale"].get("type") == "log") == log


def test_lines_along_another_number_say_the_eps():
    few = study(train_rotations=(0, 90), test_rotations=(), adversaries=("none",), seeds=(0,))
    found = chart("against_other", frame(few))
    assert found.to_dict()["title"]["subtitle"][-1].endswith("; PGD; eps 0.1 in pixel units.")


def test_the_second_figure_needs_a_second_number():
    with pytest.raises(NotMeasured, match="needs rows at two values of another"):
        chart("against_other", frame(study(train_rotations=(0,), test_rotations=())))


SMALL = {"train_rotations": (0,), "test_rotations": (), "seeds": (0, 1)}
THREE = (("stdcnn", "table1"), ("gcnn", "table1"), (OWN, ""))


def test_without_a_number_accuracy_stands_by_words():
    rows = frame(study(THREE, adversaries=("none", "fgsm"), eps=(0.1,), **SMALL))
    found = chart("by_category", rows)
    spec = found.to_dict()
    assert spec["title"]["text"] == "Accuracy by adversary, model and attack at eps 0.1"
    titles = [panel["title"]["text"] for panel in spec["concat"]]
    assert titles == ["PGD", "FGSM", "No attack"]
    bars, points = (layer["encoding"] for layer in spec["concat"][0]["layer"])
    assert points["y"]["scale"]["domain"] == ["none", "fgsm 0.3"]
    assert points["yOffset"]["scale"]["domain"] == points["color"]["scale"]["domain"]
    assert (bars["x"]["field"], bars["x2"]["field"]) == ("lower", "upper")
    point = {"model": "gcnn", "adversary": "fgsm 0.3", "attack": "pgd"}
    (shown,) = found.data.filter(**point).iter_rows(named=True)
    of = rows.filter(model="gcnn", adversary="fgsm", attack="pgd")
    assert shown["accuracy"] == pytest.approx((of["n_correct"] / of["n"]).mean())
    assert shown["seeds"] == 2


@pytest.mark.parametrize(
    ("models", "adversaries", "title"),
    [
        (THREE, ("none",), "model and attack"),
        (THREE[:1], ("none", "fgsm"), "adversary and attack"),
    ],
)
def test_attacks_are_colours_where_only_one_other_thing_varies(models, adversaries, title):
    rows = frame(study(models, adversaries=adversaries, eps=(0.1,), **SMALL))
    spec = chart("by_category", rows).to_dict()
    assert spec["title"]["text"] == f"Accuracy by {title} at eps 0.1"
    (panel,) = spec["concat"]
    looks = panel["layer"][-1]["encoding"]
    assert looks["color"]["field"] == looks["shape"]["field"] == "attack"
    assert looks["color"]["scale"]["domain"] == ["none", "fgsm", "pgd"]


def test_numbers_that_make_no_line_are_panels_of_words():
    """Each of two networks was trained on a range of its own."""
    few = {"adversaries": ("none",), "eps": (), "test_rotations": (), "seeds": (0,)}
    rows = study(THREE[:1], (0,), **few) + study(THREE[1:2], (90,), **few)
    spec = chart("by_category", frame(rows)).to_dict()
    assert spec["title"]["text"].startswith("Accuracy by model, train rotation")
    assert spec["concat"][0]["layer"][-1]["encoding"]["y"]["field"] == "model"


def test_where_a_number_varies_there_are_lines_instead():
    with pytest.raises(NotMeasured, match="figure against shows them"):
        chart("by_category", frame(study(THREE, **SMALL)))
    with pytest.raises(NotMeasured, match="two values of a number"):
        chart("against", frame(study(THREE, eps=(0.1,), **SMALL)))
    with pytest.raises(NotMeasured, match="two networks or attacks"):
        chart("by_category", frame(study(THREE[:1], adversaries=("none",), eps=(), **SMALL)))
