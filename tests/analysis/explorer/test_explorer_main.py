import sys

import pytest

from analysis.explorer import __main__ as explorer
from rotgrid.results import storage

from made_up import store, study


@pytest.fixture
def root(tmp_path):
    return store(tmp_path, study(seeds=(0,), train_rotations=(0,), adversaries=("none",)))


@pytest.fixture
def started(monkeypatch):
    """The commands that would take the place of this process."""
    found = []
    monkeypatch.setattr(explorer.os, "execv", lambda path, words: found.append(words))
    return found


def test_it_becomes_the_app(root, started):
    explorer.main([root, root, "--port", "9", "--headless"])
    ((python, *words),) = started
    assert python == sys.executable
    app, options = words[3], words[:3] + words[4:]
    assert app == str(explorer.APP)
    assert explorer.APP.exists()
    given = ["--results", root] * 2
    assert options == ["-m", "marimo", "run", "--headless", "--port", "9", "--", *given]


def test_without_marimo_it_says_what_to_install(root, started, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "marimo", None)
    monkeypatch.setattr(explorer.importlib.util, "find_spec", lambda name: None)
    assert explorer.main([root]) == 2
    assert f"pip install '{explorer.NEEDS}'" in capsys.readouterr().err
    assert started == []


def test_without_rows_it_says_where(tmp_path, started, capsys):
    assert explorer.main([str(tmp_path / "none")]) == 2
    assert f"{tmp_path}/none: no evaluations" in capsys.readouterr().err
    assert explorer.main(["bad://place"]) == 2
    assert started == []


def test_results_out_of_reach_are_exit_5(root, started, monkeypatch, capsys):
    def refuse(*_):
        raise storage.StoreError("cannot read it")

    monkeypatch.setattr(storage, "names", refuse)
    assert explorer.main([root]) == 5
    assert "cannot read it" in capsys.readouterr().err
    assert started == []
