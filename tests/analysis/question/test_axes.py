import polars as pl
import pytest

from analysis.question.axes import MOST_PANELS, axes
from analysis.rows.selection import NotMeasured
from rotgrid.spec import Probe, Trial

from made_up import OWN, OWN_ATTACK, frame, row, study

PAIR = (("stdcnn", "doubled"), ("gcnn", "halved"))


def newcomers():
    """The grid of a newcomer: two networks, with and without adversary, two ranges and attacks."""
    return frame(study(PAIR, (0, 90), seeds=(0, 1), test_rotations=(), attacks=("pgd", "fgsm")))


def test_the_number_with_the_most_values_goes_along_x_and_all_else_is_shared_out():
    found = axes(newcomers())
    assert (found.x, found.colour, found.dash) == ("eps", "model", "adversary")
    assert found.panels == ("attack", "train_rotation")
    assert sorted(found.rows["eps"].unique()) == [0.0, 0.05, 0.1, 0.2, 0.3]
    assert set(found.rows["attack"]) == {"pgd", "fgsm"}
    by = [*found.lines, "eps", "seed"]
    assert found.rows.select(by).is_duplicated().sum() == 0


def test_another_number_is_next():
    found = axes(newcomers(), 1)
    assert (found.x, found.panels) == ("train_rotation", ("attack",))
    with pytest.raises(NotMeasured, match="needs rows at two values of another"):
        axes(newcomers(), 2)


def test_own_names_and_variants_are_told_apart():
    models = (("stdcnn", "table1"), ("stdcnn", "doubled"), (OWN, ""))
    rows = frame(study(models, (0,), ("none",), attacks=(OWN_ATTACK,), test_rotations=()))
    found = axes(rows)
    assert (found.x, found.colour, found.dash) == ("eps", "model", "variant")
    assert set(found.rows["model"]) == {"stdcnn", OWN}


def test_of_one_model_another_field_has_the_colours():
    found = axes(frame(study((("gcnn", "table1"),), (0,), ("none",), test_rotations=())))
    assert (found.x, found.colour, found.dash, found.panels) == ("eps", "attack", None, ())


def test_sizes_of_training_go_along_x():
    sizes = [Trial(model="gcnn", data="mnist5k", train_size=n) for n in (100, 200, 400)]
    assert axes(frame([row(trial, Probe()) for trial in sizes])).x == "train_size"


def test_panels_are_few_and_what_is_left_out_is_said():
    rows = [
        row(Trial(model="gcnn", data="mnist5k", train_rotation=float(t), batch_size=b), probe)
        for t in (0, 30, 60, 90, 120)
        for b in (16, 32, 64, 128)
        for probe in [Probe(attack="pgd", eps=e, test_rotation=0.0) for e in (0.1, 0.2, 0.3)]
        + [Probe(attack="fgsm", eps=e, test_rotation=0.0) for e in (0.1, 0.2, 0.3)]
    ]
    found = axes(frame(rows))
    assert found.rows.select(found.panels).n_unique() <= MOST_PANELS
    assert all("is shown, of" in note for note in found.notes)


def test_threat_models_are_never_on_one_axis():
    rows = newcomers()
    assert axes(rows).notes == []
    few = rows.filter(pl.col("eps") == 0.1).with_columns(threat=pl.lit("l2"), eps=pl.lit(2.0))
    found = axes(pl.concat([rows, few]))
    assert set(found.rows["threat"]) == {"linf"}
    assert found.notes == ["Left out: rows of L2 balls."]


def test_the_order_of_rows_changes_nothing():
    rows = newcomers()
    one, other = axes(rows), axes(rows.sample(fraction=1, shuffle=True, seed=1))
    assert one[1:] == other[1:]
    keys = [*one.lines, "eps", "seed"]
    assert one.rows.sort(keys)["n_correct"].equals(other.rows.sort(keys)["n_correct"])


def test_one_point_is_no_line():
    with pytest.raises(NotMeasured, match="needs rows at two values of a number"):
        axes(frame([row(Trial(model="gcnn", data="mnist5k"), Probe())]))
    with pytest.raises(NotMeasured, match="needs rows at two values of a number"):
        axes(frame([]).with_columns(pl.col("seed")))
