"""One trial end to end, without Ray: seed, build, fit (resumable), probe, store."""

import datetime
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import torch
from torch import nn

from rotgrid import deadline
from rotgrid import results as tables
from rotgrid.cost import portions
from rotgrid.data import Dataset, load
from rotgrid.device import prepare_device
from rotgrid.evaluation import measure
from rotgrid.models import build, count_parameters
from rotgrid.results import checkpoints, storage
from rotgrid.results.checkpoints import weights_of
from rotgrid.results.code import use_stored_source
from rotgrid.results.grids import launched_plans
from rotgrid.results.provenance import provenance
from rotgrid.results.storage import Root
from rotgrid.spec import Probe, Trial, data_of, digest
from rotgrid.spec.datasets import DataName, DataSet, Shape
from rotgrid.spec.entries import is_own
from rotgrid.spec.models import MODELS, ModelName, recipe_of
from rotgrid.training import fit, ignore


class ProbeError(RuntimeError):
    """Some probes of a trial cannot be measured; the rows of the others are stored."""


def run(
    trial: Trial,
    probes: Iterable[Probe],
    results: Root,
    *,
    threads: int = 1,
    gpu_share: float = 0.0,
    until: float = deadline.NEVER,
    progress: Callable[[str], object] = ignore,
) -> int:
    """Train the network of `trial`, or load its weights, and measure the probes not yet measured.

    Everything is stored in `results` before this returns; running it again does nothing.
    On the CPU the rows depend on the trial and the probes alone.

    Args:
        trial: what to train.
        probes: what to measure; they may be unresolved.
        results: results location, a path or URI.
        threads: CPU threads of torch.
        gpu_share: 0 computes on the CPU, anything else on the first visible GPU.
        until: reading of `time.monotonic` at which to stop.
        progress: is told what begins: `epoch 3 of 10`, `attack pgd`.

    Returns:
        The number of rows written.

    Raises:
        DataError, DivergedError: see `data`, `training`.
        ProbeError: names probes that cannot be measured; the rows of all others are stored.
        DeviceError: there is no GPU to compute on.
        StoreError: the results cannot be read or written.
        TimeLimitError: it is past `until`; what is finished is stored.
    """
    device = prepare_device(threads, gpu_share)
    missing, measured = missing_probes(trial, probes, results)
    if measured and not missing and storage.exists(results, weights_of(trial.key())):
        return 0
    dataset = dataset_on(trial.data, device, trial.data_digest)

    def trained(wanted: Trial) -> nn.Module:
        return trained_network(wanted, dataset, results, device, until, progress)

    model = trained(trial)
    sources = functools.cache(lambda name: trained(source_trial(trial, name)))
    failed: dict[Probe, Exception] = {}
    for portion in portions(trial, missing):  # two launches of one grid write the same parts
        sweeps = measure(
            model, dataset, trial, portion, sources, until, progress, failed.__setitem__
        )
        store_sweeps(sweeps, trial, count_parameters(model), results, device)
    if failed:
        raise ProbeError(describe_failures(failed)) from next(iter(failed.values()))
    return len(missing)


def missing_probes(
    trial: Trial, probes: Iterable[Probe], results: Root
) -> tuple[list[Probe], bool]:
    """The probes, resolved, that have no row yet, and whether the trial has any row."""
    rows, _ = tables.read(results, "evaluations", ["probe"], trial.key())
    done = set(rows["probe"].to_pylist())
    wanted = dict.fromkeys(probe.resolve(trial) for probe in probes)
    return [probe for probe in wanted if probe.key() not in done], bool(done)


def store_sweeps(
    sweeps: Iterable[Iterable[dict[str, Any]]],
    trial: Trial,
    parameters: int,
    results: Root,
    device: torch.device,
) -> None:
    """Measure sweeps and write their rows as a part; if one ends in an error, those before it."""
    fields = {"trial": trial.key(), "parameters": parameters, **trial.model_dump()}
    rows: list[dict[str, Any]] = []
    try:
        for sweep in sweeps:
            rows += [{**fields, **row} for row in sweep]
    finally:
        store_rows(results, trial, rows, device)


def describe_failures(failed: Mapping[Probe, Exception]) -> str:
    """What failed, and why, in a line: probes with equal errors together."""
    alike: dict[str, list[Probe]] = {}
    for probe, error in failed.items():
        alike.setdefault(f"{type(error).__name__}: {error}", []).append(probe)
    words = []
    for text, probes in alike.items():
        attacks = ", ".join(dict.fromkeys(probe.attack for probe in probes))
        keys = ", ".join(probe.key() for probe in probes[:3])
        more = f", ... ({len(probes)})" if len(probes) > 3 else ""
        words.append(f"attack {attacks} (probe {keys}{more}): {text}")
    return "; ".join(words)


def trained_network(
    trial: Trial,
    dataset: Dataset,
    results: Root,
    device: torch.device,
    until: float = deadline.NEVER,
    progress: Callable[[str], object] = ignore,
) -> nn.Module:
    """The trained network of a trial: its stored weights, or a training that stores them."""
    key = trial.key()
    model = untrained_network(trial, dataset.shape).to(device)
    notes = checkpoints.restore(results, key, model)
    if notes is None:
        rows = fit(model, dataset, trial, results, until, progress)
        store_network(model, trial, rows, results, provenance(device))
    elif not tables.read(results, "training", ["epoch"], key)[0].num_rows:
        store_epochs(trial, notes, count_parameters(model), results)
    return model


def untrained_network(trial: Trial, shape: Shape) -> nn.Module:
    """The network of a trial as its training begins.

    Raises:
        SourceError, ContractError: it is an own one that is another version than was planned, or
            cannot be built.
    """
    return build(trial.model, trial.variant, trial.seed, shape, trial.model_digest)


def store_network(
    model: nn.Module,
    trial: Trial,
    rows: Sequence[dict[str, Any]],
    results: Root,
    source: Mapping[str, object],
) -> None:
    """Store a trained network and the rows of its training, or take those of the same trial that
    another process has stored meanwhile.

    The weights carry the rows, and table `training` gets what the stored weights carry: so all
    rows of a trial come from one network, whoever writes them, and wherever that is cut short.
    """
    key = trial.key()
    notes = {"key": key, "trial": trial.model_dump(), "rows": rows, "provenance": source}
    data = checkpoints.serialize(model.state_dict(), notes)
    storage.create(results, weights_of(key), data)
    kept = checkpoints.restore(results, key, model, again=True)
    if kept is None:  # what is there is damaged
        storage.put(results, weights_of(key), data)
        kept = checkpoints.parse(data).notes
    store_epochs(trial, kept, count_parameters(model), results)


def store_epochs(trial: Trial, notes: Mapping[str, Any], parameters: int, results: Root) -> None:
    """Write the rows that weights carry: then the training is complete.

    Earlier versions wrote the rows before the weights, which carry none.
    """
    if rows := notes.get("rows"):
        finished = datetime.datetime.fromisoformat(notes["provenance"]["finished_at"])
        source = {**notes["provenance"], "finished_at": finished}
        fields = {"trial": trial.key(), "parameters": parameters, **trial.model_dump()}
        epochs = [{**fields, **row} for row in rows]
        tables.write(results, "training", trial.key(), epochs, source)
    storage.delete(results, checkpoints.training_of(trial.key()))


def load_network(results: Root, key: str) -> nn.Module:
    """The trained network of a trial, on the CPU, in evaluation mode.

    Args:
        results: results location, a path or URI.
        key: of the trial, or its beginning.

    Raises:
        LookupError: no network or several have such a key.
        ValueError: its file is damaged; the next launch that needs it trains it again. Or it is an
            own network, and its source of that version is neither here nor in the results.
        StoreError: the results cannot be read.
    """
    stored = [PurePosixPath(name) for name in storage.names(results, "checkpoints", ".pt")]
    keys = [path.stem for path in stored if "." not in path.stem and path.stem.startswith(key)]
    if len(keys) != 1:
        some = f": {', '.join(keys[:3])}" if keys else ""
        raise LookupError(f"{results}: {len(keys)} trained networks have a key {key}...{some}")
    trial = trial_of_network(results, keys[0])
    if is_own(trial.model):
        use_stored_source(results, trial.model, trial.model_digest)
    model = untrained_network(trial, stored_data(results, trial).shape)
    if checkpoints.restore(results, keys[0], model) is None:
        raise ValueError(f"{results}: {weights_of(keys[0])} is damaged")
    return model.eval()


def trial_of_network(results: Root, key: str) -> Trial:
    """The trial of a stored network, by its rows.

    Raises:
        LookupError: it has none.
    """
    rows, _ = tables.read(results, "training", list(Trial.model_fields), key)
    if not rows.num_rows:
        raise LookupError(f"{results}: no rows of trial {key} say what its network is")
    return Trial.model_validate(rows.slice(0, 1).to_pylist()[0])


def stored_data(results: Root, trial: Trial) -> DataSet:
    """The entry of the data set of a stored trial; of own data as a stored grid has it.

    Raises:
        LookupError: it is own, and no stored grid has it.
    """
    if is_own(trial.data):
        launched_plans(results)
    return data_of(trial)


def source_trial(trial: Trial, model: ModelName) -> Trial:
    """The trial whose network makes the images of a `transfer` to `trial`'s.

    Trained alike: what a recipe sets for each model is as many times the recipe's value. Its
    seed is the same, or the next one if the model and variant are the same.
    """
    own = other = trial.recipe_used()
    if not trial.recipe_settings:
        other = recipe_of(trial.recipe, model)
    variant = MODELS[model].default

    def longer(amount: int) -> int:
        return max(1, round(amount * other.epochs / own.epochs)) if amount else 0

    same = (model, variant) == (trial.model, trial.variant)
    return Trial.model_validate(
        {
            **trial.model_dump(),
            "model": model,
            "model_digest": "",
            "variant": variant,
            "epochs": longer(trial.epochs),
            "train_steps": longer(trial.train_steps),
            "batch_size": max(1, round(trial.batch_size * other.batch_size / own.batch_size)),
            "learning_rate": trial.learning_rate * other.learning_rate / own.learning_rate,
            "seed": trial.seed + same,
        }
    )


def store_rows(
    results: Root,
    trial: Trial,
    rows: Sequence[dict[str, Any]],
    device: torch.device,
) -> None:
    """Write rows as a part named by what it holds: the same rows overwrite themselves.

    Errors of layers and checks go first: a probe is done once its row is in `evaluations`.
    """
    if not rows:
        return
    content = digest({"probes": [row["probe"] for row in rows]})[:8]
    part = f"{trial.key()}-{content}"
    source = provenance(device)
    if layers := [layer for row in rows for layer in layer_rows(row)]:
        tables.write(results, "equivariance", part, layers, source)
    if checks := [check for row in rows for check in check_rows(row)]:
        tables.write(results, "diagnostics", part, checks, source)
    tables.write(results, "evaluations", part, rows, source)


def layer_rows(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of table `equivariance` that belong to a measurement."""
    return [
        {**row, "degrees": row["test_rotation"], "position": at, "layer": layer, "error": error}
        for at, (layer, error) in enumerate(row.get("layers", {}).items(), 1)
    ]


def check_rows(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of table `diagnostics` that belong to a measurement."""
    return [{**row, **check._asdict(), "passed": check.passed} for check in row.get("checks", ())]


@functools.lru_cache(maxsize=1)
def dataset_on(name: DataName, device: torch.device, digest: str = "") -> Dataset:
    """A data set on a device; the process keeps the one that it used last. Own data of another
    `digest` are others."""
    return load(name).to(device)
