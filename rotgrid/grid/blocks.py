"""One block of a grid: its mistakes, and the trials and probes that it asks for."""

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence

from pydantic_core import PydanticCustomError

from rotgrid.grid.expand import (
    Axes,
    axes_of,
    check_size,
    combine,
    count_combinations,
    known_keys,
)
from rotgrid.grid.own_names import Derived
from rotgrid.grid.positions import Tree, Where
from rotgrid.spec import Probe, Trial, grid_fields
from rotgrid.spec.attacks import ATTACKS


def add_block(
    tree: Tree,
    asked: dict[Trial, list[int]],
    groups: list[tuple[Probe, ...]],
    block: object,
    defaults: Mapping[str, object],
    derived: Derived,
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
    known_keys(tree, block, at, (*grid_fields(Trial), "name", "probes"), grid_fields(Probe))
    axes = {
        **axes_of(tree, defaults, ("defaults",), Trial, quiet=True),
        **axes_of(tree, block, at, Trial),
    }
    if "model" not in {**defaults, **block}:
        tree.problem(at, "a block needs `model`")
    if "adversary_eps" in block and not any_adversary(axes):
        report_unread(tree, (*at, "adversary_eps"), "adversary", ["none"])
    steps = [str(value) for value, _ in axes.get("train_steps", [])]
    if "epochs" in block and steps and "0" not in steps:
        report_unread(tree, (*at, "epochs"), "train_steps", steps)
    probe_axes = probe_axes_of(tree, block.get("probes", {}), (*at, "probes"), derived)
    cells = count_combinations(axes) * sum(count_combinations(each) for each, _ in probe_axes)
    if not check_size(tree, cells, at):
        return 0
    probes = [
        (p, where)
        for each, where in probe_axes
        for p in combine(tree, each, where, Probe, derived.fields)
    ]
    if "interpolation" in block and not any_rotation(axes, [probe for probe, _ in probes]):
        report_unread(tree, (*at, "interpolation"), "every rotation", ["0"])
    if "model" not in axes:
        return 0
    resolved: dict[tuple[str, str, float], int] = {}
    for trial in combine(tree, axes, at, Trial, derived.fields):
        group = (trial.data, trial.data_digest, trial.train_rotation)
        if group not in resolved:
            resolved[group] = len(groups)
            groups.append(resolve_probes(tree, probes, trial))
        asked.setdefault(trial, []).append(resolved[group])
    return cells


def probe_axes_of(
    tree: Tree, value: object, at: Where, derived: Derived
) -> list[tuple[Axes, Where]]:
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
        known_keys(tree, block, where, grid_fields(Probe))
        axes = axes_of(tree, block, where, Probe)
        attacks: list[str] = [a for a, _ in axes.get("attack", [])]  # type: ignore[misc]
        if "attack" not in block:
            attacks = ["none"]
        for field in axes:
            if attacks and all(field in derived.unread(attack) for attack in attacks):
                report_unread(tree, (*where, field), "attack", attacks)
        found.append((axes, where))
    return found


def any_adversary(axes: Axes) -> bool:
    """Whether any of the trials trains with an adversary."""
    return any(adversary != "none" for adversary, _ in axes.get("adversary", []))


def any_rotation(axes: Axes, probes: Iterable[Probe]) -> bool:
    """Whether any training or probe rotates or shifts images."""
    trained = [*axes.get("train_rotation", []), *axes.get("train_translation", [])]
    return any(most for most, _ in trained) or any(
        ATTACKS[probe.attack].transforms
        or probe.test_rotation not in ("same", 0)
        or probe.test_translation
        for probe in probes
    )


def report_unread_defaults(
    tree: Tree, blocks: Sequence[object], defaults: Mapping[str, object]
) -> None:
    """A default eps of the adversary is a problem where no block that takes it has one."""
    taking = [b for b in blocks if isinstance(b, dict) and "adversary_eps" not in b]
    at = ("defaults", "adversary_eps")
    axes = [axes_of(tree, {**defaults, **block}, at, Trial, quiet=True) for block in taking]
    if "adversary_eps" in defaults and not any(map(any_adversary, axes)):
        report_unread(tree, at, "adversary", ["none"])


def report_unread(tree: Tree, path: Where, field: str, values: Sequence[str]) -> None:
    """A field that nothing reads is a problem, but for one that an override set everywhere."""
    if not tree.set_everywhere(path):
        what = f"is not read: {field} is {' or '.join(values)}"
        tree.problem(path, what, at_key=True)


def all_probes(
    asked: Mapping[Trial, Sequence[int]], groups: Sequence[tuple[Probe, ...]]
) -> dict[Trial, tuple[Probe, ...]]:
    """Each trial with the probes of all groups that it is asked for, each probe once.

    Trials that are asked for the same groups share one tuple: a grid may have thousands.
    """

    @functools.cache
    def union(which: tuple[int, ...]) -> tuple[Probe, ...]:
        return tuple(dict.fromkeys(itertools.chain.from_iterable(groups[i] for i in which)))

    return {trial: union(tuple(dict.fromkeys(which))) for trial, which in asked.items()}


def probes_by_block(
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


def resolve_probes(
    tree: Tree, probes: Iterable[tuple[Probe, Where]], trial: Trial
) -> tuple[Probe, ...]:
    """The probes as they apply to `trial`, each once."""
    found: dict[Probe, None] = {}
    for probe, where in probes:
        try:
            found[probe.resolve(trial)] = None
        except PydanticCustomError as error:
            field = str((error.context or {})["field"])
            tree.problem((*where, field), error.message(), got=getattr(probe, field))
    return tuple(found)
