"""Overhead of the fan-out per trial: `python tests/benchmarks/fanout.py` (about three minutes).

Trials that do nothing but import torch, on two CPUs: by `rotgrid.cluster`, by Tune as it comes
(a new process for each trial; its loggers are off, as ours are), and by plain Ray tasks, which do
no bookkeeping at all. Counted is the time from Ray being up to the end of the last trial, so the
start of processes is in it.
"""

import tempfile
import time

import ray
from ray import tune

from rotgrid import cluster
from rotgrid.grid import Resources
from rotgrid.progress import Tracker
from rotgrid.spec import Probe, Trial

TRIALS = 60


def nothing(config):
    """A trial that only imports torch."""
    import torch

    tune.report({"outcome": "done", "version": torch.__version__})


def ours(trials):
    """Seconds per trial by rotgrid.cluster."""
    cluster.run_trial = nothing
    up = []
    cluster.require = lambda resources: up.append(time.perf_counter())
    tracker = Tracker({trial.key(): 1.0 for trial in trials})
    with tempfile.TemporaryDirectory() as folder:
        cluster.run({trial: [Probe()] for trial in trials}, folder, Resources(), tracker)
    assert len(tracker.done) == len(trials)
    return (time.perf_counter() - up[0]) / len(trials)


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


def main():
    """Print the table."""
    trials = [Trial(model="stdcnn", seed=seed) for seed in range(TRIALS)]
    measured = {
        "rotgrid.cluster": ours(trials),
        "Tune, default": tune_as_it_comes(trials),
        "plain Ray tasks": plain_tasks(trials),
    }
    reference = measured["rotgrid.cluster"]
    print(f"{'way':<18}{'s per trial':>12}{'ratio':>9}")
    for way, seconds in measured.items():
        print(f"{way:<18}{seconds:>12.4f}{seconds / reference:>9.2f}")


if __name__ == "__main__":
    main()
