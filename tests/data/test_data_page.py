from pathlib import Path

import pytest

from rotgrid.data import cifar10, mnist, mnist_rot
from rotgrid.make_data.__main__ import parse_arguments
from rotgrid.spec.datasets import DATA

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()


@pytest.mark.parametrize("name", DATA)
def test_the_page_has_the_shape_and_the_sizes_of_each_set(name):
    entry = DATA[name]
    channels, size = entry.shape[:2]
    counts = f"{entry.train:,} / {entry.val:,} / {entry.test:,}"
    assert f"| `{name}` | {channels} x {size} x {size} | {counts} |" in PAGE


def test_the_page_names_the_files_and_folders():
    folders = [f"{source.layout}/" for source in mnist.IDX.values()]
    forms = [f"{form.name}/" for form in (cifar10.BINARY, cifar10.PYTHON)]
    for name in (*folders, *forms, cifar10.ARCHIVE, mnist_rot.ARCHIVE):
        assert f"`{name}`" in PAGE


def test_the_commands_of_the_page_can_be_typed():
    commands = [line for line in PAGE.splitlines() if line.startswith("rotgrid data ")]
    assert len(commands) == 3
    for command in commands:
        assert parse_arguments(command.split()[2:]).out.suffix == ".npz"
