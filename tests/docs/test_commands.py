"""Every command of the pages can be typed, and every block of code can be read."""

import argparse
import functools
import importlib
import re
import shlex

import pytest

from rotgrid import grid
from rotgrid.__main__ import VERBS
from rotgrid.arguments import parse_arguments

from pages import PAGES, ROOT, blocks, code_lines

START = re.compile(r"(?:python -m (rotgrid\.[\w.]+|rotgrid|analysis)|(?:^| )(rotgrid)) (?=\S)(.*)")


def commands():
    """The page, the module and the arguments of each command."""
    found = []
    for name, text in PAGES.items():
        for line in code_lines(text):
            for part in re.split(r" && |; ", line.partition(" #")[0]):
                if match := START.search(part):
                    module, verb, arguments = match.groups()
                    given = shlex.split(arguments.strip(' "'))
                    if module == "rotgrid" or verb:
                        module = VERBS[given[0]][0] if given[0] in VERBS else None
                        given = given[1:]
                    if module and given and given != ["make"]:  # a mention
                        found.append((name, module, tuple(given)))
    return list(dict.fromkeys(found))


COMMANDS = commands()


class Parsed(Exception):
    """Raised in place of what a command would do."""


@pytest.fixture
def _parsing_only(monkeypatch):
    parse = argparse.ArgumentParser.parse_args

    def parse_args(self, *given, **named):
        raise Parsed(parse(self, *given, **named))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)


def test_there_are_commands_of_every_verb():
    assert {module for _, module, _ in COMMANDS} >= {module for module, _ in VERBS.values()} - {
        "analysis.__main__"
    }
    assert sum(module == "rotgrid.launch" for _, module, _ in COMMANDS) > 20


@pytest.mark.parametrize(("name", "module", "given"), COMMANDS)
@pytest.mark.usefixtures("_parsing_only")
def test_a_command_can_be_typed(name, module, given):
    module = "analysis.__main__" if module == "analysis" else module
    found = importlib.import_module(module)
    if given[0] != ">":  # what only prints takes no arguments
        with pytest.raises(Parsed):
            found.main(list(given))


@functools.cache
def trials(path, overrides, chosen):
    """How many trials a shipped grid has."""
    return len(grid.read(ROOT / path, overrides, chosen).trials)


@pytest.mark.parametrize(
    "given", [given for _, module, given in COMMANDS if module == "rotgrid.launch"]
)
def test_the_grid_of_a_launch_exists(given):
    args = parse_arguments([word for word in given if word != ">"])
    if args.grid.startswith("grids/"):
        assert trials(args.grid, tuple(args.set), tuple(args.block))
    else:
        assert args.grid.endswith(".yaml")


@pytest.mark.parametrize("name", PAGES)
def test_scripts_that_are_named_exist(name):
    for line in code_lines(PAGES[name]):
        for script in re.findall(r"(?:python|marimo edit|bash) ([\w./-]+\.(?:py|sh))", line):
            assert (ROOT / script).exists()


@pytest.mark.parametrize("name", PAGES)
def test_python_can_be_read(name):
    for snippet in blocks(PAGES[name], "python"):
        compile(snippet, name, "exec")


@pytest.mark.parametrize("name", PAGES)
def test_grids_are_valid(name):
    """Those with names of one's own are read where the files that they name are written."""
    for example in blocks(PAGES[name], "yaml"):
        if not re.search(r"\w:\w", example):
            assert grid.parse(example).rows > 0
