"""A grid file (YAML) becomes a plan: which networks to train, and what to measure on each.

The language, in four lines. A grid is a list of `blocks`. Inside a block a list means *vary* and
a scalar means *fix*; all combinations are made. Blocks are united: a trial named twice is trained
once and answers the probes of both. `probes` of a block are blocks of the same kind.

Nothing here imports torch or Ray, or reads anything but the text.
"""

import itertools
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import yaml
from pydantic import Field

from rotgrid.axes import axes_of, check_size, combine, known_keys, size
from rotgrid.document import GridError, Problem, Tree, Where, parse_tree
from rotgrid.spec import Probe, Record, Trial


class Resources(Record):
    """What one trial may use. They do not affect results and are in no key."""

    cpu: int = Field(default=1, ge=1, description="CPU cores, and threads of torch, per trial")
    gpu: float = Field(
        default=0.0, ge=0, description="GPUs per trial: 0, a whole number, or a fraction 1/k"
    )
    minutes: float = Field(
        default=0.0,
        ge=0,
        description="time limit of an attempt at a trial; 0: 10 times the most that is expected, "
        "at least an hour",
    )
    retries: int = Field(
        default=3, ge=0, description="further attempts at a trial that fails or loses its node"
    )


@dataclass(frozen=True)
class Plan:
    """The ordered, de-duplicated content of a grid."""

    name: str
    description: str
    resources: Resources
    trials: dict[Trial, tuple[Probe, ...]]
    """What to train, in the order of the file, and the resolved probes to measure on each."""
    cells: int
    """Combinations as written, of trial and probe fields alike: the number of networks that a
    cartesian grid trains, which has no idea of a probe."""
    document: dict[str, Any]
    """The grid after overrides, as plain data; `parse` of its YAML gives this plan again."""

    @property
    def rows(self) -> int:
        """Number of (trial, probe) pairs."""
        return sum(map(len, self.trials.values()))

    def axes(self) -> dict[str, list[object]]:
        """The distinct values of each field of trials and probes, in order of appearance."""
        trials = [trial.model_dump() for trial in self.trials]
        probes = [probe.model_dump() for probe in distinct_probes(self)]
        return {
            field: list(dict.fromkeys(record[field] for record in records))
            for model, records in ((Trial, trials), (Probe, probes))
            for field in model.model_fields
        }


def distinct_probes(plan: Plan) -> list[Probe]:
    """The probes of all trials, each once."""
    shared = {id(probes): probes for probes in plan.trials.values()}.values()
    return list(dict.fromkeys(itertools.chain.from_iterable(shared)))


def read(path: str | pathlib.Path, overrides: Sequence[str] = ()) -> Plan:
    """The plan of a grid file. `overrides` are `PATH=VALUE`, as of `--set`.

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
    return parse(text, str(path), overrides)


def parse(text: str, file: str = "grid.yaml", overrides: Sequence[str] = ()) -> Plan:
    """The plan of a grid's text; `file` names it in messages and, by default, the grid.

    Raises:
        GridError: all that is wrong with it.
    """
    tree = parse_tree(text, file, overrides)
    document = tree.value if isinstance(tree.value, dict) else {}
    if not isinstance(tree.value, dict):
        tree.problem((), "a grid is a mapping with the key `blocks`")
    known_keys(tree, document, (), ("name", "description", "resources", "defaults", "blocks"))
    if not isinstance(document.get("description", ""), str):
        tree.problem(("description",), "should be text")
    name = document.get("name", pathlib.Path(file).stem)
    if not (isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name)):
        tree.problem(("name",), "names files: should be letters, digits, . _ and -", got=name)
    resources = read_resources(tree, document.get("resources", {}))
    defaults = document.get("defaults", {})
    if not isinstance(defaults, dict):
        tree.problem(("defaults",), "should be a mapping of training fields")
        defaults = {}
    known_keys(tree, defaults, ("defaults",), tuple(Trial.model_fields))
    axes_of(tree, defaults, ("defaults",), Trial)
    blocks = document.get("blocks")
    if not isinstance(blocks, list) or not blocks:
        tree.problem(("blocks",), "a grid needs `blocks`, a list with at least one block")
        blocks = []
    trials: dict[Trial, tuple[Probe, ...]] = {}
    cells = 0
    for index, block in enumerate(blocks):
        cells += add_block(tree, trials, block, defaults, ("blocks", index))
    tree.raise_problems()
    return Plan(
        name=str(name),
        description=document.get("description", ""),
        resources=resources,
        trials=trials,
        cells=cells,
        document={"name": name, **document},
    )


def add_block(
    tree: Tree,
    trials: dict[Trial, tuple[Probe, ...]],
    block: object,
    defaults: Mapping[str, object],
    at: Where,
) -> int:
    """Unite one block with `trials`; the number of cells it has as written."""
    if not isinstance(block, dict):
        tree.problem(at, "a block is a mapping of training fields, with `probes`")
        return 0
    if not isinstance(block.get("name", ""), str):
        tree.problem((*at, "name"), "should be text")
    known_keys(tree, block, at, (*Trial.model_fields, "name", "probes"))
    axes = {
        **axes_of(tree, defaults, ("defaults",), Trial, quiet=True),
        **axes_of(tree, block, at, Trial),
    }
    if "model" not in {**defaults, **block}:
        tree.problem(at, "a block needs `model`")
    probes, probe_cells = probes_of(tree, block.get("probes", {}), (*at, "probes"))
    if "model" not in axes or not check_size(tree, axes, at, probe_cells):
        return 0
    unite(tree, trials, combine(tree, axes, at, Trial), probes)
    return size(axes) * probe_cells


def probes_of(tree: Tree, value: object, at: Where) -> tuple[list[tuple[Probe, Where]], int]:
    """The probes of a block, not yet resolved, with their places; and the cells they make."""
    blocks = (
        [(block, (*at, i)) for i, block in enumerate(value)] if isinstance(value, list) else []
    )
    if value == []:
        tree.problem(at, "an empty list measures nothing")
    if not isinstance(value, list):
        blocks = [(value, at)]
    probes: list[tuple[Probe, Where]] = []
    cells = 0
    for block, where in blocks:
        if not isinstance(block, dict):
            tree.problem(where, "a probe block is a mapping of probe fields")
            continue
        known_keys(tree, block, where, tuple(Probe.model_fields))
        axes = axes_of(tree, block, where, Probe)
        cells += size(axes)
        if check_size(tree, axes, where):
            probes += [(probe, where) for probe in combine(tree, axes, where, Probe)]
    return probes, cells


def unite(
    tree: Tree,
    trials: dict[Trial, tuple[Probe, ...]],
    new: Iterable[Trial],
    probes: Sequence[tuple[Probe, Where]],
) -> None:
    """Add trials with their probes. Equal tuples are one object: a grid may have thousands."""
    resolved: dict[tuple[str, float], tuple[Probe, ...]] = {}
    united: dict[tuple[int, int], tuple[Probe, ...]] = {}
    for trial in new:
        group = (trial.data, trial.train_rotation)
        if group not in resolved:
            resolved[group] = resolve(tree, probes, trial)
        before, more = trials.get(trial, ()), resolved[group]
        if (pair := (id(before), id(more))) not in united:
            united[pair] = tuple(dict.fromkeys(before + more))
        trials[trial] = united[pair]


def resolve(tree: Tree, probes: Iterable[tuple[Probe, Where]], trial: Trial) -> tuple[Probe, ...]:
    """The probes as they apply to `trial`, each once."""
    found: dict[Probe, None] = {}
    for probe, where in probes:
        try:
            found[probe.resolve(trial)] = None
        except ValueError as error:
            tree.problem((*where, "n_images"), str(error), got=probe.n_images)
    return tuple(found)


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
    if isinstance(gpu, float | int) and gpu > 0 and gpu % 1:
        share = Fraction(gpu).limit_denominator(64)
        if gpu > 1 or abs(share - Fraction(gpu)) > 1e-6 or share.numerator != 1:
            tree.problem(("resources", "gpu"), "a share of a GPU is 1/k: 0.5, 0.25, 0.2", got=gpu)
            return Resources()
    for field in Resources.model_fields:
        if isinstance(value.get(field), list):
            tree.problem(("resources", field), "is one number for all trials", got=value[field])
            return Resources()
    return Resources.model_validate({field: values[0][0] for field, values in axes.items()})


def dump(plan: Plan) -> str:
    """The effective grid (overrides applied) as YAML."""
    return yaml.safe_dump(plan.document, sort_keys=False)
