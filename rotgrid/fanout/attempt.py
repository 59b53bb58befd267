"""One attempt at a trial, in an actor of Ray; torch is imported here once per actor."""

import functools
import json
import logging
import time
from collections.abc import Mapping
from typing import Any, Self

import ray
from ray import tune

from rotgrid import data, deadline
from rotgrid.fanout.nodes import NODE_SECONDS, reasons_to_refuse
from rotgrid.results import code, failures, provenance
from rotgrid.results.failures import Attempts
from rotgrid.spec import Probe, Trial, extensions

REPORT_SECONDS, REPORT_SHARE = 1.0, 0.01
"""Between words of a trial to the driver, at least; and of its time, at most."""


class RecordedError(RuntimeError):
    """An attempt failed, its process has recorded it, and a new process shall try again."""


def run_trial(config: Mapping[str, Any], shared: Mapping[str, Any]) -> None:
    """One attempt at a trial in an actor; the config is flat and plain."""
    from rotgrid import experiment

    trial, root = Trial(**json.loads(config["trial"])), shared["results_in"]
    tries, limit = Attempts(*shared["tries"]), config["limit"]
    probes = [Probe(**fields) for fields in json.loads(shared["probes"][config["probes"]])]
    until = time.monotonic() + limit

    def work() -> None:
        provide(trial.data, shared["images"][trial.data])
        cpu, gpu = shared["resources"]
        here = {"threads": cpu, "gpu_share": gpu, "until": until, "progress": messenger.doing}
        experiment.run(trial, probes, root, **here)

    def stuck(trace: str) -> None:
        failures.record(root, trial, tries, "TimeLimitError: hangs", trace)

    if refused := reasons_to_refuse(shared["check"], shared["images"][trial.data]):
        tune.report({"outcome": "refused", "refused": refused})
        return
    provenance.adopt_stamp(shared["stamp"])
    code.receive(shared["sources"])
    for name, own in shared["own_data"]:
        extensions.remember(name, own)
    before = failures.find(root, trial.key())
    if before is not None and before.launch == tries.launch and before.final:
        tune.report({"outcome": "failed"})  # its watchdog had the last word
        return
    outcome = "again"
    with Messenger() as messenger:
        try:
            with deadline.watchdog(limit, stuck):
                outcome = failures.attempt(work, trial, root, tries)
        finally:
            if messenger.lines or outcome != "again":
                messenger.report(outcome)
    if outcome == "again":
        raise RecordedError("see failures/; to be tried again in a new process")


class Messenger(logging.Handler):
    """Takes what a trial does, and what rotgrid warns of meanwhile, to `Watch.on_trial_result`."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._next = 0.0

    def __enter__(self) -> Self:
        logging.getLogger("rotgrid").addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        logging.getLogger("rotgrid").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning for the next report."""
        self.lines.append(self.format(record))

    def doing(self, text: str) -> None:
        """Say what the trial does, unless it has just said something."""
        if time.monotonic() >= self._next:
            self.report("running", doing=text)

    def report(self, outcome: str, **more: str) -> None:
        """Wait until the driver has heard; if that takes long, report more seldom."""
        if said := list(dict.fromkeys(self.lines)):
            more["said"] = said  # type: ignore[assignment]
        self.lines.clear()
        before = time.monotonic()
        tune.report({"outcome": outcome, **more})
        now = time.monotonic()
        self._next = now + max(REPORT_SECONDS, (now - before) / REPORT_SHARE)


@functools.lru_cache(maxsize=1)
def provide(name: str, content: ray.ObjectRef) -> None:
    """Take a data set from the object store, in the place of the one before."""
    data.provide(name, ray.get(content, timeout=NODE_SECONDS))
