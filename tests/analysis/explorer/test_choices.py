import polars as pl
import pytest

from analysis.explorer import choices
from analysis.rows.scan import FIELDS
from rotgrid.spec import Probe

from made_up import OWN, epochs, frame, near, row, study, table_of, trials_of


@pytest.fixture(scope="module")
def rows():
    made = study(seeds=(0, 1), train_rotations=(0, 60), test_rotations=(0, 60), eps=(0.1,))
    first = trials_of(made)[0]
    made.append(near(first, Probe(attack="fmn", eps=0.1, n_images=200)))
    learned = table_of("training", epochs(first, [None] * 3))
    return choices.with_measures(frame(made), learned)


def test_every_field_can_be_chosen_once():
    assert sorted(choices.ORDER) == sorted(FIELDS)


def test_values_have_the_names_and_the_order_of_legends(rows):
    assert choices.values(rows, "model") == {"StdCNN": "stdcnn", "GCNN": "gcnn"}
    assert [*choices.values(rows, "attack").values()] == ["none", "fgsm", "pgd", "fmn"]
    assert choices.values(rows, "train_rotation") == {"0": 0.0, "60": 60.0}
    assert set(choices.values(rows, "source")) == {"(none)"}


def test_own_names_are_shown_as_they_are():
    made = frame(study(models=((OWN, ""),), seeds=(0,), train_rotations=(0,)))
    assert choices.values(made, "model") == {OWN: OWN}


def test_choices_narrow_and_nothing_is_everything(rows):
    fields = {"model": ["gcnn"], "attack": [], "train_rotation": [0.0, 60.0]}
    found = choices.chosen(rows, fields)
    assert set(found["model"]) == {"gcnn"}
    assert found.equals(rows.filter(model="gcnn"))
    assert choices.chosen(rows, {name: [] for name in choices.varying(rows)}).equals(rows)


def test_accuracy_without_attack_is_that_of_the_same_network_and_rotation(rows):
    for one in rows.filter(attack="pgd").iter_rows(named=True):
        alike = {name: one[name] for name in choices.SAME_TEST}
        (plain,) = rows.filter(attack="none", **alike).iter_rows(named=True)
        assert one["clean_accuracy"] == plain["n_correct"] / plain["n"]


def test_measures_are_null_where_they_are_not_known(rows):
    assert set(rows.filter(pl.col("distance").is_not_null())["attack"]) == {"fmn"}
    took = rows.filter(pl.col("seconds").is_not_null())
    assert took["trial"].n_unique() == 1
    assert set(took["seconds"]) == {3.0}
    without = choices.with_measures(rows.drop("seconds"), table_of("training", []))
    assert "seconds" not in choices.axes(without).values()


def test_axes_are_known_measures_and_fields_that_vary(rows):
    found = choices.axes(rows)
    assert {"accuracy", "clean_accuracy", "model", "train_rotation", "seed"} <= {*found.values()}
    assert not {"data", "recipe"} & {*found.values()}
    assert len(set(found)) == len(found)


def test_the_first_picture(rows):
    plain = rows.filter(attack="none")
    assert choices.first_attack(rows) == "none"
    assert choices.first_axis(plain) in ("train_rotation", "test_rotation")
    assert choices.first_facet(plain, ("model", "test_rotation")) == "train_rotation"
    one = row(trials_of(study(seeds=(0,)))[0], Probe())
    alone = choices.with_measures(frame([one]), table_of("training", []))
    assert choices.first_axis(alone) == "parameters"
    assert choices.first_facet(alone, ()) == ""
