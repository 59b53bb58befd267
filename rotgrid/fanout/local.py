"""The trials of a plan without Ray: one after the other in this process."""

import functools
import time
import uuid
from collections.abc import Mapping, Sequence

from rotgrid import grid
from rotgrid.fanout.progress import Tracker
from rotgrid.results import failures
from rotgrid.spec import Probe, Trial


def run(
    todo: Mapping[Trial, Sequence[Probe]],
    results_in: str,
    resources: grid.Resources,
    tracker: Tracker,
    limits: Mapping[str, float],
) -> None:
    """Run the trials in the order given; what happens to each is in `results_in` and `tracker`."""
    from rotgrid import experiment

    tries = failures.Attempts(uuid.uuid4().hex[:8], resources.retries)
    for trial, probes in todo.items():
        if given_up(tracker):
            break
        key, outcome = trial.key(), "again"
        while outcome == "again":
            tracker.started(key)
            work = functools.partial(
                experiment.run,
                trial,
                probes,
                results_in,
                threads=resources.cpu,
                gpu_share=resources.gpu,
                until=time.monotonic() + limits[key],
                progress=functools.partial(tracker.doing, key),
            )
            outcome = failures.attempt(work, trial, results_in, tries, tracker.say)
            if outcome == "again":
                tracker.requeued(key)
        tracker.finished(key, failed=outcome == "failed")


def given_up(tracker: Tracker) -> bool:
    """Whether so many trials have failed, and none succeeded, that the rest would, too."""
    return not tracker.done and len(tracker.failed) >= failures.HOPELESS
