"""A grid file (YAML) becomes a plan: which networks to train, and what to measure on each.

The language, in four lines. A grid is a list of `blocks`. Inside a block a list means *vary* and
a scalar means *fix*; all combinations are made. Blocks are united: a trial named twice is trained
once and answers the probes of both. `probes` of a block are blocks of the same kind.

Nothing here imports torch or Ray, or reads anything but the text.
"""

import pathlib
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction

import yaml

from rotgrid.grid.blocks import add_block, all_probes, probes_by_block, report_unread_defaults
from rotgrid.grid.expand import axes_of, check_size, known_keys
from rotgrid.grid.own_names import Derived, own_names, read_recipes, report_recipes
from rotgrid.grid.plan import Plan, Resources, distinct_probes
from rotgrid.grid.positions import Dumper, Tree, parse_tree
from rotgrid.grid.problems import GridError, Problem
from rotgrid.spec import Probe, Trial, grid_fields
from rotgrid.spec.extensions import pinned
from rotgrid.spec.sources import search_in

__all__ = ["Plan", "Resources", "distinct_probes", "dump", "parse", "read"]


KEYS = ("name", "description", "resources", "defaults", "recipes", "blocks", "pinned")


def read(
    path: str | pathlib.Path, overrides: Sequence[str] = (), blocks: Sequence[str] = ()
) -> Plan:
    """The plan of a grid file, or of some of its blocks. `overrides` are `PATH=VALUE`, as of
    `--set`, and `blocks` names or how names begin, as of `--block`.

    Raises:
        GridError: all that is wrong with it.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise GridError(
            [Problem(str(path), 1, 1, "", f"cannot read the grid: {reason}")]
        ) from None
    search_in(pathlib.Path(path).parent)
    return parse(text, str(path), overrides, blocks)


def parse(
    text: str,
    file: str = "grid.yaml",
    overrides: Sequence[str] = (),
    blocks: Sequence[str] = (),
) -> Plan:
    """The plan of a grid's text, or of some of its blocks; `file` names it in messages and, by
    default, the grid.

    Raises:
        GridError: all that is wrong with it.
    """
    tree = parse_tree(text, file, overrides)
    document = tree.value if isinstance(tree.value, dict) else {}
    if not isinstance(tree.value, dict):
        tree.problem((), "a grid is a mapping with the key `blocks`")
    known_keys(tree, document, (), KEYS)
    if not isinstance(document.get("description", ""), str):
        tree.problem(("description",), "should be text")
    name = read_name(tree, document, file)
    resources = read_resources(tree, document.get("resources", {}))
    defaults = read_defaults(tree, document)
    names = own_names(tree, document)
    recipes = read_recipes(tree, document.get("recipes", {}))
    report_recipes(tree, document, recipes)
    derived = Derived(names, recipes)
    every = document.get("blocks")
    if not isinstance(every, list) or not every:
        tree.problem(("blocks",), "a grid needs `blocks`, a list with at least one block")
        every = []
    chosen = chosen_blocks(every, blocks)
    asked: dict[Trial, list[int]] = {}
    groups: list[tuple[Probe, ...]] = []
    asking: list[str] = []
    cells = 0
    for index in chosen:
        block = every[index]
        cells += add_block(tree, asked, groups, block, defaults, derived, ("blocks", index))
        named = block.get("name", "") if isinstance(block, dict) else ""
        asking += [named or f"blocks.{index}"] * (len(groups) - len(asking))
        if not check_size(tree, cells, ("blocks",)):
            break
    report_unread_defaults(tree, every, defaults)
    tree.raise_problems()
    return Plan(
        name=name,
        description=document.get("description", ""),
        resources=resources,
        trials=all_probes(asked, groups),
        blocks=probes_by_block(asked, groups, asking),
        document={
            "name": name,
            **document,
            "blocks": [every[index] for index in chosen],
            **({"pinned": {k: pinned(own) for k, own in names.items()}} if names else {}),
        },
    )


def read_name(tree: Tree, document: Mapping[str, object], file: str) -> str:
    """The `name` of a grid, or that of its file."""
    name = document.get("name", pathlib.Path(file).stem)
    if not (isinstance(name, str) and re.fullmatch(r"\w[\w.-]{,99}", name)):
        text = "names files: should be up to 100 letters, digits, . _ and -"
        tree.problem(("name",), text, got=name)
    return str(name)


def read_defaults(tree: Tree, document: Mapping[str, object]) -> dict[str, object]:
    """The `defaults` of a grid: training fields of the blocks that do not give them."""
    defaults = document.get("defaults", {})
    if not isinstance(defaults, dict):
        tree.problem(("defaults",), "should be a mapping of training fields")
        defaults = {}
    known_keys(tree, defaults, ("defaults",), grid_fields(Trial), grid_fields(Probe))
    axes_of(tree, defaults, ("defaults",), Trial)
    return defaults


def chosen_blocks(blocks: Sequence[object], names: Sequence[str]) -> list[int]:
    """Indices of the blocks whose names are among these, or begin with one and a hyphen; all if
    there are none.

    Raises:
        GridError: a name that no block has.
    """
    own = [str(b.get("name", "")) if isinstance(b, dict) else "" for b in blocks]
    found: set[int] = set()
    for name in names:
        some = {i for i, other in enumerate(own) if f"{other}-".startswith(f"{name}-")}
        if not some or not name:
            text = f"no block has such a name; there is {', '.join(filter(None, own)) or 'none'}"
            raise GridError([Problem(f"--block {name}", 1, 1, "", text)])
        found |= some
    return sorted(found) if names else list(range(len(blocks)))


def read_resources(tree: Tree, value: object) -> Resources:
    """The `resources` of a grid."""
    if not isinstance(value, dict):
        tree.problem(
            ("resources",), "should be a mapping with " + ", ".join(Resources.model_fields)
        )
        return Resources()
    known_keys(tree, value, ("resources",), tuple(Resources.model_fields))
    axes = axes_of(tree, value, ("resources",), Resources)
    gpu = value.get("gpu", 0)
    if isinstance(gpu, float | int) and gpu > 0 and "gpu" in axes:
        share = Fraction(gpu).limit_denominator(64)
        if gpu > 1:
            tree.problem(
                ("resources", "gpu"),
                "a trial is one process on one GPU: 0, 1, or a share 1/k",
                got=gpu,
            )
        elif abs(share - Fraction(gpu)) > 1e-6 or share.numerator != 1:
            tree.problem(("resources", "gpu"), "a share of a GPU is 1/k: 0.5, 0.25, 0.2", got=gpu)
    for field in Resources.model_fields:
        if isinstance(value.get(field), list):
            tree.problem(("resources", field), "is one number for all trials", got=value[field])
    return Resources.model_validate({field: values[0][0] for field, values in axes.items()})


def dump(plan: Plan) -> str:
    """The effective grid (overrides applied) as YAML."""
    return yaml.dump(plan.document, Dumper=Dumper, sort_keys=False, allow_unicode=True)
