"""The trials of a plan on Ray Tune.

The truth is in the Parquet parts, never in Tune's own state: what has a part is not submitted,
and a launch after a crash is a fresh one. One actor runs many trials, so torch is imported once
per actor; images reach each node once, through Ray's object store.
"""

import contextlib
import json
import logging
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from rotgrid import data
from rotgrid.fanout.attempt import run_trial
from rotgrid.fanout.callbacks import Canaries, Launch, Stop, SubmissionOrder, Watch, launches
from rotgrid.fanout.capacity import require
from rotgrid.fanout.connection import connect
from rotgrid.fanout.nodes import Check, inspect_nodes, versions
from rotgrid.fanout.progress import Tracker
from rotgrid.grid import Resources
from rotgrid.results import provenance, storage
from rotgrid.results.storage import StoreError
from rotgrid.spec import Probe, Trial, digest, extensions, own_functions, sources


def run(
    todo: Mapping[Trial, Sequence[Probe]],
    results_in: str,
    resources: Resources,
    tracker: Tracker,
    limits: Mapping[str, float],
    address: str | None = None,
) -> None:
    """Run the trials, in the order given, on the Ray cluster at `address` or around here.

    Without an address this is the cluster that the machine belongs to, or else a new one on this
    machine alone. What happens to each trial is in `results_in` and `tracker`.

    Raises:
        ClusterError: no cluster, or a node of it, now or later, cannot do what is asked for;
            finished trials are kept.
        StoreError: results can no longer be written; finished trials are kept.
        KeyboardInterrupt: finished trials are kept.
    """
    launch = Launch(results_in, resources, tracker, limits)
    connect(address)
    check = Check(results_in, f".launch.{launch.id}", tuple(versions().items()), resources.gpu)
    try:
        require(resources, tracker.say)
        storage.put(results_in, check.marker, b"")
        images = {
            name: ray.put(data.arrays(data.load(name)))
            for name in dict.fromkeys(trial.data for trial in todo)
        }
        inspect_nodes(check, resources, images)
        launches[launch.id] = launch
        with tempfile.TemporaryDirectory(prefix="rotgrid-") as scratch:
            tuner(todo, launch, check, images, scratch).fit()
    finally:
        with uninterrupted(), contextlib.suppress(StoreError):
            launches.pop(launch.id, None)
            ray.shutdown()
            storage.delete(results_in, check.marker)
    if launch.trouble:
        raise launch.trouble


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let a second Ctrl-C wait: Ray half shut down would end this process in its own way."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def tuner(
    todo: Mapping[Trial, Sequence[Probe]],
    launch: Launch,
    check: Check,
    images: Mapping[Any, ray.ObjectRef],
    scratch: str,
) -> tune.Tuner:
    """The Tuner of one launch: an explicit list of points, actors reused, silent."""
    for module in ("tune", "analysis.experiment_analysis"):
        logging.getLogger(f"ray.tune.{module}").setLevel(logging.CRITICAL)
    texts, points = encoded(todo, launch)
    shared = {
        "results_in": launch.results_in,
        "resources": (launch.resources.cpu, launch.resources.gpu),
        "tries": launch.tries,
        "probes": texts,
        "images": dict(images),
        "check": check,
        "stamp": provenance.stamp(),
        "sources": {
            name: (digest, dict(sources.find(name).files))
            for name, digest in own_functions(todo).items()
        },
        "own_data": [
            (name, extensions.known(name, digest))
            for name, digest in dict.fromkeys(
                (t.data, t.data_digest) for t in todo if t.data_digest
            )
        ],
    }
    share = {"cpu": launch.resources.cpu, "gpu": launch.resources.gpu}
    return tune.Tuner(
        tune.with_resources(
            tune.with_parameters(run_trial, shared=shared), {k: x for k, x in share.items() if x}
        ),
        param_space=dict.fromkeys(points[0]),
        tune_config=tune.TuneConfig(
            num_samples=len(points),
            reuse_actors=True,
            search_alg=Canaries(points),
            scheduler=SubmissionOrder(),
            trial_name_creator=trial_key,
            trial_dirname_creator=trial_key,
        ),
        run_config=tune.RunConfig(
            name=launch.id,
            storage_path=scratch,
            verbose=0,
            callbacks=[Watch(launch.id)],
            stop=Stop(launch.id),
            # one more: in it the trial learns that the failure before was its last
            failure_config=tune.FailureConfig(max_failures=launch.resources.retries + 1),
        ),
    )


def encoded(
    todo: Mapping[Trial, Sequence[Probe]], launch: Launch
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The lists of probes as JSON by a name of each, since many trials have the same; and what
    each trial is told, as flat scalars."""
    texts = {id(probes): json.dumps([p.model_dump() for p in probes]) for probes in todo.values()}
    names = {which: digest({"probes": text}) for which, text in texts.items()}
    points = [
        {
            "key": trial.key(),
            "trial": trial.model_dump_json(),
            "probes": names[id(probes)],
            "limit": launch.limits[trial.key()],
        }
        for trial, probes in todo.items()
    ]
    return {names[which]: text for which, text in texts.items()}, points


def trial_key(trial: TuneTrial) -> str:
    """Tune's name of a trial."""
    return str(trial.config["key"])
