"""What handing trials to Ray costs: `python tests/benchmarks/fanout.py [overhead|speedup|scale]`.

`overhead` (three minutes): trials that do nothing but import torch, on two CPUs, by
`rotgrid.fanout.tune`, by Tune as it comes (a new process for each trial; its loggers are off as
ours are), and by plain Ray tasks, which do no bookkeeping at all. Counted is the time from Ray
being up to the end of the last trial, so the start of processes is in it.

`speedup` (seven minutes): a grid of real trials of 10 s or so by the command, on two CPUs through
Ray and with `--local` on one; and the share of the two CPUs' time that was neither training nor
measuring, by what the rows say.

`scale` (five minutes): 10,000 trials that do nothing, planned from a grid, launched and finished:
memory and seconds of the driver in each tenth of them.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ray
from ray import tune

from rotgrid import grid, results
from rotgrid.fanout import tune as fanout
from rotgrid.fanout.progress import Tracker
from rotgrid.grid import Resources
from rotgrid.spec import Probe, Trial

TRIALS = 60
MANY = 10_000
GRID = """
name: speedup
defaults: {data: mnist5k, recipe: fast, epochs: 14}
blocks:
  - model: stdcnn
    seed: [0, 1, 2, 3, 4, 5, 6, 7]
    train_rotation: [0, 60, 180]
    probes:
      - {attack: none, test_rotation: [0, 45, 90, 180]}
      - {attack: [fgsm, pgd], eps: [0.05, 0.1, 0.2], n_images: 200}
"""


def nothing(config, shared=None):
    """A trial that only imports torch."""
    import torch

    tune.report({"outcome": "done", "version": torch.__version__})


def fan_out(todo, tracker, run_trial):
    """`cluster.run` of trials that do nothing; seconds from Ray being up."""
    fanout.run_trial = run_trial
    up = []
    fanout.require = lambda resources: up.append(time.perf_counter())
    limits = {trial.key(): 3600.0 for trial in todo}
    with tempfile.TemporaryDirectory() as folder:
        fanout.run(todo, folder, Resources(), tracker, limits)
    assert len(tracker.done) == len(todo)
    return time.perf_counter() - up[0]


def ours(trials):
    """Seconds per trial by rotgrid.fanout.tune."""
    tracker = Tracker({trial.key(): 1.0 for trial in trials})
    return fan_out({trial: (Probe(),) for trial in trials}, tracker, nothing) / len(trials)


def tune_as_it_comes(trials):
    """The same without reuse of actors and with Tune's own generator of the grid."""
    ray.init(num_cpus=2, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            tune.with_resources(nothing, {"cpu": 1}),
            param_space={"key": tune.grid_search([trial.key() for trial in trials])},
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
    seconds = (time.perf_counter() - start) / len(trials)
    ray.shutdown()
    return seconds


def plain_tasks(trials):
    """Ray tasks in reused processes."""
    ray.init(num_cpus=2, log_to_driver=False, logging_level="ERROR", include_dashboard=False)

    @ray.remote
    def task(key):
        import torch

        return torch.__version__, key

    start = time.perf_counter()
    ray.get([task.remote(trial.key()) for trial in trials])
    seconds = (time.perf_counter() - start) / len(trials)
    ray.shutdown()
    return seconds


def overhead():
    """Print seconds per trial of the three ways."""
    trials = [Trial(model="stdcnn", data="mnist5k", seed=seed) for seed in range(TRIALS)]
    measured = {
        "rotgrid.fanout.tune": ours(trials),
        "Tune, default": tune_as_it_comes(trials),
        "plain Ray tasks": plain_tasks(trials),
    }
    reference = measured["rotgrid.fanout.tune"]
    print("| way | s per trial | ratio |\n|---|---|---|")
    for way, seconds in measured.items():
        print(f"| {way} | {seconds:.4f} | {seconds / reference:.2f} |")


def launch(folder, *flags):
    """Seconds of the whole command, and of the training and measuring in it."""
    path = Path(folder, "speedup.yaml")
    path.write_text(GRID)
    root = Path(folder, "-".join(["results", *flags]))
    command = [sys.executable, "-m", "rotgrid.launch", str(path), "--results", str(root)]
    start = time.perf_counter()
    subprocess.run(
        [*command, "--no-report", *flags],
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    wall = time.perf_counter() - start
    tables = [results.read(root, table, ["seconds"])[0] for table in ("training", "evaluations")]
    return wall, sum(sum(table["seconds"].to_pylist()) for table in tables)


def speedup():
    """Print seconds of a grid on two CPUs and on one."""
    trials = len(grid.parse(GRID).trials)
    with tempfile.TemporaryDirectory() as folder:
        (two, busy_two), (one, busy_one) = launch(folder), launch(folder, "--local")
    print("| way | s | s per trial | neither training nor measuring |\n|---|---|---|---|")
    print(f"| Ray, 2 CPUs | {two:.1f} | {busy_two / trials:.1f} | {1 - busy_two / 2 / two:.1%} |")
    print(f"| --local | {one:.1f} | {busy_one / trials:.1f} | {1 - busy_one / one:.1%} |")
    print(f"\nratio {one / two:.2f}")


class Sampling(Tracker):
    """Prints memory and time of the driver at each tenth of the trials."""

    def __init__(self, expected):
        super().__init__(expected)
        self.tenth, self.since = len(expected) // 10, (time.perf_counter(), time.process_time())

    def finished(self, key, failed):
        super().finished(key, failed)
        if len(self.done) % self.tenth == 0:
            now = time.perf_counter(), time.process_time()
            wall, cpu = (1e3 * (b - a) / self.tenth for a, b in zip(self.since, now, strict=True))
            status = Path("/proc/self/status").read_text()
            memory = int(status.partition("VmRSS:")[2].split()[0]) / 1024
            self.since = now
            print(f"| {len(self.done):,} | {memory:.0f} | {wall:.1f} | {cpu:.1f} |", flush=True)


def scale():
    """Print how the driver fares with many trials."""
    start = time.perf_counter()
    plan = grid.parse(GRID, overrides=[f"blocks.0.seed={list(range(MANY // 3 + 1))}"])
    todo = dict(list(plan.trials.items())[:MANY])
    print(f"planned {len(todo):,} trials in {time.perf_counter() - start:.1f} s\n")
    print("| trials done | MB | ms per trial | of the driver's CPU |\n|---|---|---|---|")
    fan_out(todo, Sampling({trial.key(): 1.0 for trial in todo}), nothing)


PARTS = {"overhead": overhead, "speedup": speedup, "scale": scale}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        print(f"\n{part}\n")
        PARTS[part]()
