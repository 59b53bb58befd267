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
        "attack and train_rotation. MNIST-5k subset (not MNIST test accuracy); 3 seeds; n = 1,000 "
        f"test images per network; PGD, {OWN_ATTACK}; eps in pixel units."
    )


def test_a_tooltip_has_at_most_eight_fields():
    spec = chart("against", frame(study(seeds=(0,)))).to_dict()
    tips = [
        layer["encoding"]["tooltip"]
        for panel in spec["concat"]
        for layer in panel["layer"]
        if "tooltip" in layer["encoding"]
    ]
    assert tips
    assert max(map(len, tips)) <= 8


@pytest.mark.parametrize("field", ["train_size", "epochs", "learning_rate"])
def test_any_number_goes_along_x(field):
    trials = [Trial(model="gcnn", data="mnist5k", **{field: n}) for n in (1, 2, 3)]
    spec = chart("against", frame([row(trial, Probe()) for trial in trials])).to_dict()
    x = spec["concat"][0]["layer"][0]["encoding"]["x"]
    assert x["field"] == field
    log = field != "epochs"
    assert (x["scale"].get("type") == "log") == log


def test_the_second_figure_needs_a_second_number():
    with pytest.raises(NotMeasured, match="needs rows at two values of another"):
        chart("against_other", frame(study(train_rotations=(0,), test_rotations=())))
