"""One trial end to end, without Ray: seed, build, fit (resumable), probe, store."""

import contextlib
import ctypes
import datetime
import functools
import platform
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

import rotgrid
from rotgrid import deadline, storage
from rotgrid import results as tables
from rotgrid.cost import portions
from rotgrid.data import Dataset, load
from rotgrid.evaluation import measure
from rotgrid.models import build, count_parameters
from rotgrid.recipes import recipe_of
from rotgrid.spec import VARIANTS, DataName, ModelName, Probe, Trial, digest
from rotgrid.storage import Root
from rotgrid.training import fit, serialize, stored

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Options of glibc's mallopt(3)."""

CONTEXT_BYTES = 640 << 20
"""Of a GPU's memory, what a process takes beyond what torch allocates: the CUDA context and the
kernels of cuDNN and cuBLAS."""


def run(
    trial: Trial,
    probes: Iterable[Probe],
    results: Root,
    *,
    threads: int = 1,
    gpu_share: float = 0.0,
    until: float = deadline.NEVER,
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

    Returns:
        The number of rows written.

    Raises:
        DataError, DivergedError, FloatingPointError: see `data`, `training`, `attacks`.
        StoreError: the results cannot be read or written.
        TimeLimitError: it is past `until`; what is finished is stored.
    """
    device = prepare(threads, gpu_share)
    wanted = list(dict.fromkeys(probe.resolve(trial) for probe in probes))
    rows_there, _ = tables.read(results, "evaluations", ["probe"], trial.key())
    done = set(rows_there["probe"].to_pylist())
    missing = [probe for probe in wanted if probe.key() not in done]
    if not missing and storage.exists(results, f"checkpoints/{trial.key()}.pt"):
        return 0
    dataset = load_on(trial.data, device)
    model = network(trial, dataset, results, device, until)
    sources = functools.cache(
        lambda name: network(source_of(trial, name), dataset, results, device, until)
    )
    fields = {"trial": trial.key(), "parameters": count_parameters(model), **trial.model_dump()}
    for portion in portions(trial, missing):  # two launches of one grid write the same parts
        sweeps = measure(model, dataset, trial, portion, sources, until)
        store(results, trial, [{**fields, **row} for rows in sweeps for row in rows], device)
    return len(missing)


def network(
    trial: Trial, dataset: Dataset, results: Root, device: torch.device, until: float
) -> nn.Module:
    """The trained network of a trial: its stored weights, or a training that stores them."""
    model = build(trial.model, trial.variant, trial.seed).to(device)
    if state := stored(results, f"checkpoints/{trial.key()}.pt"):
        model.load_state_dict(state)
    else:
        train(model, dataset, trial, results, until)
    return model


def source_of(trial: Trial, model: ModelName) -> Trial:
    """The trial whose network makes the images of a `transfer` to `trial`'s.

    Trained alike: what a recipe sets for each model is as many times the recipe's value. Its
    seed is the same, or the next one if the model and variant are the same.
    """
    own, other = recipe_of(trial.recipe, trial.model), recipe_of(trial.recipe, model)
    variant = VARIANTS[model][0]
    same = (model, variant) == (trial.model, trial.variant)
    return Trial.model_validate(
        {
            **trial.model_dump(),
            "model": model,
            "variant": variant,
            "epochs": max(1, round(trial.epochs * other.epochs / own.epochs)),
            "batch_size": max(1, round(trial.batch_size * other.batch_size / own.batch_size)),
            "learning_rate": trial.learning_rate * other.learning_rate / own.learning_rate,
            "seed": trial.seed + same,
        }
    )


def train(model: nn.Module, dataset: Dataset, trial: Trial, results: Root, until: float) -> None:
    """Fit and store: first the rows, then the weights, which say that the training is complete."""
    device = next(model.parameters()).device
    key = trial.key()
    fields = {"trial": key, "parameters": count_parameters(model), **trial.model_dump()}
    rows = [{**fields, **row} for row in fit(model, dataset, trial, results, until)]
    tables.write(results, "training", key, rows, provenance(device))
    storage.put(results, f"checkpoints/{key}.pt", serialize(model.state_dict()))
    storage.delete(results, f"checkpoints/{key}.training.pt")


def store(
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


def prepare(threads: int, gpu_share: float) -> torch.device:
    """Set the state of the process that results depend on: actors are reused between trials."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    if gpu_share <= 0:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RuntimeError("the trial asks for a GPU and torch sees none")
    if gpu_share < 1:  # a trial that wants more than its share fails alone
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(memory_fraction(gpu_share, total))
    return torch.device("cuda")


def memory_fraction(gpu_share: float, total: int) -> float:
    """Of a GPU's memory (`total` bytes) what torch may allocate in a process with such a share."""
    return max(gpu_share - CONTEXT_BYTES / total, gpu_share / 2)


@functools.cache
def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, up to a gigabyte, for what comes next.

    glibc may give the large blocks of one training step back to the kernel and ask for them again
    in the next: thousands of page faults a step took up to a tenth of the time, in some processes.
    """
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        libc = ctypes.CDLL("libc.so.6")
        for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            libc.mallopt(option, 1 << 30)


@functools.lru_cache(maxsize=2)
def load_on(name: DataName, device: torch.device) -> Dataset:
    """A data set on a device, loaded once per process."""
    return load(name).to(device)


def provenance(device: torch.device) -> dict[str, object]:
    """Where rows come from."""
    return {
        "rotgrid_version": rotgrid.__version__,
        "git_commit": git_commit(),
        "torch_version": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "host": platform.node(),
        "finished_at": datetime.datetime.now(datetime.UTC),
    }


@functools.cache
def git_commit() -> str:
    """The commit of the checkout that rotgrid runs from, or `unknown`."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", __file__)
        changed = git("status", "--porcelain", "--untracked-files=no", "--", str(folder))
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
