"""YAML text to plain data that remembers where each value stands.

Scalars follow YAML 1.2: `no`, `on` and `12:30` are text, `1e-3` is a number. A key given twice is
a problem, not a silent choice. Problems are collected, so that a reader sees all of them at once.
"""

import copy
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import yaml

Where = tuple[str | int, ...]
"""Keys and list indices that lead to a value."""
_MISSING = object()

MOST_NODES = 200_000
"""A document with more values, each alias counted wherever it stands, is refused: a few lines of
aliases of aliases could fill any memory."""


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


MERGE, MAPPING, TEXT = (f"tag:yaml.org,2002:{kind}" for kind in ("merge", "map", "str"))
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


def replaced(node: yaml.Node, path: Sequence[str], value: yaml.Node, source: str) -> yaml.Node:
    """The node with `value` at `path` below it; the node itself, which may be shared, stays."""
    if not path:
        return value
    found = copy.copy(node)
    if isinstance(node, yaml.SequenceNode):
        chosen = chosen_items(node, path[0], source)
        found.value = [
            replaced(item, path[1:], value, source) if at in chosen else item
            for at, item in enumerate(node.value)
        ]
    elif isinstance(node, yaml.MappingNode):
        new = replaced(child(node, path, value, source), path[1:], value, source)
        key = yaml.ScalarNode(TEXT, path[0], value.start_mark, value.end_mark)
        own = [k.value for k, _ in node.value]
        found.value = list(node.value)
        if path[0] not in own:
            found.value.append((key, new))
        else:
            found.value[own.index(path[0])] = (key, new)
    else:
        refuse(path[0], ["nothing below a plain value"], source)
    return found


def child(node: yaml.MappingNode, path: Sequence[str], value: yaml.Node, source: str) -> yaml.Node:
    """What stands below the first key of a path, merged or not; an empty mapping where it may
    be new."""
    there = effective(node)
    if path[0] in there:
        return there[path[0]]
    if len(path) > 2 or (len(path) == 2 and path[0] not in ("defaults", "resources")):
        refuse(path[0], list(there), source)
    return yaml.MappingNode(MAPPING, [], value.start_mark, value.end_mark)


def chosen_items(node: yaml.SequenceNode, word: str, source: str) -> set[int]:
    """The items of a list that a word names: its index, the `name` of a block, or `*` for all."""
    if word == "*":
        return set(range(len(node.value)))
    names = [
        next((v.value for k, v in item.value if k.value == "name"), None)
        if isinstance(item, yaml.MappingNode)
        else None
        for item in node.value
    ]
    indices = [str(at) for at in range(len(node.value))]
    chosen = [at for at, name in enumerate(names) if name == word]
    if word in indices:
        return {int(word)}
    if len(chosen) > 1:
        text = f"{len(chosen)} blocks are named {word!r}: use their index, {chosen}"
        raise GridError([Problem(source, 1, 1, "", text)])
    if not chosen:
        refuse(word, [*indices, *filter(None, names), "*"], source)
    return set(chosen)


def effective(node: yaml.MappingNode) -> dict[str, yaml.Node]:
    """The values of a mapping by key, with what it merges."""
    merged: dict[str, yaml.Node] = {}
    for source in (s for k, v in node.value if k.tag == MERGE for s in sources_of(v)):
        if isinstance(source, yaml.MappingNode):
            merged |= {k: v for k, v in effective(source).items() if k not in merged}
    own = {k.value: v for k, v in node.value if isinstance(k, yaml.ScalarNode) and k.tag != MERGE}
    return {**merged, **own}


def expanded_size(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """Number of values below a node and with it; what an alias repeats counts each time."""
    if node not in known:
        known[node] = 0  # of a node that contains itself
        parts = node.value if not isinstance(node, yaml.ScalarNode) else []
        pairs = isinstance(node, yaml.MappingNode)
        children = [value for _, value in parts] if pairs else parts
        known[node] = 1 + sum(expanded_size(child, known) for child in children)
    return known[node]


def sources_of(node: yaml.Node) -> list[yaml.Node]:
    """What a merge key merges, the first counting most."""
    return list(node.value) if isinstance(node, yaml.SequenceNode) else [node]


def refuse(word: str, choices: Sequence[str], source: str) -> NoReturn:
    """Say that an override names what is not there."""
    near = nearest(word, choices)
    hint = f" - did you mean {near!r}?" if near else f"; there is {', '.join(choices)}"
    raise GridError([Problem(source, 1, 1, "", f"{word!r} is not in the grid{hint}")])


def nearest(word: str, choices: Sequence[str]) -> str | None:
    """The choice that was probably meant: a few typing errors away, or with more letters."""
    rank = (
        {
            choice: typing_errors(word, choice)
            for choice in choices
            if typing_errors(word, choice) <= max(1, len(word) // 3)
            or (len(word) > 1 and choice.startswith(word))
        }
        if word
        else {}
    )
    return min(rank, key=rank.__getitem__, default=None)


def typing_errors(word: str, other: str) -> int:
    """Letters to insert, delete, replace, or exchange with the next (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(word):
        last, before, row = before, row, [i + 1]
        for j, b in enumerate(other):
            row.append(min(before[j] + (a != b), before[j + 1] + 1, row[j] + 1))
            if i and j and (a, word[i - 1]) == (other[j - 1], b):
                row[-1] = min(row[-1], last[j - 1] + 1)
    return row[-1]
