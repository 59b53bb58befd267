"""The notebook runs from its first cell to its last, without a window."""

import subprocess
import sys
from pathlib import Path

import altair as alt
import pytest

from made_up import store, study

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    return store(tmp_path, study(seeds=(0,), train_rotations=(0, 60), adversaries=("none",)))


def test_every_cell_runs(run, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["explore.py", "--results", run])
    from analysis.explore import app

    _, found = app.run()
    assert found["rows"].height == 2 * 2 * 14
    assert isinstance(found["figure"], alt.ConcatChart)
    assert set(found["table"]["model"]) == {"stdcnn", "gcnn"}
    assert (found["table"]["n"] > 0).all()
    assert found["chart"].to_dict()
    assert found["outcomes"]


def test_problems_are_shown_as_they_are_written(tmp_path, monkeypatch):
    place = tmp_path / "*a* <i>"
    store(place, study(seeds=(0,), train_rotations=(0,), adversaries=("none",)))
    (place / "evaluations" / "torn.parquet").write_bytes(b"no")
    monkeypatch.setattr(sys, "argv", ["explore.py", "--results", str(place)])
    from analysis.explore import app

    outputs, _ = app.run()
    shown = "".join(output.text for output in outputs if hasattr(output, "text"))
    assert "*a* &lt;i&gt;: evaluations/torn.parquet: skipped" in shown


@pytest.mark.parametrize("how", [["-m", "analysis.explore"], ["analysis/explore.py"]])
def test_it_runs_as_a_script(run, how):
    command = [sys.executable, *how, "--", "--results", run]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
