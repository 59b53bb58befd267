"""The trials of a plan on Ray Tune: checks before the start, retries, limits. The only module
with Ray.

The truth is in the Parquet parts, never in Tune's own state: what has a part is not submitted,
and a launch after a crash is a fresh one. One actor runs many trials, so torch is imported once
per actor; images reach each node once, through Ray's object store.
"""

import contextlib
import functools
import json
import logging
import math
import os
import platform
import re
import signal
import socket
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

os.environ.update(  # read by Ray on import or start
    {
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # Tune's state is never restored
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # failures/ has them
        "RAY_IGNORE_UNHANDLED_ERRORS": "1",
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    }
)

import ray
import yaml
from ray import tune
from ray._common.utils import get_ray_address_file  # no public way
from ray._private.services import canonicalize_bootstrap_address
from ray.autoscaler.sdk import request_resources
from ray.experimental.internal_kv import _internal_kv_get
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search.basic_variant import BasicVariantGenerator
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rotgrid import data, deadline
from rotgrid.fanout.progress import Tracker
from rotgrid.grid import Resources
from rotgrid.results import failures, provenance, storage
from rotgrid.results.failures import CANARIES, HOPELESS, Attempts, MachineError
from rotgrid.results.storage import StoreError
from rotgrid.spec import Probe, Trial, digest

CONNECT_SECONDS = 4.0
"""For a cluster to answer, twice: a connection, and a word of Ray's protocol."""
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""How HTTP/2, which Ray speaks, begins: the preface, and an empty frame of settings."""
LOSSES = 10
"""Attempts at one trial that nodes or the results end, not counted as attempts, before the launch
gives up on it."""
NODE_LOST = re.compile("its node has died|ActorUnavailableError|is temporarily unavailable")
"""How Ray says that a process is gone with its node, or out of reach."""
DIED = "ProcessDied: the process was killed, or ran out of memory"
BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")
"""What `ray up` leaves on the head; Ray has no other way to ask."""
NODE_SECONDS = 180.0
"""For a node to answer before the start."""
GROWTH_SECONDS = 900.0
"""For an autoscaler to add a node that a trial fits on."""
REPORT_SECONDS, REPORT_SHARE = 1.0, 0.01
"""Between words of a trial to the driver, at least; and of its time, at most."""


class ClusterError(MachineError):
    """Ray cannot be reached, or its nodes cannot do what the plan asks for."""


class Check(NamedTuple):
    """What a node must agree to before it runs a trial."""

    results_in: str
    marker: str
    """A file in `results_in`, for the time of the launch."""
    versions: tuple[tuple[str, str], ...]
    gpu: float


class RecordedError(RuntimeError):
    """An attempt failed, its process has recorded it, and a new process shall try again."""


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
    trouble: StoreError | ClusterError | None = None
    """Why the launch has to stop, if it has."""

    @property
    def tries(self) -> Attempts:
        """How often this launch tries a trial."""
        return Attempts(self.id, self.resources.retries)


_launches: dict[str, Launch] = {}
"""Of this process, by id: Tune pickles its callbacks, and a terminal cannot be."""


class Watch(tune.Callback):
    """What happens to trials: told to the tracker, recorded where no process is left to do it."""

    def __init__(self, launch: str) -> None:
        self.launch = launch

    def on_trial_start(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object
    ) -> None:
        """A trial has a process."""
        launch, key = _launches[self.launch], trial.config["key"]
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
        tracker = _launches[self.launch].tracker
        for line in result.get("said", ()):
            tracker.say(line)
        if text := result.get("doing"):
            tracker.doing(trial.config["key"], text)

    def on_trial_complete(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object
    ) -> None:
        """A trial ended by itself, well or with a final failure, or its node cannot run it."""
        launch, key = _launches[self.launch], trial.config["key"]
        launch.running.pop(key, None)
        if refused := trial.last_result.get("refused"):
            kept = "What is finished is kept; launch again to go on."
            launch.trouble = launch.trouble or ClusterError(f"{refused}\n{kept}")
            launch.tracker.again(key)
        else:
            launch.tracker.finished(key, trial.last_result.get("outcome") != "done")
        forget(trial)

    def on_trial_recover(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object
    ) -> None:
        """An attempt failed; another one follows."""
        launch, key = _launches[self.launch], trial.config["key"]
        launch.running.pop(key, None)
        launch.tracker.again(key)
        account(launch, trial)

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object
    ) -> None:
        """The last attempt failed."""
        launch, key = _launches[self.launch], trial.config["key"]
        launch.running.pop(key, None)
        launch.tracker.finished(key, failed=True)
        account(launch, trial, last=True)

    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: object) -> None:
        """Now and then: end processes that do not even run their own watchdog."""
        launch = _launches[self.launch]
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
        return _launches[self.launch].trouble is not None


class InTurn(FIFOScheduler):
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


def forget(trial: TuneTrial) -> None:
    """Drop Tune's statistics of the metrics of a trial that has ended: most of what it keeps."""
    trial.run_metadata.metric_analysis.clear()
    trial.run_metadata.metric_n_steps.clear()


def account(launch: Launch, trial: TuneTrial, last: bool = False) -> None:
    """See what ended an attempt: one of the trial's own failures, which is recorded and counted,
    or a fault of machines or the store, for which Tune may try once more.

    Args:
        launch: of the trial.
        trial: whose attempt has ended.
        last: Tune does not try again.
    """
    key = trial.config["key"]
    kind, text = ending(trial)
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


def ending(trial: TuneTrial) -> tuple[str, str]:
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
            failures.record(root, spec, tries, text, "", host, comes_again=False, final=final)
        launch.attempts[key] += 1
    except StoreError as error:
        launch.trouble = launch.trouble or lasting_outage(launch, error, last=False)


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

    if refused := unfit(shared["check"], shared["images"][trial.data]):
        tune.report({"outcome": "refused", "refused": refused})
        return
    provenance.adopt(shared["stamp"])
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
    data.provide(name, ray.get(content, timeout=NODE_SECONDS))  # type: ignore[arg-type]


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
        _launches[launch.id] = launch
        with tempfile.TemporaryDirectory(prefix="rotgrid-") as scratch:
            tuner(todo, launch, check, images, scratch).fit()
    finally:
        with uninterrupted(), contextlib.suppress(StoreError):
            _launches.pop(launch.id, None)
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
    probes = {id(probes): json.dumps([p.model_dump() for p in probes]) for probes in todo.values()}
    names = {which: digest({"probes": text}) for which, text in probes.items()}
    points = [
        {
            "key": trial.key(),
            "trial": trial.model_dump_json(),
            "probes": names[id(probes)],  # many trials have the same ones
            "limit": launch.limits[trial.key()],
        }
        for trial, probes in todo.items()
    ]
    shared = {
        "results_in": launch.results_in,
        "resources": (launch.resources.cpu, launch.resources.gpu),
        "tries": launch.tries,
        "probes": {names[which]: text for which, text in probes.items()},
        "images": dict(images),
        "check": check,
        "stamp": provenance.stamp(),
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
            scheduler=InTurn(),
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


def trial_key(trial: TuneTrial) -> str:
    """Tune's name of a trial."""
    return str(trial.config["key"])


def connect(address: str | None) -> None:
    """Start or join Ray, quietly.

    Raises:
        ClusterError: says where the address came from.
    """
    found = None
    try:
        if "://" in (address or os.environ.get("RAY_ADDRESS", "")):
            raise ValueError("run the launch on a machine of the cluster, with --address auto")
        if found := canonicalize_bootstrap_address(address):  # type: ignore[arg-type]
            reach(found)
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ClusterError(f"no Ray cluster {source(address, found)}: {error}") from error


def source(address: str | None, found: str | None) -> str:
    """Which cluster was to be used, and what says so; `found` is its address in Ray's form."""
    if address not in (None, "", "auto"):
        return f"at {address} (--address)"
    if (named := os.environ.get("RAY_ADDRESS")) not in (None, "", "auto"):
        return f"at {named} (environment variable RAY_ADDRESS)"
    file = Path(get_ray_address_file(None))
    text = file.read_text().strip() if file.exists() else ""
    if found and found.rpartition(":")[2] != text.rpartition(":")[2]:
        return f"at {found} (a Ray that runs on this machine)"
    if not file.exists():
        return "on this machine"
    return (
        f"at {found or repr(text)} ({file}; if that Ray has ended, remove the file, or add "
        "--address local for a new one)"
    )


def reach(address: str) -> None:
    """Refuse an address where no Ray answers soon; Ray itself would try for many minutes.

    Raises:
        OSError: nobody answers, or somebody else.
    """
    host, _, port = address.rpartition(":")
    place = (host.strip("[]"), int(port))
    with socket.create_connection(place, timeout=CONNECT_SECONDS) as connection:
        if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
            return
        connection.sendall(HELLO)
        with connection.makefile("rb") as answer:
            if answer.read(4)[3:] != b"\4":
                raise ConnectionError("what answers there is not Ray")


def require(resources: Resources, say: Callable[[str], object]) -> None:
    """Refuse what no node can give, now or when the cluster grows, instead of waiting forever.

    Where an autoscaler does not tell which nodes it may add, it is asked for one, and has
    `GROWTH_SECONDS`; `say` is told of it.
    """
    trouble = lacking(kinds_now() + (kinds := growth()), resources)
    if trouble and not kinds and grows():
        say(f"waiting up to {GROWTH_SECONDS / 60:g} min for the cluster to grow: {trouble}")
        trouble = wait_for_growth(resources)
    if trouble:
        raise ClusterError(trouble)


def alive() -> list[dict[str, Any]]:
    """The nodes of the cluster."""
    return [node for node in ray.nodes() if node["Alive"]]


def kinds_now() -> list[dict[str, float]]:
    """Resources of the nodes of the cluster."""
    return [node["Resources"] for node in alive()]


def lacking(kinds: Sequence[Mapping[str, float]], resources: Resources) -> str:
    """Why no node of these kinds can run a trial, or nothing if one can."""
    for name, key, wanted in (("cpu", "CPU", resources.cpu), ("gpu", "GPU", resources.gpu)):
        most = max((kind.get(key, 0) for kind in kinds), default=0)
        if wanted > most:
            return (
                f"each trial asks for {wanted:g} {key} and no node has more than {most:g}: "
                f"change `resources` in the grid, or add --set resources.{name}={int(most)}"
            )
    if not any(fits(kind, resources) for kind in kinds):
        return (
            f"each trial asks for {resources.cpu:g} CPU and {resources.gpu:g} GPU together, "
            "and no node has both: change `resources` in the grid"
        )
    return ""


def fits(kind: Mapping[str, float], resources: Resources) -> bool:
    """Whether a node with these resources can run a trial."""
    return kind.get("CPU", 0) >= resources.cpu and kind.get("GPU", 0) >= resources.gpu


def growth() -> list[dict[str, float]]:
    """Resources of each kind of node that the autoscaler of `ray up` may add; its head knows."""
    try:
        config = yaml.safe_load(BOOTSTRAP.expanduser().read_text())
    except OSError:
        return []
    kinds = config["available_node_types"].values()
    return [dict(kind["resources"]) for kind in kinds if kind.get("max_workers", 1)]


def grows() -> bool:
    """Whether the cluster has an autoscaler, such as KubeRay's.

    One of version 1 reports nodes by the names of their groups; what only watches, as where `ray
    start` alone was called, by their ids.
    """
    if _internal_kv_get("__autoscaler_v2_enabled", namespace=b"__autoscaler") == b"1":
        return True
    status = json.loads(_internal_kv_get("__autoscaling_status") or "{}")
    kinds = (status.get("autoscaler_report") or {}).get("active_nodes") or {}
    return any(not re.fullmatch("node_[0-9a-f]+", kind) for kind in kinds)


def wait_for_growth(resources: Resources) -> str:
    """Ask for a node that a trial fits on; why it does not come, or nothing."""
    until = time.monotonic() + GROWTH_SECONDS
    share = {"CPU": resources.cpu, "GPU": math.ceil(resources.gpu)}
    request_resources(bundles=[{name: amount for name, amount in share.items() if amount}])
    try:
        while (trouble := lacking(kinds_now(), resources)) and time.monotonic() < until:
            time.sleep(1)
    finally:
        request_resources(bundles=[])
    return trouble


def inspect_nodes(check: Check, resources: Resources, images: Mapping[Any, ray.ObjectRef]) -> None:
    """Have every node that can run a trial write results, read this process's, fetch the images.

    `run_trial` asks the same of nodes that join later.

    Raises:
        ClusterError: names each node that cannot, and why.
    """
    nodes = alive()
    if len(nodes) == 1:  # this process has done all that already
        return
    task = ray.remote(num_cpus=0, max_retries=0)(inspect_here)
    asked = []
    for node in nodes:
        if fits(node["Resources"], resources):
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            options = task.options(scheduling_strategy=there)
            asked.append((node, options.remote(check, list(images.values()))))
    if troubles := [line for node, reply in asked for line in answers(node, reply)]:
        raise ClusterError("\n".join(troubles))


def answers(node: Mapping[str, Any], reply: ray.ObjectRef) -> list[str]:
    """What a node finds wrong; nothing if it is gone meanwhile."""
    try:
        found = ray.get(reply, timeout=NODE_SECONDS)
    except ray.exceptions.GetTimeoutError:
        found = [f"does not answer within {NODE_SECONDS:g} s"]
    except (ray.exceptions.RayError, ImportError) as error:
        found = [f"cannot run rotgrid: {str(error).strip().splitlines()[-1]}"]
        if node["NodeID"] not in [other["NodeID"] for other in alive()]:
            return []
    name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
    return [f"node {name}: {line}" for line in found]


def unfit(check: Check, images: ray.ObjectRef) -> str:
    """Why this node cannot run a trial on these images, or nothing if it can."""
    where = f"node {platform.node()} ({ray.util.get_node_ip_address()})"
    return "\n".join(f"{where}: {line}" for line in inspect_here(check, [images]))


def inspect_here(check: Check, images: Iterable[ray.ObjectRef]) -> list[str]:
    """What is wrong with this node, in words."""
    return [*troubles(check), *filter(None, map(unfetched, images))]


@functools.cache
def troubles(check: Check) -> tuple[str, ...]:
    """What keeps this process from running any trial of a launch."""
    asked = (differing(check.versions), elsewhere(check), no_device(check.gpu))
    return tuple(filter(None, asked))


def elsewhere(check: Check) -> str:
    """Why results cannot be written from here, or nothing."""
    root = check.results_in
    try:
        if trouble := storage.wait_until_writable(root, storage.OUTAGE_SECONDS):
            return trouble
        if storage.exists(root, check.marker):
            return ""
    except OSError as error:
        return str(error)
    return (
        f"{root} is another folder there than here: results must be where all nodes can write, "
        "a shared folder or s3:// or gs://"
    )


def no_device(gpu: float) -> str:
    """Why this process cannot compute on what a trial asks for, or nothing."""
    from rotgrid.experiment import DeviceError, require_device

    try:
        require_device(gpu)
    except DeviceError as error:
        return str(error)
    return ""


@functools.lru_cache(maxsize=1)
def unfetched(images: ray.ObjectRef) -> str:
    """Why images cannot be fetched, or nothing."""
    try:
        ray.get(images, timeout=NODE_SECONDS)
    except ray.exceptions.RayError as error:
        return f"cannot fetch the images: {str(error).strip().splitlines()[0]}"
    return ""


def differing(expected: Iterable[tuple[str, str]]) -> str:
    """Which versions here are not those of the launch, or nothing."""
    here = versions()
    differ = [f"{name} {here[name]}, not {other}" for name, other in expected
              if here[name] != other]  # fmt: skip
    if not differ:
        return ""
    return (
        f"this node has {'; '.join(differ)} as the launch: install the same on all nodes "
        "(`ray up` does), and leave the code alone while a launch runs"
    )


def versions() -> dict[str, str]:
    """What all nodes must have in common, by name."""
    return {
        **provenance.versions(),
        "ray": ray.__version__,
        "rotgrid's code": provenance.files(),
    }
