"""README stays true: its examples run, its tables and prices are those of the code."""

import re

import pytest

from rotgrid import check, experiment, grid, launch
from rotgrid.grid.problems import GridError
from rotgrid.results import storage
from rotgrid.spec.adversaries import ADVERSARIES
from rotgrid.spec.attacks import ATTACKS
from rotgrid.spec.datasets import DATA
from rotgrid.spec.models import MODELS
from rotgrid.spec.recipes import RECIPE_NAMES

from pages import PAGES, ROOT, blocks, lines_below, page, words

README = PAGES["README.md"]
WORDS = words(README)
COMMANDS = [
    "python3 -m venv .venv && .venv/bin/pip install -e . && "
    ".venv/bin/python -m rotgrid.launch grids/quick.yaml",
    "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/python -m pytest",
]
"""What CI runs from a bare clone, word for word."""


def test_the_two_commands_stand_alone_in_a_block():
    assert re.findall(r"^python3 -m venv .* && .*$", README, re.M) == COMMANDS
    assert [block for block in blocks(README) if "venv .venv" in block] == [
        f"{command}\n" for command in COMMANDS
    ]


def test_the_example_grid_is_valid():
    (example,) = blocks(README, "yaml")
    assert grid.parse(example).rows > 0


def test_the_plan_of_the_example_is_what_a_plan_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (example,) = blocks(README, "yaml")
    (tmp_path / "mine.yaml").write_text(example)
    assert launch.main(["mine.yaml", "--plan"]) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    (told,) = [block for block in blocks(README) if block.startswith("trials ")]
    assert set(told.splitlines()) < set(printed)


def test_the_example_of_a_mistake_is_what_a_mistake_prints():
    (example,) = blocks(README, "yaml")
    with pytest.raises(GridError) as caught:
        grid.parse(example.replace("stdcnn, gcnn", "stdcnn, gcn"), "mine.yaml")
    assert f"```\n{caught.value}\n```" in page("launch")


def test_python_snippets_run(tmp_path, monkeypatch, capsys):
    plan = grid.read(
        ROOT / "grids/quick.yaml",
        ["defaults.train_size=60", "defaults.epochs=1", "blocks.*.probes.*.n_images=20"],
    )
    chosen = {t: p for t, p in plan.trials.items() if t.train_rotation == 0}
    storage.put(tmp_path / "results/quick", "grids/quick.yaml", grid.dump(plan).encode())
    for trial, probes in chosen.items():
        experiment.run(trial, probes, tmp_path / "results/quick")
    monkeypatch.chdir(tmp_path)
    assert blocks(README, "python")
    for snippet in blocks(README, "python"):
        exec(compile(snippet, "README.md", "exec"), {})
    assert "accuracy" in capsys.readouterr().out


def test_the_own_network_can_be_used_in_a_grid(folder, capsys):
    (network,) = [block for block in blocks(README, "python") if "def build" in block]
    (folder / "mynets.py").write_text(network)
    assert "rotgrid check mynets:build" in README
    assert check.main(["mynets:build"]) == 0
    assert "it can be used in a grid" in capsys.readouterr().out
    (example,) = blocks(README, "yaml")
    own = example.replace("[stdcnn, gcnn]", '[gcnn, "mynets:build"]')
    assert 'model: [gcnn, "mynets:build"]' in README
    assert len(grid.parse(own).trials) == len(grid.parse(example).trials)


def test_every_name_of_a_grid_is_there():
    named = {}
    for line in lines_below(README, "| | names in a grid |"):
        kind, names = line.strip("| ").split(" | ")
        named[kind] = re.findall(r"`([\w-]+)`", names)
    networks = ("plain networks", "equivariant networks", "capsules")
    attacks = ("attacks on pixels", "worst rotations and shifts", "other measurements")
    assert sorted(name for kind in networks for name in named[kind]) == sorted(MODELS)
    assert sorted(name for kind in attacks for name in named[kind]) == sorted(ATTACKS)
    assert named["adversaries in training"] == list(ADVERSARIES)
    assert named["recipes of training"] == list(RECIPE_NAMES)
    assert named["data"] == list(DATA)


def test_the_price_is_that_of_the_page_on_grids():
    """Which is made from shipped speeds: test_page_tables.py."""
    of_study = page("grids").partition("## `grids/study.yaml`")[2]
    core, gpu = re.search(r"^\| all \| .* \| ([\d,.]+) \| ([\d,.]+) \|$", of_study, re.M).groups()
    assert f"`grids/study.yaml` takes {gpu} hours of an H100, or {core} of a CPU core" in WORDS
    assert "a factor of 3 on a core and 10 on a GPU" in words(page("grids"))
