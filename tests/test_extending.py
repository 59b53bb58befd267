"""The page on what is your own stays true: its grid is planned, its messages are rotgrid's."""

import re
from pathlib import Path

import pytest

from rotgrid import check, grid
from rotgrid.evaluation.settings import SETTINGS_OF_PROBE

from own_files import ATTACK, BLOCKS, NETWORK, write, write_npz

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()
SOURCE = " ".join(path.read_text() for path in (ROOT / "rotgrid").rglob("*.py"))
PLAIN = re.sub(r'"\s+f?"', "", SOURCE)
"""The parts of each text joined."""


def rows_below(head):
    """Cells of the table that begins with this line."""
    _, _, table = PAGE.partition(f"{head}\n")
    lines = table.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


MESSAGES = [row[0].strip(" `") for row in rows_below("| message | what to do |")]


def test_it_has_at_most_150_lines():
    assert len(PAGE.splitlines()) <= 150


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http|#)([^)]+)\)", PAGE))
def test_links_lead_somewhere(target):
    assert (ROOT / "docs" / target).exists()


def test_there_are_messages():
    assert len(MESSAGES) > 8


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_one_of_rotgrids(message):
    """Names in it are an example."""
    parts = re.split(r"mynets\S*|\bor\b|buidl|build|\.\.\.", message)
    assert all(part.strip(" ;./") in PLAIN for part in parts)


@pytest.fixture
def own(folder):
    network = NETWORK.replace("int(variant or 8)", "{'': 8, 'wide': 32}[variant]")
    write(folder, mynets__resnet=network, mynets__blocks=BLOCKS, mynets__attacks=ATTACK)
    write_npz(folder / "mine.npz", size=28)
    return folder


def test_its_grid_can_be_planned(own):
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    plan = grid.parse(text)
    assert len(plan.trials) == 2 * 2 * 3
    assert {probe.attack for probes in plan.trials.values() for probe in probes} == {
        "none", "pgd", "mynets.attacks:mine"
    }  # fmt: skip


def test_its_commands_run(own, capsys):
    commands = [line for line in PAGE.splitlines() if line.startswith("rotgrid check ")]
    assert len(commands) == 2
    for command in commands:
        assert check.main(command.split()[2:]) == 0
        assert "it can be used in a grid" in capsys.readouterr().out


def test_attacks_are_told_what_the_page_says():
    rows = {name: row for row in rows_below("| parameter | as attack (`probes`) | as adversary |")
            for name in re.findall(r"`(\w+)`", row[0])}  # fmt: skip
    told = {name for name, row in rows.items() if row[1] != "not told"}
    assert told == {"model", "images", "labels", "eps", "threat", *SETTINGS_OF_PROBE}
    adversaries = {name for name, row in rows.items() if row[2] != "not told"}
    of_training = {"steps", "step_size", "generator"}
    assert adversaries == {"model", "images", "labels", "eps", "threat", *of_training}
