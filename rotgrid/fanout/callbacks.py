"""What Tune tells of trials during a launch: progress, failures, when to stop, what is next."""

import json
import re
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search.basic_variant import BasicVariantGenerator

from rotgrid import deadline
from rotgrid.fanout.connection import ClusterError
from rotgrid.fanout.progress import Tracker
from rotgrid.grid import Resources
from rotgrid.results import failures, storage
from rotgrid.results.failures import CANARIES, HOPELESS, Attempts
from rotgrid.results.storage import StoreError
from rotgrid.spec import Trial

LOSSES = 10
"""Attempts at one trial that nodes or the results end, not counted as attempts, before the launch
gives up on it."""

NODE_LOST = re.compile("its node has died|ActorUnavailableError|is temporarily unavailable")
"""How Ray says that a process is gone with its node, or out of reach."""

DIED = "ProcessDied: the process was killed, or ran out of memory"


@dataclass
class Launch:
    """One call of `run`."""

    results_in: str
    resources: Resources
    tracker: Tracker
    limits: Mapping[str, float]
    """Seconds for one attempt, by key of the trial."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    running: dict[str, tuple[float, TuneTrial]] = field(default_factory=dict)
    """When the running trials were started, by key."""
    frozen: set[str] = field(default_factory=set)
    """Keys of trials whose process was ended because it ignored its limit."""
    attempts: Counter[str] = field(default_factory=Counter)
    """Failed ones that are recorded, by key."""
    losses: Counter[str] = field(default_factory=Counter)
    """Attempts that ended for no fault of the trial, by key."""
    said: set[str] = field(default_factory=set)
    """What processes have warned of, each once: all on a GPU or a node may say the same."""
    trouble: StoreError | ClusterError | None = None
    """Why the launch has to stop, if it has."""

    @property
    def tries(self) -> Attempts:
        """How often this launch tries a trial."""
        return Attempts(self.id, self.resources.retries)


launches: dict[str, Launch] = {}
"""Of this process, by id: Tune pickles its callbacks, and a terminal cannot be."""


class Watch(tune.Callback):
    """What happens to trials: told to the tracker, recorded where no process is left to do it."""

    def __init__(self, launch: str) -> None:
        self.launch = launch

    def on_trial_start(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object
    ) -> None:
        """A trial has a process."""
        launch, key = launches[self.launch], trial.config["key"]
        launch.running[key] = (time.monotonic(), trial)
        launch.tracker.started(key)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        result: Mapping[str, Any],
        **info: object,
    ) -> None:
        """A trial says what it is at, or what the user should know."""
        launch = launches[self.launch]
        for line in result.get("said", ()):
            if line not in launch.said:
                launch.said.add(line)
                launch.tracker.say(line)
        if text := result.get("doing"):
            launch.tracker.doing(trial.config["key"], text)

    def on_trial_complete(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object
    ) -> None:
        """A trial ended by itself, well or with a final failure, or its node cannot run it."""
        launch, key = launches[self.launch], trial.config["key"]
        launch.running.pop(key, None)
        if refused := trial.last_result.get("refused"):
            kept = "What is finished is kept; launch again to go on."
            launch.trouble = launch.trouble or ClusterError(f"{refused}\n{kept}")
            launch.tracker.requeued(key)
        else:
            launch.tracker.finished(key, trial.last_result.get("outcome") != "done")
        drop_metrics(trial)

    def on_trial_recover(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object
    ) -> None:
        """An attempt failed; another one follows."""
        launch, key = launches[self.launch], trial.config["key"]
        launch.running.pop(key, None)
        launch.tracker.requeued(key)
        count_ending(launch, trial)

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object
    ) -> None:
        """The last attempt failed."""
        launch, key = launches[self.launch], trial.config["key"]
        launch.running.pop(key, None)
        launch.tracker.finished(key, failed=True)
        count_ending(launch, trial, last=True)

    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: object) -> None:
        """Now and then: end processes that do not even run their own watchdog."""
        launch = launches[self.launch]
        launch.tracker.tick()
        for key, (since, trial) in list(launch.running.items()):
            limit = launch.limits[key]
            if time.monotonic() - since > limit + 3 * deadline.grace(limit):
                del launch.running[key]
                launch.frozen.add(key)
                if actor := trial.temporary_state.ray_actor:
                    ray.kill(actor)


class Stop(tune.Stopper):
    """Ends the launch when results are out of reach, or machines cannot do the work."""

    def __init__(self, launch: str) -> None:
        self.launch = launch

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never one trial alone."""
        return False

    def stop_all(self) -> bool:
        """Whether to end."""
        return launches[self.launch].trouble is not None


class SubmissionOrder(FIFOScheduler):
    """First come, first served, as Tune's own queue does it.

    `FIFOScheduler` does it again, and looks through all trials, the ended ones too, each time.
    """

    def choose_trial_to_run(self, tune_controller: object) -> None:
        """None out of turn."""


class Canaries(BasicVariantGenerator):
    """Hands out the points in their order, few at once until one has succeeded.

    When the first `HOPELESS` have failed, no more are handed out.
    """

    def __init__(self, points: list[dict[str, Any]]) -> None:
        super().__init__(points_to_evaluate=points)
        self.started = self.failed = self.succeeded = 0

    def next_trial(self) -> TuneTrial | None:
        """The next trial, or None while there is none to start."""
        if not self.succeeded:
            if self.failed >= HOPELESS:
                self.set_finished()
                return None
            if self.started - self.failed >= CANARIES or self.started >= HOPELESS:
                return None
        trial = super().next_trial()
        self.started += trial is not None
        return trial

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """A trial ended."""
        super().on_trial_complete(trial_id, result, error)
        done = not error and (result or {}).get("outcome") == "done"
        self.succeeded += done
        self.failed += not done


def drop_metrics(trial: TuneTrial) -> None:
    """Drop Tune's statistics of the metrics of a trial that has ended: most of what it keeps."""
    trial.run_metadata.metric_analysis.clear()
    trial.run_metadata.metric_n_steps.clear()


def count_ending(launch: Launch, trial: TuneTrial, last: bool = False) -> None:
    """See what ended an attempt: one of the trial's own failures, which is recorded and counted,
    or a fault of machines or the store, for which Tune may try once more.

    Args:
        launch: of the trial.
        trial: whose attempt has ended.
        last: Tune does not try again.
    """
    key = trial.config["key"]
    kind, text = exception_of(trial)
    if kind == "RecordedError":
        launch.attempts[key] += 1
    elif not kind:
        record_death(launch, trial)
    else:
        launch.tracker.say(f"trial {key}: {text}")
        launch.losses[key] += 1
        trial.max_failures += launch.losses[key] <= LOSSES
        if kind == "StoreError":
            launch.trouble = launch.trouble or lasting_outage(launch, StoreError(text), last)
        elif last and kind == "NodeLost":
            record_death(launch, trial, text, final=False)
        elif last:
            launch.trouble = launch.trouble or ClusterError(f"node {trial.node_ip}: {text}")


def exception_of(trial: TuneTrial) -> tuple[str, str]:
    """The kind of exception that ended the last attempt, and its message; no kind if its process
    died."""
    errors = Path(trial.error_file).read_text() if trial.error_file else ""
    errors = errors.rpartition("Failure # ")[2]
    if NODE_LOST.search(errors):
        return "NodeLost", f"NodeLost: its node {trial.node_ip or ''} was lost"
    *_, found = None, *re.finditer(r"^rotgrid\.[\w.]+\.(\w+): ", errors, re.MULTILINE)
    return (found[1], errors[found.end() :].strip()) if found else ("", "")


def lasting_outage(launch: Launch, error: StoreError, last: bool) -> StoreError | None:
    """Why the launch has to stop, unless it was a passing trouble of the store."""
    if last or storage.is_lasting(error):
        return error
    trouble = storage.wait_until_writable(launch.results_in, storage.OUTAGE_SECONDS)
    return StoreError(trouble) if trouble else None


def record_death(
    launch: Launch, trial: TuneTrial, text: str = DIED, final: bool | None = None
) -> None:
    """Record that a process died, unless it did so itself before."""
    key, spec = trial.config["key"], Trial(**json.loads(trial.config["trial"]))
    if key in launch.frozen:
        text = "TimeLimitError: the process did not respond, and was ended"
    host = trial.node_ip or "unknown"
    root, tries = launch.results_in, launch.tries
    try:
        known = failures.find(root, key)
        counted = known.attempt if known and known.launch == launch.id else 0
        if counted <= launch.attempts[key]:
            failures.record(root, spec, tries, text, "", host, own=False, final=final)
        launch.attempts[key] += 1
    except StoreError as error:
        launch.trouble = launch.trouble or lasting_outage(launch, error, last=False)
