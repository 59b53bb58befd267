"""The report of 5 million rows: `python tests/benchmarks/analysis.py [ROWS_PER_PART [PARTS]]`.

What the report does with made-up rows (1,250 in each of 4,000 parts, and the same compacted)
before it draws: read, check, aggregate and judge; and the whole report by `python -m analysis`:
the rest of its time is drawing and writing. Beside it a plain pandas script that reads the same
files and makes the aggregates: newest row of each measurement, counts checked against the bits,
accuracy by cell over seeds with its Wilson interval of the attacks that are drawn, the worst case
over rotations with
and without classes 6 and 9, and who made how many rows. It draws, judges and writes nothing.

pandas reads part by part; or the folder at once, which is faster but fails if one part is
damaged; or of that only the columns that it needs. Each way is a process of its own; seconds and
CPU seconds are those of it and its children, imports included, memory is the largest sum of what
they hold at one time (resident, so that what they share counts twice).
"""

import itertools
import re
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from rotgrid import compact
from rotgrid.results.columns import NULLABLE, SCHEMA_VERSION, SCHEMAS
from rotgrid.results.parts import encoded, sealed
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
    "code": "0123456789ab",
    "torch_version": "2.13.0",
    "device": "NVIDIA H100 80GB HBM3",
    "host": "node-17.example.org",
}
PANDAS = """
import pathlib, sys
import numpy as np, pandas as pd

def wilson(table, z=1.959964):
    k, n = table["n_correct"], table["n"]
    centre = (k + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    return table.assign(lower=centre - half, upper=centre + half)

def accuracy(rows, by):
    return wilson(rows.groupby(by).agg(
        accuracy=("accuracy", "mean"), least=("accuracy", "min"), most=("accuracy", "max"),
        seeds=("seed", "nunique"), n=("n", "sum"), n_correct=("n_correct", "sum"),
    ))

columns, how, folder = {columns}, "{how}", sys.argv[1]
if how == "folder":
    rows = pd.read_parquet(folder, columns=columns)
else:
    paths = sorted(pathlib.Path(folder).glob("*.parquet"))
    rows = pd.concat([pd.read_parquet(path, columns=columns) for path in paths], ignore_index=True)
rows = rows.sort_values("finished_at").drop_duplicates(["trial", "probe"], keep="last")
ones = rows["correct"].map(lambda bits: int.from_bytes(bits).bit_count())
rows = rows[(rows["n_correct"] == ones) & (rows["n_correct"] <= rows["n"]) & (rows["n"] > 0)]
rows["accuracy"] = rows["n_correct"] / rows["n"]
network = ["model", "variant", "adversary", "train_rotation"]
drawn = rows[rows["attack"].isin(["none", "fgsm", "pgd"])]
cells = accuracy(drawn, [*network, "test_rotation", "attack", "eps"])
turned = rows[rows["attack"].isin(["rotation-grid", "worst-of-10", "spatial-grid"])]
by = [*network, "attack", "test_rotation"]
worst = accuracy(turned, by)
eight = [0, 1, 2, 3, 4, 5, 7, 8]
turned = turned.assign(
    n=np.stack(turned["class_n"])[:, eight].sum(1),
    n_correct=np.stack(turned["class_n_correct"])[:, eight].sum(1),
)
turned["accuracy"] = turned["n_correct"] / turned["n"]
worst["eight"] = accuracy(turned, by)["accuracy"]
made = rows.groupby(["rotgrid_version", "git_commit", "torch_version", "device", "host"]).agg(
    rows=("trial", "size"), trials=("trial", "nunique"),
    first=("finished_at", "min"), last=("finished_at", "max"),
)
print(len(rows), "rows,", len(cells), "cells,", len(worst), "worst cases,", len(made), "machines")
"""
OURS = """
import sys
import polars as pl
from analysis.claims import reads, verdicts
from analysis.report import methods, worst
from analysis.report.reads import WANTED
from analysis.rows.loading import gather
from analysis.stats.summary import summary

loaded = gather(sys.argv[1], wanted=WANTED)
network = ["model", "variant", "adversary", "train_rotation"]
drawn = loaded.rows.lazy().filter(pl.col("attack").is_in(["none", "fgsm", "pgd"]))
of = [*network, "test_rotation", "attack", "eps"]
cells = summary(drawn.select(*of, "seed", "n", "n_correct", "flags").collect(), of)
table = worst.worst_case(loaded.rows.filter(worst.READS)).rows
made = methods.provenance(loaded.overview)
asked = loaded.rows.lazy().filter(reads.READS).select(verdicts.COLUMNS)
judged = verdicts.judge(asked.collect())
print(loaded.overview.rows, "rows,", len(cells), "cells,", len(table), "worst cases,",
      len(made), "machines,", len(judged), "claims")
"""
NEEDED = [
    *("trial", "probe", "finished_at", "correct", "n_correct", "n", "class_n", "class_n_correct"),
    *("model", "variant", "adversary", "train_rotation", "seed", "attack", "eps", "test_rotation"),
    *("rotgrid_version", "git_commit", "torch_version", "device", "host"),
]
WAYS = {
    "pandas, part by part": (None, "parts"),
    "pandas, the folder at once": (None, "folder"),
    "pandas, the folder, needed columns": (NEEDED, "folder"),
}


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
    schema = SCHEMAS["evaluations"]
    version = {"rotgrid.schema_version": str(SCHEMA_VERSION)}
    for name in NULLABLE:
        if name not in frame.columns:
            frame = frame.with_columns(pl.lit(None).alias(name))
    table = frame.select(schema.names).to_arrow().cast(schema.with_metadata(version))
    data = sealed(encoded([table], table.schema))
    Path(folder, f"{trial.key()}.parquet").write_bytes(data)


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


class Measured(NamedTuple):
    """What a process and its children took."""

    seconds: float
    cpu: float
    gb: float


def measured(*command):
    """Run a command."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process, peak = subprocess.Popen(command, cwd=ROOT), 0.0
    while process.poll() is None:
        peak = max(peak, held(process.pid))
        time.sleep(0.05)
    assert process.returncode == 0, command
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = sum(after[:2]) - sum(before[:2])
    return Measured(time.perf_counter() - start, cpu, peak)


def held(pid):
    """Resident memory (GB) of a process and its descendants."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has just ended
        return 0.0
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    own = int(resident[1]) / 1e6 if resident else 0.0
    return own + sum(map(held, children))


def main(rows=ROWS, count=PARTS):
    """Print what the ways take."""
    with tempfile.TemporaryDirectory() as folder:
        total = parts(f"{folder}/run", rows, count)
        stored = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet")) / 1e9
        print(f"{total:,} rows in {count:,} parts, {stored:.2f} GB\n", flush=True)
        compare(f"{folder}/run", f"{folder}/report")
        compact.main([f"{folder}/run"])
        compare(f"{folder}/run", f"{folder}/report")


def compare(run, out):
    """Print what the report of some results takes, and what else."""
    python = sys.executable
    ways = {"read, check, aggregate, judge": measured(python, "-c", OURS, run)}
    ways["the whole report"] = measured(python, "-m", "analysis", run, "--out", out)
    for name, (columns, how) in WAYS.items():
        code = PANDAS.format(columns=columns, how=how)
        ways[name] = measured(python, "-c", code, f"{run}/evaluations")
    seconds, cpu, memory = ways["read, check, aggregate, judge"]
    print("\n| way | s | ratio | CPU s | ratio | peak GB | ratio |\n|---|---|---|---|---|---|---|")
    for name, one in ways.items():
        pairs = zip(one, (seconds, cpu, memory), strict=True)
        print(
            f"| {name} |", " | ".join(f"{way:.1f} | {way / ours:.2f}" for way, ours in pairs), "|"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
