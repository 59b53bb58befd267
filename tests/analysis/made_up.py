"""Made-up rows: the shape of a study, with the trade-off built in, not measured."""

import itertools
import math
from datetime import UTC, datetime

import numpy as np
import polars as pl

from rotgrid import results
from rotgrid.spec import Probe, Trial

PROVENANCE = {
    "rotgrid_version": "0.1.0",
    "git_commit": "0123abc",
    "torch_version": "2.13.0",
    "device": "cpu",
    "host": "here",
    "finished_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
}
RANGES = (0, 20, 40, 60, 90, 180)
EPS = (0.05, 0.1, 0.2, 0.3)


def accuracy(trial: Trial, probe: Probe) -> float:
    """Plausible: rotations beyond those of training hurt, GCNN less; wide training costs GCNN its
    robustness to pixels; adversarial training buys it back."""
    group = trial.model == "gcnn"
    beyond = max(float(probe.test_rotation) - trial.train_rotation - (25 if group else 12), 0)
    clean = (0.985 if group else 0.975) - (0.4 if group else 0.6) * (1 - math.exp(-beyond / 60))
    if probe.attack == "none":
        return clean
    slope = {"noise": 0.3, "fgsm": 7, "pgd": 13}[probe.attack]
    slope *= (1 + trial.train_rotation / (90 if group else 300)) * (0.75 if group else 1)
    slope *= 1 if trial.adversary == "none" else 0.15
    return clean * math.exp(-slope * probe.eps)


def row(trial: Trial, probe: Probe, **changes) -> dict:
    """One row as an evaluation writes it; `correct` fits `n_correct` unless changed."""
    probe = probe.resolve(trial)
    rng = np.random.default_rng(int(trial.key()[:8], 16) ^ int(probe.key()[:8], 16))
    share = np.clip(accuracy(trial, probe) + rng.normal(0, 0.012), 0, 1)
    n_correct = round(float(share) * probe.n_images)
    bits = rng.permutation(np.arange(probe.n_images) < n_correct)
    return {
        "trial": trial.key(),
        "probe": probe.key(),
        **trial.model_dump(),
        **probe.model_dump(),
        "n": probe.n_images,
        "n_correct": n_correct,
        "correct": np.packbits(bits).tobytes(),
        "parameters": 25_000,
        "seconds": 0.5,
        **PROVENANCE,
        **changes,
    }


def study(
    models=(("stdcnn", "table1"), ("gcnn", "table1")),
    train_rotations=(0, 60, 180),
    adversaries=("none", "fgsm"),
    seeds=(0, 1, 2),
    test_rotations=RANGES,
    eps=EPS,
    data="mnist5k",
    n_images=0,
) -> list[dict]:
    """Rows of every network: clean at all test ranges, FGSM and PGD at all eps at its own."""
    rows = []
    networks = itertools.product(models, train_rotations, adversaries, seeds)
    for (model, variant), turn, adversary, seed in networks:
        trial = Trial(
            model=model,
            variant=variant,
            data=data,
            train_rotation=float(turn),
            adversary=adversary,
            recipe="fast",
            seed=seed,
        )
        probes = [
            Probe(test_rotation=float(x)) for x in {turn: 0, **dict.fromkeys(test_rotations)}
        ]
        probes += [
            Probe(attack=attack, eps=e, steps=20, n_images=n_images)
            for attack in ("fgsm", "pgd")
            for e in eps
        ]
        rows += [row(trial, probe) for probe in probes]
    return rows


def frame(rows: list[dict]) -> pl.DataFrame:
    """Rows as `analysis.load` gives them."""
    schema = pl.from_arrow(results.SCHEMAS["evaluations"].empty_table()).schema
    return pl.DataFrame(rows, schema=schema)


def store(root, rows: list[dict]) -> str:
    """Write rows as a run does, a part per trial."""
    for trial, group in itertools.groupby(rows, lambda r: r["trial"]):
        results.write(root, "evaluations", trial, list(group), PROVENANCE)
    return str(root)
