"""The app runs from its first cell to its last, without a window."""

import io
import shlex
import subprocess
import sys
from pathlib import Path

import altair as alt
import polars as pl
import pytest

from analysis.explorer import charts, downloads
from rotgrid import arguments, grid

from made_up import store, study

ROOT = Path(__file__).parents[3]


def opened(root, monkeypatch, **defined):
    """The outputs and the variables of the app."""
    monkeypatch.setattr(sys, "argv", ["app.py", "--results", root])
    from analysis.explorer.app import app

    return app.run(defs=defined)


class Chosen:
    """A control at which something is chosen."""

    def __init__(self, **value):
        self.value = value


class Clicked:
    """Charts of which one had a click on a point."""

    def __init__(self, number):
        self.elements = [Clicked.Chart({}), Clicked.Chart({"picked": {"_point": [number]}})]

    class Chart:
        def __init__(self, selections):
            self.selections = selections


def test_every_cell_runs(root, monkeypatch):
    outputs, found = opened(root, monkeypatch)
    assert found["rows"].height == 2 * 2 * 3 * 4
    assert set(found["chosen"]["attack"]) == {"none"}
    assert found["found"].height == 2 * 2 * 2
    assert set(found["found"]["seeds"]) == {3}
    assert found["pictures"].elements
    assert isinstance(found["figure"], alt.ConcatChart)
    assert len(found["shown"]) == 1
    assert found["outcomes"]
    shown = "".join(output.text for output in outputs if hasattr(output, "text"))
    assert "12 of 12 networks done. Read on " in shown
    assert "data:image/png;base64," in shown


def test_what_is_chosen_narrows_points_table_and_pictures(root, monkeypatch):
    wanted = Chosen(model=["gcnn"], attack=["pgd"], eps=[0.1])
    axes = Chosen(x="train_rotation", y="accuracy", colour="eps", facet=None)
    _, found = opened(root, monkeypatch, filters=wanted, axes=axes)
    assert set(found["chosen"]["model"]) == {"gcnn"}
    assert found["table"].select("train_rotation", "eps").rows() == [(0.0, 0.1), (60.0, 0.1)]
    assert found["shown"] == []
    (chart,) = found["pictures"].elements
    assert {"field": "eps"}.items() <= chart.to_dict()["layer"][0]["encoding"]["color"].items()
    assert pl.read_csv(io.BytesIO(downloads.csv(found["table"]))).height == 2
    assert pl.read_parquet(io.BytesIO(downloads.parquet(found["table"]))).equals(found["table"])


def test_nothing_that_is_chosen_is_said(root, monkeypatch):
    outputs, found = opened(root, monkeypatch, filters=Chosen(attack=["fgsm"]))
    assert "found" not in found
    assert any("No row is of all that is chosen" in getattr(each, "text", "") for each in outputs)


def test_a_click_shows_the_rows_of_a_point_and_what_makes_them_again(root, monkeypatch):
    _, found = opened(root, monkeypatch, pictures=Clicked(1))
    behind = found["behind"]
    (point,) = found["found"].filter(_point=1).to_dicts()
    assert sorted(behind["seed"]) == [0, 1, 2]
    for field in ("model", "train_rotation", "test_rotation"):
        assert set(behind[field]) == {point[field]}
    assert (behind["n_correct"] / behind["n"]).mean() == pytest.approx(point["accuracy"])
    words = [shlex.split(line) for line in found["commands"]]
    parsed = [arguments.parse_arguments(each[each.index("-m") + 2 :]) for each in words]
    assert sorted(each.only for each in parsed) == sorted(behind["trial"])
    for each in parsed:
        asked = grid.read(each.grid).trials
        assert each.results != root
        assert each.only in {trial.key() for trial in asked}


def test_a_click_in_the_browser_is_such_a_selection(root, monkeypatch):
    _, found = opened(root, monkeypatch)
    chart = found["pictures"].elements[0]
    assert charts.picked(chart.selections if hasattr(chart, "_chart_selection") else {}) == []
    chart._update({charts.PICKED: {"_point": [2], "vlPoint": {"or": [{"_point": 2}]}}})
    assert charts.picked(chart.selections) == [2]


def test_problems_are_shown_as_they_are_written(tmp_path, monkeypatch):
    place = tmp_path / "*a* <i>"
    store(place, study(seeds=(0,), train_rotations=(0,), adversaries=("none",)))
    (place / "evaluations" / "torn.parquet").write_bytes(b"no")
    outputs, _ = opened(str(place), monkeypatch)
    shown = "".join(output.text for output in outputs if hasattr(output, "text"))
    assert "*a* &lt;i&gt;: evaluations/torn.parquet: skipped" in shown


@pytest.mark.parametrize("how", [["-m", "analysis.explorer.app"], ["analysis/explorer/app.py"]])
def test_it_runs_as_a_script(root, how):
    command = [sys.executable, *how, "--", "--results", root]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
