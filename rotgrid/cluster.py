"""The trials of a plan on Ray Tune: resources, retries, progress. The only module with Ray.

The truth is in the Parquet parts, never in Tune's own state: what has a part is not submitted,
and a launch after a crash is a fresh one. One actor runs many trials, so torch is imported once
per actor; an exception in a trial is recorded and does not cost the actor its life.
"""

import json
import logging
import os
import socket
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

os.environ.update(  # read by Ray on import or start
    {
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "600",
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    }
)

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.search.basic_variant import BasicVariantGenerator

from rotgrid import results
from rotgrid.grid import Resources
from rotgrid.progress import Tracker
from rotgrid.spec import Probe, Trial

MAX_FAILURES = 3
"""How often a trial whose process or node died is started again, from its last checkpoint."""


CONNECT_SECONDS = 10.0


class ClusterError(RuntimeError):
    """Ray cannot be reached, or cannot give a trial what it asks for."""


_trackers: dict[str, Tracker] = {}
"""Live trackers of this process: Tune pickles its callbacks, and a terminal cannot be."""


class Watch(tune.Callback):
    """Hands what happens to trials to the tracker of this launch, and records lost ones."""

    def __init__(self, launch: str, results_in: str) -> None:
        self.launch = launch
        self.results_in = results_in

    def on_trial_start(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object
    ) -> None:
        """A trial has a process."""
        _trackers[self.launch].started(trial.config["key"])

    def on_trial_complete(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object
    ) -> None:
        """A trial ended by itself, well or with a recorded failure."""
        failed = trial.last_result.get("outcome") != "done"
        _trackers[self.launch].finished(trial.config["key"], failed)

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object
    ) -> None:
        """A trial lost its process more often than `MAX_FAILURES`."""
        report = {
            "exception": "the process died (killed, out of memory, or its node was lost)",
            "traceback": "",
            "host": trial.node_ip or "unknown",
            "attempt": trial.num_failures,
        }
        spec = Trial(**json.loads(trial.config["trial"]))
        results.record_failure(self.results_in, spec, report)
        _trackers[self.launch].finished(trial.config["key"], failed=True)


def run_trial(config: Mapping[str, Any]) -> None:
    """One trial in an actor; the config is flat and plain."""
    from rotgrid import experiment

    outcome = experiment.attempt(
        Trial(**json.loads(config["trial"])),
        [Probe(**fields) for fields in json.loads(config["probes"])],
        config["results_in"],
        threads=config["cpu"],
        gpu_share=config["gpu"],
    )
    tune.report({"outcome": outcome})


def run(
    todo: Mapping[Trial, Sequence[Probe]],
    results_in: str,
    resources: Resources,
    tracker: Tracker,
    address: str | None = None,
) -> None:
    """Run the trials, in the order given, on the Ray cluster at `address` or around here.

    Without an address this is the cluster that the machine belongs to, or else a new one on this
    machine alone. What happens to each trial is in `results_in` and `tracker`.

    Raises:
        ClusterError: no cluster, or none that has what a trial asks for.
        KeyboardInterrupt: finished trials are kept.
    """
    launch = uuid.uuid4().hex[:8]
    connect(address)
    try:
        require(resources)
        points = [
            {
                "key": trial.key(),
                "trial": trial.model_dump_json(),
                "probes": json.dumps([probe.model_dump() for probe in probes]),
            }
            for trial, probes in todo.items()
        ]
        _trackers[launch] = tracker
        with tempfile.TemporaryDirectory(prefix="rotgrid-") as scratch:
            tuner(points, launch, results_in, resources, scratch).fit()
    finally:
        _trackers.pop(launch, None)
        ray.shutdown()


def tuner(
    points: list[dict[str, str]],
    launch: str,
    results_in: str,
    resources: Resources,
    scratch: str,
) -> tune.Tuner:
    """The Tuner of one launch: an explicit list of points, actors reused, silent."""
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)
    fixed = {"results_in": results_in, "cpu": resources.cpu, "gpu": resources.gpu}
    share = {"cpu": resources.cpu, "gpu": resources.gpu}
    return tune.Tuner(
        tune.with_resources(run_trial, {name: x for name, x in share.items() if x}),
        param_space={"key": None, "trial": None, "probes": None, **fixed},
        tune_config=tune.TuneConfig(
            num_samples=len(points),
            reuse_actors=True,
            search_alg=BasicVariantGenerator(points_to_evaluate=points),
            trial_name_creator=trial_key,
            trial_dirname_creator=trial_key,
        ),
        run_config=tune.RunConfig(
            name=launch,
            storage_path=scratch,
            verbose=0,
            callbacks=[Watch(launch, results_in)],
            failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
        ),
    )


def trial_key(trial: TuneTrial) -> str:
    """Tune's name of a trial."""
    return str(trial.config["key"])


def connect(address: str | None) -> None:
    """Start or join Ray, quietly."""
    try:
        reach(address)
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False,
        )
    except (OSError, ValueError, RuntimeError) as error:
        where = f"at {address}" if address else "on this machine"
        raise ClusterError(f"no Ray cluster {where}: {error}") from error


def reach(address: str | None) -> None:
    """Refuse an address that nobody answers at once; Ray itself would try for many minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()


def require(resources: Resources) -> None:
    """Refuse what no node can give, instead of waiting for it forever."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for name, key, wanted in (("cpu", "CPU", resources.cpu), ("gpu", "GPU", resources.gpu)):
        most = max((node.get(key, 0) for node in nodes), default=0)
        if wanted > most:
            raise ClusterError(
                f"each trial asks for {wanted:g} {key} and no node has more than {most:g}: "
                f"change `resources` in the grid, or add --set resources.{name}={int(most)}"
            )
