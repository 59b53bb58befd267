import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.explorer import choices, points
from analysis.rows.scan import FIELDS

from made_up import frame, study, table_of


@pytest.fixture(scope="module")
def rows():
    made = study(seeds=(0, 1, 2), train_rotations=(0, 60), test_rotations=(0, 60), eps=(0.1,))
    two = study((("hnet", "fixed"),), seeds=(0, 1), train_rotations=(0,), eps=(0.1,))
    return choices.with_measures(frame(made + two), table_of("training", []))


SHOWN = st.lists(st.sampled_from(["model", "eps", "train_rotation", "seed", "data"]), unique=True)


@given(SHOWN)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
def test_every_row_is_behind_one_point_and_no_point_mixes_settings(rows, shown):
    found = points.points(rows, shown)
    behind = [points.rows_of(rows, found, [number]) for number in found[points.POINT]]
    assert sum(map(len, behind)) == rows.height
    for some, point in zip(behind, found.iter_rows(named=True), strict=True):
        assert all(some[name].n_unique() == 1 for name in FIELDS if name != "seed")
        assert some["seed"].n_unique() == some.height == point["seeds"]
        assert point["accuracy"] == pytest.approx(some["accuracy"].mean())
        assert point["parameters"] == pytest.approx(some["parameters"].mean())


def test_bands_need_three_seeds(rows):
    found = points.points(rows, ["test_rotation"])
    known = found.filter(found["_lower"].is_not_null())
    assert set(known["seeds"]) == {3}
    assert set(found["seeds"]) == {2, 3}
    assert (known["_lower"] <= known["accuracy"]).all()


def test_a_series_differs_only_along_x(rows):
    found = points.points(rows, ["test_rotation", "accuracy"])
    others = [name for name in points.conditions(found) if name != "test_rotation"]
    assert found.select("_series").n_unique() == found.select(others).n_unique()
    assert (found.group_by("_series").agg(found[others[0]].n_unique())).height
    assert found.select(["_series", *others]).n_unique() == found["_series"].n_unique()


def test_the_table_has_what_is_shown_and_known(rows):
    found = points.points(rows, ["test_rotation", "accuracy", "model"])
    table = points.table(found)
    assert table.height == found.height
    assert {"model", "accuracy", "lower", "upper", "seeds", "n"} <= {*table.columns}
    assert not {"distance", "seconds", *points.KEYS} & {*table.columns}


def test_rows_of_one_setting_are_one_point(rows):
    keys = rows.select("model", "train_rotation", "attack", "adversary", "test_rotation").row(0)
    one = rows.filter(model=keys[0], train_rotation=keys[1], attack=keys[2], adversary=keys[3],
                      test_rotation=keys[4])  # fmt: skip
    found = points.points(one, ["parameters"])
    assert found.height == 1
    assert points.rows_of(one, found, [0]).height == 3
    assert points.rows_of(one, found, []).is_empty()


def test_brief_rows_say_what_differs(rows):
    found = points.brief(rows.head(2), rows)
    assert {"trial", "probe", "model", "seed", "n", "n_correct"} <= {*found.columns}
    assert "data" not in found.columns
