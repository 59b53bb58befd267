import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import rotgrid
from rotgrid import __main__ as verbs

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("verb", verbs.VERBS)
def test_every_verb_is_a_module_of_the_same_command(verb, capsys):
    with pytest.raises(SystemExit, match="0"):
        verbs.main([verb, "--help"])
    assert "usage: " in capsys.readouterr().out
    assert callable(import_module(verbs.VERBS[verb][0]).main)


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_help_lists_the_verbs(words, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["rotgrid"])
    assert verbs.main(words) == 0
    out = capsys.readouterr().out
    assert all(f"  {verb} " in out for verb in verbs.VERBS)


def test_a_wrong_verb_is_exit_2(capsys):
    assert verbs.main(["lunch", "grids/quick.yaml"]) == 2
    assert "did you mean launch?" in capsys.readouterr().err
    assert verbs.main(["train"]) == 2
    assert "choose from launch, status" in capsys.readouterr().err


def test_arguments_and_exit_codes_are_those_of_the_verb(tmp_path, capsys):
    assert verbs.main(["launch", str(tmp_path / "none.yaml"), "--plan"]) == 2
    assert "none.yaml:1:1: cannot read the grid" in capsys.readouterr().err


def test_the_console_script_and_the_module_are_one():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"rotgrid": "rotgrid.__main__:run"}
    done = subprocess.run(
        [sys.executable, "-m", "rotgrid", "--version"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"rotgrid {rotgrid.__version__}\n")
