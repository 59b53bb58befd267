"""YAML text to plain data that remembers where each value stands.

Scalars follow YAML 1.2: `no`, `on` and `12:30` are text, `1e-3` is a number. A key given twice is
a problem, not a silent choice. Problems are collected, so that a reader sees all of them at once.
"""

import re
from collections.abc import Sequence
from typing import Any

import yaml

from rotgrid.grid.overrides import MERGE, replaced, sources_of
from rotgrid.grid.problems import GridError, Problem
from rotgrid.grid.spelling import nearest

Where = tuple[str | int, ...]
"""Keys and list indices that lead to a value."""
_MISSING = object()

MOST_NODES = 200_000
"""A document with more values, each alias counted wherever it stands, is refused: a few lines of
aliases of aliases could fill any memory."""


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's own interface


for tag, pattern, first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("merge", r"<<", "<"),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), first)
Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))
Loader.add_constructor("tag:yaml.org,2002:float", lambda _, node: float(node.value))


class Dumper(yaml.SafeDumper):
    """Writes text that both this loader and one of YAML 1.1 read as text."""

    yaml_implicit_resolvers: dict[str, Any] = {  # PyYAML's own interface
        first: [*ours, *yaml.SafeDumper.yaml_implicit_resolvers.get(first, [])]
        for first, ours in Loader.yaml_implicit_resolvers.items()
    } | {
        first: theirs
        for first, theirs in yaml.SafeDumper.yaml_implicit_resolvers.items()
        if first not in Loader.yaml_implicit_resolvers
    }


OVERRIDE = "--set "
"""How the name of the source of an override begins."""


class Tree:
    """Plain data in `value`, the place of each part of it, and the problems found so far."""

    def __init__(self, node: yaml.Node | None, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._scalars = Loader("")
        self._marks: dict[tuple[Where, bool], yaml.Mark] = {}
        if node is not None and (nodes := expanded_size(node, {})) > MOST_NODES:
            self.problem((), f"holds {nodes:,} values, more than the {MOST_NODES:,} allowed")
            self.raise_problems()
        self.value = None if node is None else self._plain(node, (), ())

    def problem(
        self,
        path: Where,
        text: str,
        *,
        got: object = _MISSING,
        choices: Sequence[str] = (),
        at_key: bool = False,
    ) -> None:
        """Note a problem at a path, or at the nearest place above it that is in the file."""
        mark, known = None, path
        while mark is None and (known or path == known):
            mark = self._marks.get((known, at_key)) or self._marks.get((known, False))
            if not known:
                break
            known = known[:-1]
        if got is not _MISSING:
            text += f" (got {got!r})"
            if near := nearest(str(got), choices):
                text += f" - did you mean {near!r}?"
            elif choices and not all(choice in text for choice in choices):
                text += f"; choose from {', '.join(choices)}"
        file, line, column = (
            (mark.name, mark.line + 1, mark.column + 1) if mark else (self.file, 1, 1)
        )
        self.problems.append(Problem(file, line, column, ".".join(map(str, path)), text))

    def set_everywhere(self, path: Where) -> bool:
        """Whether an override put this value wherever its `*` led."""
        mark = self._marks.get((path, False))
        source = str(mark.name).partition("=")[0] if mark else ""
        return source.startswith(OVERRIDE) and ".*." in source

    def raise_problems(self) -> None:
        """Raise what was found, if anything, in the order of the file."""
        if self.problems:
            raise GridError(sorted(self.problems, key=lambda p: (p.file, p.line, p.column)))

    def _plain(self, node: yaml.Node, path: Where, above: tuple[yaml.Node, ...]) -> Any:  # noqa: ANN401
        self._marks[path, False] = node.start_mark
        if node in above:
            self.problem(path, "an alias that contains itself")
            return None
        above = (*above, node)
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, (*path, i), above) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, above)
        try:
            return self._scalars.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError):
            self.problem(path, "not a plain value", got=node.value)
            return None

    def _mapping(
        self, node: yaml.MappingNode, path: Where, above: tuple[yaml.Node, ...]
    ) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._marks[(*path, "?"), True] = key_node.start_mark
                self.problem((*path, "?"), "a key is not plain text", at_key=True)
                continue
            key = str(key_node.value)
            at = (*path, key)
            if key_node.tag == MERGE:
                for source_node in sources_of(value_node):
                    if isinstance(source_node, yaml.MappingNode):
                        source = self._plain(source_node, path, above) or {}
                        merged |= {k: v for k, v in source.items() if k not in merged}
                    else:
                        self._marks[at, False] = source_node.start_mark
                        text = "merges mappings, given by alias (<<: *name)"
                        self.problem(at, text, got=source_node.value)
                continue
            if key in own:
                self._marks[at, True] = key_node.start_mark
                self.problem(at, "a key given twice", at_key=True)
                continue
            own[key] = self._plain(value_node, at, above)
            self._marks[at, True] = key_node.start_mark
        self._marks[path, False] = node.start_mark
        return {**merged, **own}


def parse_tree(text: str, file: str, overrides: Sequence[str] = ()) -> Tree:
    """The tree of a YAML text after the overrides `PATH=VALUE`.

    A path is keys and list indices joined by dots; a block is also found by its `name`, and `*`
    means every item. The last part of a path may be new. Only what the path names changes: where
    an alias or a merge brings the same values elsewhere, they stay.

    Raises:
        GridError: it is not YAML, or an override does not apply.
    """
    try:
        node = compose(text, file)
        for override in overrides:
            path, sign, value = override.partition("=")
            source = f"{OVERRIDE}{override}"
            if not sign or not path:
                raise GridError([Problem(source, 1, 1, "", "should be PATH=VALUE")])
            node = replaced(node, path.split("."), compose(value, source), source)
        return Tree(node, file)
    except RecursionError:
        raise GridError([Problem(file, 1, 1, "", "is nested too deeply")]) from None


def compose(text: str, file: str) -> yaml.Node:
    """The node tree of a YAML text."""
    try:
        loader = Loader(text)
        loader.name = file
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        reason = " ".join(filter(None, (error.context, error.problem)))
        raise GridError([Problem(file, line, column, "", f"not YAML: {reason}")]) from None
    except yaml.YAMLError as error:
        raise GridError([Problem(file, 1, 1, "", f"not YAML: {error}")]) from None
    if node is None:
        raise GridError([Problem(file, 1, 1, "", "is empty")])
    return node


def expanded_size(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """Number of values below a node and with it; what an alias repeats counts each time."""
    if node not in known:
        known[node] = 0  # of a node that contains itself
        parts = node.value if not isinstance(node, yaml.ScalarNode) else []
        pairs = isinstance(node, yaml.MappingNode)
        children = [value for _, value in parts] if pairs else parts
        known[node] = 1 + sum(expanded_size(child, known) for child in children)
    return known[node]
