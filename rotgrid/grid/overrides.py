"""Overrides of a grid, `--set PATH=VALUE`, on its YAML nodes: only what a path names changes."""

import copy
from collections.abc import Sequence
from typing import NoReturn

import yaml

from rotgrid.grid.problems import GridError, Problem
from rotgrid.grid.spelling import nearest

MERGE, MAPPING, TEXT = (f"tag:yaml.org,2002:{kind}" for kind in ("merge", "map", "str"))


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


def refuse(word: str, choices: Sequence[str], source: str) -> NoReturn:
    """Say that an override names what is not there."""
    near = nearest(word, choices)
    hint = f" - did you mean {near!r}?" if near else f"; there is {', '.join(choices)}"
    raise GridError([Problem(source, 1, 1, "", f"{word!r} is not in the grid{hint}")])


def sources_of(node: yaml.Node) -> list[yaml.Node]:
    """What a merge key merges, the first counting most."""
    return list(node.value) if isinstance(node, yaml.SequenceNode) else [node]
