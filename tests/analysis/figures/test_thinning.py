"""Results of any size have their figures: what a page cannot hold is thinned out, and said."""

import polars as pl
import pytest

from analysis.figures import thinning
from analysis.figures.panels import MOST_ROWS
from rotgrid.spec import Probe, Trial
from rotgrid.spec.models import MODELS

from made_up import chart, frame, row, table_of, turned, words_of

TURNS = [float(turn) for turn in range(0, 181, 10)]
NETWORK = ["trial", "model", "variant", "train_rotation"]


def crossed(table: pl.DataFrame, **values) -> pl.DataFrame:
    """The table with a new column for every combination of values."""
    for name, of in values.items():
        table = table.join(pl.DataFrame({name: of}), how="cross")
    return table


def spread_over(template: pl.DataFrame, cells: pl.DataFrame) -> pl.DataFrame:
    """The template's row, or rows, for each cell, whose columns replace its own."""
    made = template.drop(cells.columns).join(cells, how="cross").select(template.columns)
    return made.cast(template.schema)


def networks(turns=TURNS) -> pl.DataFrame:
    """Every architecture trained on every range."""
    first = pl.DataFrame(
        {"model": [*MODELS], "variant": [MODELS[model].default for model in MODELS]}
    )
    made = crossed(first, train_rotation=turns)
    return made.with_columns(trial=pl.concat_str(pl.all(), separator=" "))


def rows_of(cells: pl.DataFrame, probe: Probe, **changes) -> pl.DataFrame:
    """A row of 8 images for each cell."""
    trial = Trial(model="stdcnn", data="mnist", recipe="fast")
    template = frame([row(trial, probe, n=8, n_correct=5, correct=b"\xf8", **changes)])
    key = pl.concat_str("trial", "test_rotation", "eps", separator=" ")
    return spread_over(template, cells).with_columns(probe=key)


@pytest.fixture(scope="module")
def full_cube() -> dict[str, pl.DataFrame]:
    """19 train ranges x 19 test ranges x 25 eps of every architecture, distances, and errors."""
    own = networks()
    apart = crossed(own, test_rotation=TURNS)
    rows = [rows_of(apart.with_columns(eps=0.0), Probe())]
    strengths = [step / 50 for step in range(1, 26)]
    for attack in ("fgsm", "pgd"):
        probe = Probe(attack=attack, eps=0.1, steps=20)
        rows.append(rows_of(crossed(apart, eps=strengths), probe))
    same = own.with_columns(test_rotation="train_rotation", eps=0.1)
    distances = [step / 10 for step in range(8)]
    rows.append(rows_of(same, Probe(attack="fmn", eps=0.1), distances=distances))
    errors = table_of("equivariance", turned(Trial(model="gcnn"), degrees=range(10, 121, 10)))
    return {"rows": pl.concat(rows), "equivariance": spread_over(errors, own)}


NAMES = ["overview", "tradeoff", "frontier", "difference", "figure01", "figure02", "figure07"]
NAMES += ["figure09", "figure10", "figure11", "figure12", "cube", "boundary", "equivariance"]


@pytest.mark.parametrize("name", NAMES)
def test_a_full_cube_of_every_architecture_is_drawn(name, full_cube):
    found = chart(name, **full_cube)
    frames = [found.data, *(panel.data for panel in found.concat)]
    heights = [data.height for data in frames if isinstance(data, pl.DataFrame)]
    assert heights
    assert max(heights) <= MOST_ROWS


def test_the_cube_keeps_outermost_ranges_and_the_diagonal_and_says_so(full_cube):
    found = chart("cube", **full_cube)
    trained, tested = (set(found.data[f"{of}_rotation"]) for of in ("train", "test"))
    assert trained == tested
    assert {0.0, 180.0} <= trained
    assert 5 <= len(trained) < len(TURNS)
    assert found.data.height == len(MODELS) * 3 * len(trained) ** 2
    names = " and ".join([", ".join(f"{x:g}" for x in sorted(trained)[:-1]), "180"])
    words = words_of(found.to_dict())
    for column in ("train_rotation", "test_rotation"):
        assert f"{len(trained)} of 19 values of {column} are shown: {names}." in words


def test_a_cube_with_finer_test_ranges_shows_those_of_training_and_some_others(full_cube):
    pair = pl.col("model").is_in(["stdcnn", "gcnn"])
    three = pl.col("train_rotation").is_in([0.0, 60.0, 180.0])
    found = chart("cube", full_cube["rows"].filter(pair, three)).data
    assert set(found["train_rotation"]) == {0.0, 60.0, 180.0}
    assert {0.0, 60.0, 180.0} < set(found["test_rotation"])
    assert found["test_rotation"].n_unique() == 12


def test_a_test_range_for_every_degree_is_drawn():
    cells = crossed(networks([0.0]), test_rotation=[float(x) for x in range(181)], eps=[0.0])
    for name in ("figure01", "figure02", "figure12", "overview"):
        rows = rows_of(cells, Probe())
        if name == "figure02":
            turned = rows.filter(test_rotation=180).with_columns(
                pl.lit(180.0).alias("train_rotation"), trial="trial" + pl.lit(" turned")
            )
            rows = pl.concat([rows, turned])
        found = chart(name, rows)
        data = found.data if isinstance(found.data, pl.DataFrame) else found.concat[0].data
        assert {0.0, 180.0} <= set(data["test_rotation"])
        assert "of 181 values of test_rotation are shown." in words_of(found.to_dict())


def test_eps_and_ranges_of_lines_are_few_and_keep_the_papers(full_cube):
    finer = full_cube["rows"].filter(pl.col("model") == "gcnn")
    more = finer.filter(pl.col("eps") > 0).with_columns(pl.col("eps") - 0.011)
    found = chart("figure11", pl.concat([finer, more.filter(pl.col("eps") > 0)])).data
    assert found["train_rotation"].n_unique() == 12
    assert {0.0, 0.3, 0.5} <= set(found["eps"])
    assert found["eps"].n_unique() <= 31


def test_evenly_keeps_few_values_whole_and_of_many_the_outermost():
    assert thinning.evenly([1, 2, 3], 3) == [1, 2, 3]
    assert thinning.evenly(range(11), 3) == [0, 5, 10]
    assert thinning.evenly(range(11), 0) == [0, 10]
    assert thinning.evenly([], 3) == []


def test_nothing_left_out_needs_no_note():
    rows = pl.DataFrame({"x": [0.0, 1.0, 2.0], "kind": "a"})
    assert thinning.thinned(rows, "x", 3).notes == []
    kept, notes = thinning.thinned(rows, "x", 2, keep=[1.0])
    assert (kept.height, notes) == (3, [])
    kept, notes = thinning.thinned(rows, "x", 2)
    assert (kept["x"].to_list(), notes) == ([0, 2], ["2 of 3 values of x are shown: 0 and 2."])
    kept, notes = thinning.thinned_to_fit(rows, "x", ["kind"], points=1_000)
    assert kept["x"].to_list() == [0, 2]
