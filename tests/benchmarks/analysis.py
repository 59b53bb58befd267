"""The report of 5 million rows: `python tests/benchmarks/analysis.py [ROWS_PER_PART [PARTS]]`.

Three ways, each in a process of its own, on the same made-up parts (1,250 rows in each of 4,000):
the whole report by `python -m analysis`; one of its tables (accuracy under each attack by kind of
network, over seeds) written plainly in pandas; and the same in pandas with only the columns that
it needs. Seconds and peak memory are those of the process, its imports included.
"""

import itertools
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from rotgrid import results
from rotgrid.spec import Probe, Trial

ROOT = Path(__file__).parents[2]
PARTS, ROWS = 4_000, 1_250
MODELS = ("stdcnn", "gcnn", "hnet", "ptn", "roteqnet", "capsnet", "p4cnn", "steerable")
TURNS = (0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0, 120.0, 150.0, 180.0)
EPS = tuple(round(0.02 * step, 2) for step in range(1, 16))
ATTACKS = ("fgsm", "pgd", "bim", "apgd", "square", "noise", "sign-noise", "class-means")
N = 200
PROVENANCE = {
    "rotgrid_version": "0.1.0",
    "git_commit": "0123456789abcdef0123456789abcdef01234567",
    "torch_version": "2.13.0",
    "device": "NVIDIA H100 80GB HBM3",
    "host": "node-17.example.org",
}
CELL = ["model", "variant", "adversary", "train_rotation", "test_rotation", "attack", "eps"]

PANDAS = """
import pandas as pd, pathlib, sys
columns = {columns}
paths = sorted(pathlib.Path(sys.argv[1]).glob("*.parquet"))
rows = pd.concat([pd.read_parquet(path, columns=columns) for path in paths], ignore_index=True)
rows = rows.sort_values("finished_at").drop_duplicates(["trial", "probe"], keep="last")
rows["accuracy"] = rows["n_correct"] / rows["n"]
table = rows.groupby({cell}).agg(
    accuracy=("accuracy", "mean"), least=("accuracy", "min"), most=("accuracy", "max"),
    seeds=("seed", "nunique"), n=("n", "sum"), n_correct=("n_correct", "sum"),
)
print(len(rows), "rows,", len(table), "cells")
"""


def trials():
    """Networks, as many as there are parts."""
    adversaries = ("none", "fgsm", "pgd", "trades", "cusp")
    kinds = itertools.product(range(10), MODELS, TURNS, adversaries)
    for seed, model, turn, adversary in kinds:
        yield Trial(model=model, train_rotation=turn, adversary=adversary, seed=seed)


def probes(trial):
    """Measurements of a network, as many as there are rows in a part."""
    for turn in TURNS:
        yield Probe(test_rotation=turn, n_images=N).resolve(trial)
        for attack, eps in itertools.product(ATTACKS, EPS):
            probe = Probe(attack=attack, eps=eps, test_rotation=turn, n_images=N)
            yield probe.resolve(trial)
        for attack in ("rotation-grid", "worst-of-10", "equivariance", "spatial-grid"):
            yield Probe(attack=attack, test_rotation=turn, n_images=N).resolve(trial)


def part(folder, trial, fields):
    """Write the rows of one network; accuracies are made up, and fall with eps and turn."""
    rng = np.random.default_rng(int(trial.key()[:8], 16))
    share = 0.98 * np.exp(-6 * fields["eps"].to_numpy() - fields["test_rotation"].to_numpy() / 500)
    n_correct = rng.binomial(N, share)
    bits = np.arange(N) < n_correct[:, None]
    counts = bits.reshape(len(fields), 10, N // 10).sum(2)
    known = {
        "trial": trial.key(),
        **trial.model_dump(),
        "parameters": 25_000 + 1_000 * MODELS.index(trial.model),
        "distances": None,
        "n": N,
        **PROVENANCE,
        "finished_at": datetime(2026, 1, 2, tzinfo=UTC)
        + timedelta(seconds=rng.integers(10**6).item()),
    }
    frame = fields.with_columns(
        *(pl.lit(value).alias(name) for name, value in known.items()),
        n_correct=pl.Series(n_correct),
        seconds=pl.Series(rng.exponential(2.0, len(fields))),
        correct=pl.Series([row.tobytes() for row in np.packbits(bits, axis=1)]),
        class_n=pl.Series([[N // 10] * 10] * len(fields)),
        class_n_correct=pl.Series(counts.tolist()),
    )
    schema = results.SCHEMAS["evaluations"]
    empty = pl.from_arrow(schema.empty_table())
    frame.select(pl.col(name).cast(dtype) for name, dtype in empty.schema.items()).write_parquet(
        f"{folder}/{trial.key()}.parquet",
        metadata={"rotgrid.schema_version": str(results.SCHEMA_VERSION)},
    )


def parts(root, rows, count):
    """Write all parts."""
    folder = Path(root, "evaluations")
    folder.mkdir(parents=True)
    chosen = list(itertools.islice(trials(), count))
    measured = list(itertools.islice(probes(chosen[0]), rows))
    fields = pl.DataFrame(
        [{"probe": probe.key(), **probe.model_dump()} for probe in measured],
        infer_schema_length=None,
    )
    for trial in chosen:
        part(folder, trial, fields)
    return len(chosen) * len(measured)


def measured(*command):
    """Seconds and peak memory (GB) of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, command
    return time.perf_counter() - start, usage.ru_maxrss / 1e6


def main(rows=ROWS, count=PARTS):
    """Print what the three ways take."""
    with tempfile.TemporaryDirectory() as folder:
        total = parts(f"{folder}/run", rows, count)
        stored = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet")) / 1e9
        print(f"{total:,} rows in {count:,} parts, {stored:.2f} GB\n", flush=True)
        python, run = sys.executable, f"{folder}/run"
        needed = [*CELL, "trial", "probe", "seed", "n", "n_correct", "finished_at"]
        report = [python, "-m", "analysis", run, "--out", f"{folder}/report"]
        ways = {"the whole report": measured(*report)}
        for name, columns in (("pandas", None), ("pandas, needed columns only", needed)):
            code = PANDAS.format(columns=columns, cell=CELL)
            ways[name] = measured(python, "-c", code, f"{run}/evaluations")
    seconds, memory = ways["the whole report"]
    print("\n| way | s | ratio | peak GB | ratio |\n|---|---|---|---|---|")
    for name, (s, gb) in ways.items():
        print(f"| {name} | {s:.1f} | {s / seconds:.2f} | {gb:.2f} | {gb / memory:.2f} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
