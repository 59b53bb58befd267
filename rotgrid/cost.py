"""What a plan costs: a count of arithmetic, and the seconds that it takes on this machine.

The speed of each model comes from the trials already finished in the same results, else from
earlier launches on this machine, else from a reference machine. Neither torch nor Ray is needed.
"""

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import platformdirs
from pydantic import ValidationError

from rotgrid import results
from rotgrid.recipes import WATCH_STEPS, recipe_of, watched
from rotgrid.spec import DATA, MODELS, Probe, Trial

RATES_FILE = Path(platformdirs.user_cache_dir("rotgrid"), "rates.json")

MULTIPLY_ADDS: dict[tuple[str, str], float] = {
    ("stdcnn", "table1"): 1.01e6,
    ("stdcnn", "doubled"): 3.87e6,
    ("stdcnn", "matched-table1"): 6.98e6,
    ("stdcnn", "matched-halved"): 2.21e6,
    ("gcnn", "table1"): 15.17e6,
    ("gcnn", "halved"): 3.87e6,
    ("gcnn", "matched-table1"): 1.43e6,
    ("gcnn", "matched-doubled"): 7.50e6,
    ("gcnn", "orbit"): 15.12e6,
    ("hnet", "fixed"): 87.18e6,
    ("hnet", "2018"): 87.18e6,
    ("ptn", "base"): 12.68e6,
    ("ptn", "small"): 5.47e6,
    ("roteqnet", "exact"): 59.71e6,
    ("roteqnet", "zoomed"): 59.71e6,
    ("roteqnet", "sixteen"): 56.20e6,
    ("capsnet", "table"): 206.8e6,
    ("capsnet", "narrow"): 15.86e6,
    ("z2cnn", "base"): 2.98e6,
    ("p4cnn", "base"): 11.67e6,
    ("p4cnn", "rotation-pooling"): 11.90e6,
    ("tipooling", "narrow"): 28.52e6,
    ("tipooling", "full"): 677.4e6,
    ("cyclic", "pool"): 4.02e6,
    ("cyclic", "roll"): 6.38e6,
    ("dren", "x4"): 11.65e6,
    ("dren", "max-x4"): 11.67e6,
    ("steerable", "c4"): 19.62e6,
    ("steerable", "c8"): 37.48e6,
    ("steerable", "so2"): 25.34e6,
    ("steerable", "gcnn"): 15.17e6,
    ("emcaps", "small"): 7.20e6,
    ("madrycnn", "base"): 13.88e6,
}
"""Of one forward pass of one image, by (model, variant), without the building of filters."""

REFERENCE_RATES: dict[str, float] = {
    "stdcnn": 16e9,
    "gcnn": 28e9,
    "hnet": 45e9,
    "ptn": 27e9,
    "roteqnet": 40e9,
    "capsnet": 28e9,
    "z2cnn": 12e9,
    "p4cnn": 19e9,
    "tipooling": 24e9,
    "cyclic": 16e9,
    "dren": 16e9,
    "steerable": 22e9,
    "emcaps": 0.9e9,
    "madrycnn": 28e9,
}
"""Multiply-adds per second in training, measured on one core of an AMD EPYC server (2026)."""


class Estimate(NamedTuple):
    """Core seconds of some work, and where the figure comes from."""

    seconds: float
    source: str


def training_passes(trial: Trial) -> float:
    """Forward passes that the training is worth; a backward pass counts two (one if for x)."""
    iterated = 2.0 * recipe_of(trial.recipe, trial.model).adversary_steps + 1
    adversary = {
        "none": 0.0,
        "fgsm": 2.0,
        "fgsm-mix": 2.0 + 3.0,
        "fgsm-rs": 2.0,
        "pgd": iterated,
        "trades": iterated + 3.0,
        "cusp": iterated,
    }[trial.adversary]
    validation = DATA[trial.data].val
    watch = 0.0
    if trial.adversary != "none":
        watch = (2.0 * WATCH_STEPS + 2) * watched(trial.train_size, validation)
    return trial.epochs * (trial.train_size * (3.0 + adversary) + validation + watch)


def probe_passes(probe: Probe) -> float:
    """Forward passes that a measurement is worth, if every image survives to its last step.

    In a sweep over eps an attack that searches costs little more than at one eps; here each eps
    counts, so that estimates are high.
    """
    ascent = 2.0 * probe.steps * max(1, probe.restarts) + 1
    turns = 2 * (180 if probe.test_rotation == "same" else probe.test_rotation) + 1
    per_image = {
        "none": 1.0,
        "equivariance": 2.0,
        "noise": float(max(1, probe.restarts)),
        "sign-noise": float(max(1, probe.restarts)),
        "class-means": 1.0,
        "fgsm": 1.5,
        "bim": 2.0 * 320 * probe.eps,
        "pgd": ascent,
        "transfer": ascent,
        "apgd": ascent * (9 if probe.loss == "dlr" else 1),
        "square": float(probe.steps * max(1, probe.restarts)),
        "fmn": 2.0 * probe.steps,
        "fmn-pgd": 30.0 + ascent,
        "strong": 2.0 * 11 * probe.steps + 10 * probe.steps,
        "rotation-grid": turns,
        "translation-grid": (2 * probe.test_translation + 1) ** 2,
        "spatial-grid": 775.0,
        "worst-of-10": 10.0,
        "spatial-pgd": turns + 11 * ascent,
        "diagnostics": 12 * ascent + 5_100,
    }[probe.attack]
    return per_image * probe.n_images


def work(trial: Trial, probes: Iterable[Probe], trained: bool) -> float:
    """Multiply-adds of training `trial` (unless `trained`) and of measuring `probes`."""
    passes = (0.0 if trained else training_passes(trial)) + sum(map(probe_passes, probes))
    return passes * MULTIPLY_ADDS[trial.model, trial.variant]


def estimate(todo: Mapping[Trial, Iterable[Probe]], trained: set[str], root: str) -> Estimate:
    """Core seconds of the trials and probes still to do."""
    models = {trial.model for trial in todo}
    here, cached = measured_rates(root), remembered_rates()
    rates = {**REFERENCE_RATES, **cached, **here}
    seconds = sum(
        work(trial, probes, trial.key() in trained) / rates[trial.model]
        for trial, probes in todo.items()
    )
    if models <= here.keys():
        source = "from trials finished in these results"
    elif models <= cached.keys() | here.keys():
        source = "from earlier launches on this machine"
    else:
        source = "a guess within a factor of 3: nothing has run on this machine yet"
    return Estimate(seconds, source)


def measured_rates(root: str) -> dict[str, float]:
    """Multiply-adds per second of each model, from the epochs trained in these results."""
    columns = ["trial", "seconds", *Trial.model_fields]
    rows, _ = results.read(root, "training", columns)
    totals: dict[str, list[float]] = {}
    for row in rows.to_pylist():
        try:
            trial = Trial(**{field: row[field] for field in Trial.model_fields})
        except ValidationError:  # of another version
            continue
        done = training_passes(trial) / trial.epochs * MULTIPLY_ADDS[trial.model, trial.variant]
        total = totals.setdefault(trial.model, [0.0, 0.0])
        total[0] += done
        total[1] += row["seconds"]
    return {model: done / seconds for model, (done, seconds) in totals.items() if seconds > 0}


def remember_rates(root: str) -> None:
    """Keep the speeds measured in these results for plans of other grids on this machine."""
    rates = measured_rates(root)
    with contextlib.suppress(OSError):  # a cache that cannot be written is no reason to fail
        RATES_FILE.parent.mkdir(parents=True, exist_ok=True)
        RATES_FILE.write_text(json.dumps({**remembered_rates(), **rates}))


def remembered_rates() -> dict[str, float]:
    """The speeds that earlier launches have measured on this machine."""
    try:
        rates = json.loads(RATES_FILE.read_text())
    except (OSError, ValueError):
        return {}
    return (
        {m: float(r) for m, r in rates.items() if m in MODELS} if isinstance(rates, dict) else {}
    )
