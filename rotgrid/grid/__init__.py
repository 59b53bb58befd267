"""A grid file (YAML) becomes a plan: which networks to train, and what to measure on each.

The language, in four lines. A grid is a list of `blocks`. Inside a block a list means *vary* and
a scalar means *fix*; all combinations are made. Blocks are united: a trial named twice is trained
once and answers the probes of both. `probes` of a block are blocks of the same kind.

Nothing here imports torch or Ray, or reads anything but the text.
"""

import functools
import itertools
import operator
import pathlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import yaml
from pydantic import Field

from rotgrid.grid.expand import Axes, axes_of, check_size, combine, known_keys, size
from rotgrid.grid.positions import Dumper, Tree, Where, parse_tree
from rotgrid.grid.problems import GridError, Problem
from rotgrid.spec import Probe, Record, Trial
from rotgrid.spec.attacks import ATTACKS


class Resources(Record):
    """What one trial may use. They do not affect results and are in no key."""

    cpu: int = Field(
        default=1, ge=1, le=1024, description="CPU cores, and threads of torch, per trial"
    )
    gpu: float = Field(
        default=0.0, ge=0, description="GPU of a trial: 0 (none), 1, or a share 1/k such as 0.25"
    )
    minutes: float = Field(
        default=0.0,
        ge=0,
        le=1_000_000,
        description="time limit of an attempt at a trial; 0: 10 times the most that is expected, "
        "at least an hour",
    )
    retries: int = Field(
        default=3,
        ge=0,
        le=1000,
        description="further attempts at a trial that fails or loses its node",
    )


@dataclass(frozen=True)
class Plan:
    """The ordered, de-duplicated content of a grid."""

    name: str
    description: str
    resources: Resources
    trials: dict[Trial, tuple[Probe, ...]]
    """What to train, in the order of the file, and the resolved probes to measure on each."""
    blocks: dict[str, dict[Trial, tuple[Probe, ...]]]
    """By name of the block, in the order of the file: what it asks for and none before it does. A
    trial without probes among them is one that an earlier block trains."""
    document: dict[str, Any]
    """The grid after overrides, as plain data; `parse` of its YAML gives this plan again."""

    @property
    def rows(self) -> int:
        """Number of (trial, probe) pairs."""
        return sum(map(len, self.trials.values()))

    def axes(self) -> dict[str, list[object]]:
        """The distinct values of each field of trials and probes, in order of appearance."""
        kinds: tuple[tuple[type[Record], Collection[Record]], ...] = (
            (Trial, self.trials),
            (Probe, distinct_probes(self)),
        )
        return {
            field: list(dict.fromkeys(map(operator.attrgetter(field), records)))
            for kind, records in kinds
            for field in kind.model_fields
        }

    def cartesian(self) -> dict[str, int]:
        """Of each field to which the grid gives several values, their number. The product is the
        size of the full cartesian grid, which varies everything with everything and trains a
        network for each cell."""
        defaults = self.document.get("defaults", {})
        values: dict[str, set[object]] = {}
        for block in self.document["blocks"]:
            probes = block.get("probes", {})
            training = {k: v for k, v in {**defaults, **block}.items() if k in Trial.model_fields}
            for fields in (training, *(probes if isinstance(probes, list) else [probes])):
                for field, value in fields.items():
                    several = value if isinstance(value, list) else [value]
                    values.setdefault(field, set()).update(several)
        order = [*Trial.model_fields, *Probe.model_fields]
        return {f: len(values[f]) for f in order if len(values.get(f, ())) > 1}


def distinct_probes(plan: Plan) -> list[Probe]:
    """The probes of all trials, each once."""
    shared = {id(probes): probes for probes in plan.trials.values()}.values()
    return list(dict.fromkeys(itertools.chain.from_iterable(shared)))


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
    known_keys(tree, document, (), ("name", "description", "resources", "defaults", "blocks"))
    if not isinstance(document.get("description", ""), str):
        tree.problem(("description",), "should be text")
    name = document.get("name", pathlib.Path(file).stem)
    if not (isinstance(name, str) and re.fullmatch(r"\w[\w.-]{,99}", name)):
        text = "names files: should be up to 100 letters, digits, . _ and -"
        tree.problem(("name",), text, got=name)
    resources = read_resources(tree, document.get("resources", {}))
    defaults = document.get("defaults", {})
    if not isinstance(defaults, dict):
        tree.problem(("defaults",), "should be a mapping of training fields")
        defaults = {}
    known_keys(tree, defaults, ("defaults",), tuple(Trial.model_fields))
    axes_of(tree, defaults, ("defaults",), Trial)
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
        cells += add_block(tree, asked, groups, block, defaults, ("blocks", index))
        named = block.get("name", "") if isinstance(block, dict) else ""
        asking += [named or f"blocks.{index}"] * (len(groups) - len(asking))
        if not check_size(tree, cells, ("blocks",)):
            break
    unread_default(tree, every, defaults)
    tree.raise_problems()
    return Plan(
        name=str(name),
        description=document.get("description", ""),
        resources=resources,
        trials=united(asked, groups),
        blocks=by_block(asked, groups, asking),
        document={"name": name, **document, "blocks": [every[index] for index in chosen]},
    )


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


def add_block(
    tree: Tree,
    asked: dict[Trial, list[int]],
    groups: list[tuple[Probe, ...]],
    block: object,
    defaults: Mapping[str, object],
    at: Where,
) -> int:
    """Note the trials of a block and, for each, which of the `groups` of probes it is asked for.

    Returns:
        The number of cells that the block has as written.
    """
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
    if "adversary_eps" in block and not adversarial(axes):
        unread(tree, (*at, "adversary_eps"), "adversary", ["none"])
    steps = [str(value) for value, _ in axes.get("train_steps", [])]
    if "epochs" in block and steps and "0" not in steps:
        unread(tree, (*at, "epochs"), "train_steps", steps)
    probe_axes = probe_axes_of(tree, block.get("probes", {}), (*at, "probes"))
    cells = size(axes) * sum(size(each) for each, _ in probe_axes)
    if not check_size(tree, cells, at):
        return 0
    probes = [(p, where) for each, where in probe_axes for p in combine(tree, each, where, Probe)]
    if "interpolation" in block and not resampled(axes, [probe for probe, _ in probes]):
        unread(tree, (*at, "interpolation"), "every rotation", ["0"])
    if "model" not in axes:
        return 0
    resolved: dict[tuple[str, float], int] = {}
    for trial in combine(tree, axes, at, Trial):
        group = (trial.data, trial.train_rotation)
        if group not in resolved:
            resolved[group] = len(groups)
            groups.append(resolve(tree, probes, trial))
        asked.setdefault(trial, []).append(resolved[group])
    return cells


def probe_axes_of(tree: Tree, value: object, at: Where) -> list[tuple[Axes, Where]]:
    """The values of the fields of each probe block, with its place."""
    if value == []:
        tree.problem(at, "an empty list measures nothing")
    places = [(value, at)]
    if isinstance(value, list):
        places = [(block, (*at, i)) for i, block in enumerate(value)]
    found: list[tuple[Axes, Where]] = []
    for block, where in places:
        if not isinstance(block, dict):
            tree.problem(where, "a probe block is a mapping of probe fields")
            continue
        known_keys(tree, block, where, tuple(Probe.model_fields))
        axes = axes_of(tree, block, where, Probe)
        attacks: list[str] = [a for a, _ in axes.get("attack", [])]  # type: ignore[misc]
        if "attack" not in block:
            attacks = ["none"]
        for field in axes:
            if attacks and all(field in ATTACKS[attack].unread() for attack in attacks):
                unread(tree, (*where, field), "attack", attacks)
        found.append((axes, where))
    return found


def adversarial(axes: Axes) -> bool:
    """Whether any of the trials trains with an adversary."""
    return any(adversary != "none" for adversary, _ in axes.get("adversary", []))


def resampled(axes: Axes, probes: Iterable[Probe]) -> bool:
    """Whether any training or probe rotates or shifts images."""
    return any(rotation for rotation, _ in axes.get("train_rotation", [])) or any(
        ATTACKS[probe.attack].transforms
        or probe.test_rotation not in ("same", 0)
        or probe.test_translation
        for probe in probes
    )


def unread_default(tree: Tree, blocks: Sequence[object], defaults: Mapping[str, object]) -> None:
    """A default eps of the adversary is a problem where no block that takes it has one."""
    taking = [b for b in blocks if isinstance(b, dict) and "adversary_eps" not in b]
    at = ("defaults", "adversary_eps")
    axes = [axes_of(tree, {**defaults, **block}, at, Trial, quiet=True) for block in taking]
    if "adversary_eps" in defaults and not any(map(adversarial, axes)):
        unread(tree, at, "adversary", ["none"])


def unread(tree: Tree, path: Where, field: str, values: Sequence[str]) -> None:
    """A field that nothing reads is a problem, but for one that an override set everywhere."""
    if not tree.set_everywhere(path):
        what = f"is not read: {field} is {' or '.join(values)}"
        tree.problem(path, what, at_key=True)


def united(
    asked: Mapping[Trial, Sequence[int]], groups: Sequence[tuple[Probe, ...]]
) -> dict[Trial, tuple[Probe, ...]]:
    """Each trial with the probes of all groups that it is asked for, each probe once.

    Trials that are asked for the same groups share one tuple: a grid may have thousands.
    """

    @functools.cache
    def union(which: tuple[int, ...]) -> tuple[Probe, ...]:
        return tuple(dict.fromkeys(itertools.chain.from_iterable(groups[i] for i in which)))

    return {trial: union(tuple(dict.fromkeys(which))) for trial, which in asked.items()}


def by_block(
    asked: Mapping[Trial, Sequence[int]],
    groups: Sequence[tuple[Probe, ...]],
    asking: Sequence[str],
) -> dict[str, dict[Trial, tuple[Probe, ...]]]:
    """`Plan.blocks`, where `asking` names the block of each group of probes."""

    @functools.cache
    def new(before: tuple[int, ...], group: int) -> tuple[Probe, ...]:
        known = set(itertools.chain.from_iterable(groups[i] for i in before))
        return tuple(probe for probe in groups[group] if probe not in known)

    found: dict[str, dict[Trial, tuple[Probe, ...]]] = {name: {} for name in asking}
    for trial, which in asked.items():
        distinct = tuple(dict.fromkeys(which))
        for position, group in enumerate(distinct):
            own = found[asking[group]]
            probes = new(distinct[:position], group)
            own[trial] = own.get(trial, ()) + probes
    return found


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
