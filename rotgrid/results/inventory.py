"""What a results location holds of a plan: which trials are done, which rows are missing."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple

import pyarrow as pa
from rich.console import Group
from rich.table import Table

from rotgrid import results
from rotgrid.grid import Plan
from rotgrid.results import failures, storage
from rotgrid.results.failures import Failure
from rotgrid.results.storage import Root
from rotgrid.results.unfinished import SUFFIX
from rotgrid.spec import Probe, Trial, grid_fields

State = Literal["done", "failed", "in training", "trained", "to do"]
STATES: dict[State, str] = {
    "done": "all rows are there",
    "trained": "weights are stored, rows are missing",
    "in training": "a checkpoint of an unfinished training is stored",
    "failed": "rows are missing and no launch tries again unless asked to",
    "to do": "nothing is stored",
}
"""The states of a trial, and what they mean."""

Probes = Mapping[Trial, tuple[Probe, ...]]
"""Some resolved probes of each trial."""


class Spent(NamedTuple):
    """Seconds of one trial, on a CPU or on a GPU."""

    epochs: list[float]
    probes: dict[str, float]
    """By key of the probe."""


class Inventory(NamedTuple):
    """What is stored, by key of the trial."""

    measured: Mapping[str, set[str]]
    """Keys of the probes that have a row."""
    trained: set[str]
    """Trials whose weights are stored."""
    training: set[str]
    """Trials that have a checkpoint of an unfinished training."""
    failed: Mapping[str, Failure]
    """The latest failure of each trial, final or not."""
    damaged: list[str]
    """A line for each file that is not a part of the rows."""
    seconds: Mapping[tuple[str, bool], Spent]
    """What was spent on each trial, and whether on a GPU."""

    def state(self, trial: Trial, lacking: Probes) -> State:
        """The state of one trial, by the probes that each trial lacks."""
        if trial not in lacking:
            return "done"
        if has_failed(trial, self):
            return "failed"
        if trial.key() in self.trained:
            return "trained"
        return "in training" if trial.key() in self.training else "to do"


def has_failed(trial: Trial, stock: Inventory) -> bool:
    """Whether no launch tries a trial again unless asked to."""
    return bool(stock.failed) and trial.key() in stock.failed and stock.failed[trial.key()].final


def take(root: Root) -> Inventory:
    """What is stored at a results location.

    Raises:
        StoreError: it cannot be read.
    """
    rows, damaged = results.read(root, "evaluations", ["trial", "probe", "device", "seconds"])
    epochs, _ = results.read(root, "training", ["trial", "device", "seconds"])
    trained, training = trained_and_training(root)
    measured = results.probes_by_trial(rows)
    seconds = seconds_spent(epochs, rows)
    return Inventory(measured, trained, training, failures.read(root), damaged, seconds)


def trained_and_training(root: Root) -> tuple[set[str], set[str]]:
    """The keys of the trials whose weights are stored, and of those that have a checkpoint of an
    unfinished training.

    Raises:
        StoreError: they cannot be read.
    """
    stored = [PurePosixPath(name).name for name in storage.names(root, "checkpoints", ".pt")]
    training = {n.removesuffix(SUFFIX) for n in stored if n.endswith(SUFFIX)}
    return {n.removesuffix(".pt") for n in stored if not n.endswith(SUFFIX)}, training


def seconds_spent(epochs: pa.Table, rows: pa.Table) -> dict[tuple[str, bool], Spent]:
    """The seconds of rows of training and of evaluations, by trial and whether on a GPU."""
    found: dict[tuple[str, bool], Spent] = defaultdict(lambda: Spent([], {}))
    for trial, device, took in zip(*epochs.to_pydict().values(), strict=True):
        found[trial, device != "cpu"].epochs.append(took)
    for trial, probe, device, took in zip(*rows.to_pydict().values(), strict=True):
        found[trial, device != "cpu"].probes[probe] = took
    return dict(found)


def lacking(plan: Plan, stock: Inventory) -> dict[Trial, tuple[Probe, ...]]:
    """The trials that lack rows, each with the probes that it lacks."""
    if not stock.measured:
        return {trial: probes for trial, probes in plan.trials.items() if probes}
    found = {}
    for trial, probes in plan.trials.items():
        seen = stock.measured.get(trial.key())
        left = tuple(p for p in probes if p.key() not in seen) if seen else probes
        if left:
            found[trial] = left
    return found


def trials_table(plan: Plan, stock: Inventory) -> Group:
    """The trials of a plan by key: state, rows, and the fields in which they differ."""
    left = lacking(plan, stock)
    specs = {trial: trial.model_dump() for trial in plan.trials}
    fields_shown = grid_fields(Trial)
    varied = [field for field in fields_shown if differ(field, specs)]
    table = Table("trial", "state", "rows", *varied, box=None, pad_edge=False)
    for trial, fields in specs.items():
        count = len(plan.trials[trial])
        rows = f"{count - len(left.get(trial, ()))}/{count}"
        values = [shown(fields[field]) for field in varied]
        table.add_row(trial.key(), stock.state(trial, left), rows, *values)
    alike = next(iter(specs.values()))
    same = [f"{field} {shown(alike[field])}" for field in fields_shown if field not in varied]
    return Group(table, "the same for all: " + ", ".join(same))


def differ(field: str, specs: Mapping[Trial, Mapping[str, Any]]) -> bool:
    """Whether trials differ in a field; model and variant are shown in any case."""
    return field in ("model", "variant") or len({spec[field] for spec in specs.values()}) > 1


def shown(value: object) -> str:
    """A value as in a grid file."""
    return f"{value:g}" if isinstance(value, float) else str(value)
