"""YAML text to plain data that remembers where each value stands.

Scalars follow YAML 1.2: `no`, `on` and `12:30` are text, `1e-3` is a number. A key given twice is
a problem, not a silent choice. Problems are collected, so that a reader sees all of them at once.
"""

import difflib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import yaml

Where = tuple[str | int, ...]
"""Keys and list indices that lead to a value."""
_MISSING = object()


class Problem(NamedTuple):
    """One mistake in a file; line and column count from 1."""

    file: str
    line: int
    column: int
    path: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: "
        return place + (f"{self.path}: " if self.path else "") + self.text


class GridError(ValueError):
    """A grid that cannot be used; `problems` lists everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(map(str, self.problems)))


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


class Tree:
    """Plain data in `value`, the place of each part of it, and the problems found so far."""

    def __init__(self, node: yaml.Node | None, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._marks: dict[tuple[Where, bool], yaml.Mark] = {}
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
            near = difflib.get_close_matches(str(got), choices, n=1, cutoff=0.5)
            if near:
                text += f" - did you mean {near[0]!r}?"
            elif choices and not all(choice in text for choice in choices):
                text += f"; choose from {', '.join(choices)}"
        file, line, column = (
            (mark.name, mark.line + 1, mark.column + 1) if mark else (self.file, 1, 1)
        )
        self.problems.append(Problem(file, line, column, ".".join(map(str, path)), text))

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
            return Loader("").construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError):
            self.problem(path, "not a plain value", got=node.value)
            return None

    def _mapping(
        self, node: yaml.MappingNode, path: Where, above: tuple[yaml.Node, ...]
    ) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key_node.tag == "tag:yaml.org,2002:merge":
                sources = self._plain(value_node, path, above)
                for source in sources if isinstance(sources, list) else [sources]:
                    merged |= (
                        {k: v for k, v in source.items() if k not in merged}
                        if isinstance(source, dict)
                        else {}
                    )
                continue
            at = (*path, key)
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
    means every item. The last part of a path may be new.

    Raises:
        GridError: it is not YAML, or an override does not apply.
    """
    node = compose(text, file)
    for override in overrides:
        path, sign, value = override.partition("=")
        source = f"--set {override}"
        if not sign or not path:
            raise GridError([Problem(source, 1, 1, "", "should be PATH=VALUE")])
        replace(node, path.split("."), compose(value, source), source)
    return Tree(node, file)


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


def replace(node: yaml.Node, path: Sequence[str], value: yaml.Node, source: str) -> None:
    """Put `value` at `path` below `node`, in place."""
    head, rest = path[0], path[1:]

    def refuse(choices: Sequence[str]) -> NoReturn:
        near = difflib.get_close_matches(head, choices, n=1, cutoff=0.5)
        hint = f" - did you mean {near[0]!r}?" if near else f"; there is {', '.join(choices)}"
        raise GridError([Problem(source, 1, 1, "", f"{head!r} is not in the grid{hint}")])

    if isinstance(node, yaml.SequenceNode):
        items = {str(i): item for i, item in enumerate(node.value)}
        named = {
            value_node.value: item
            for item in node.value
            if isinstance(item, yaml.MappingNode)
            for key_node, value_node in item.value
            if key_node.value == "name"
        }
        chosen = list(items.values()) if head == "*" else [{**named, **items}.get(head)]
        for item in chosen:
            if item is None:
                refuse([*items, *named, "*"])
            elif rest:
                replace(item, rest, value, source)
            else:
                node.value[node.value.index(item)] = value
    elif isinstance(node, yaml.MappingNode):
        keys = [key_node.value for key_node, _ in node.value]
        if not rest:
            node.value = [pair for pair in node.value if pair[0].value != head]
            key = yaml.ScalarNode("tag:yaml.org,2002:str", head, value.start_mark, value.end_mark)
            node.value.append((key, value))
        elif head in keys:
            replace(node.value[keys.index(head)][1], rest, value, source)
        elif len(rest) == 1 and head in ("defaults", "resources"):
            mark = value.start_mark
            key = yaml.ScalarNode("tag:yaml.org,2002:str", head, mark, mark)
            node.value.append((key, yaml.MappingNode("tag:yaml.org,2002:map", [], mark, mark)))
            replace(node.value[-1][1], rest, value, source)
        else:
            refuse(keys)
    else:
        refuse(["nothing below a plain value"])
