import contextlib
import json
import logging
import socket
import threading
from types import SimpleNamespace

import pytest

from rotgrid import data, experiment, grid, results
from rotgrid.fanout import tune
from rotgrid.fanout.progress import Tracker
from rotgrid.results import failures, storage
from rotgrid.results.failures import Attempts
from rotgrid.spec import Trial

from launched import GRID, finish

TRIAL = Trial(model="stdcnn")
KEY = TRIAL.key()


class TuneTrial(SimpleNamespace):
    """What the callbacks look at."""

    def __init__(self, **fields):
        analysis = SimpleNamespace(metric_analysis={"x": 1}, metric_n_steps={"x": 1})
        config = {"key": KEY, "trial": TRIAL.model_dump_json()}
        fields = {"max_failures": 4, "node_ip": "10.0.0.7", "error_file": None, **fields}
        super().__init__(config=config, run_metadata=analysis, **fields)


@pytest.fixture
def launch(tmp_path, monkeypatch):
    tracker = Tracker({KEY: 1.0})
    launch = tune.Launch(str(tmp_path), grid.Resources(), tracker, {KEY: 3600.0})
    monkeypatch.setitem(tune._launches, launch.id, launch)
    return launch


@pytest.fixture
def watch(launch):
    watch = tune.Watch(launch.id)
    watch.on_trial_start(0, [], TuneTrial())
    return watch


def test_a_trial_whose_process_keeps_dying_is_a_recorded_failure(launch, watch, tmp_path):
    """The same end is final after the last attempt only: memory may be there next time."""
    assert launch.tracker.running == {KEY}
    for attempt in range(1, 5):
        trial = TuneTrial()
        watch.on_trial_recover(0, [], trial)
        failure = failures.find(tmp_path, KEY)
        assert (failure.attempt, failure.final) == (attempt, attempt == 4)
        assert trial.max_failures == 4
        assert launch.tracker.running == launch.running.keys() == set()
        watch.on_trial_start(0, [], TuneTrial())
    assert (failure.exception, failure.host) == (tune.DIED, "10.0.0.7")
    assert failure.trial == TRIAL.model_dump()


def test_a_trial_that_tune_gives_up_is_failed(launch, watch):
    watch.on_trial_error(0, [], TuneTrial())
    assert launch.tracker.failed == {KEY}


@pytest.fixture
def ended(tmp_path):
    """A trial whose attempt ended with a text of Ray's."""

    def ended(text):
        errors = tmp_path / "error.txt"
        errors.write_text(
            f"Failure # 1\nTraceback\nrotgrid.x.FormerError: y\nFailure # 2\n{text}\n"
        )
        return TuneTrial(error_file=str(errors))

    return ended


RECORDED = "Traceback ...\nrotgrid.cluster.RecordedError: see failures/"
LOST = """The actor died unexpectedly before finishing this task.
	ip: 10.0.0.7
The actor died because its node has died. Node Id: 0a1b
	the actor's node was terminated unexpectedly"""


def test_what_a_process_recorded_of_itself_is_kept(launch, watch, tmp_path, ended):
    failures.record(tmp_path, TRIAL, launch.tries, "ValueError: x", "trace", "here")
    before = failures.find(tmp_path, KEY)
    watch.on_trial_recover(0, [], ended(RECORDED))
    assert failures.find(tmp_path, KEY) == before
    failures.record(tmp_path, TRIAL, launch.tries, "TimeLimitError: hangs", "trace", "here")
    before = failures.find(tmp_path, KEY)
    watch.on_trial_recover(0, [], TuneTrial())  # its watchdog recorded it, then ended it
    assert failures.find(tmp_path, KEY) == before
    watch.on_trial_recover(0, [], TuneTrial())
    assert failures.find(tmp_path, KEY).attempt == 3


def test_a_lost_node_is_no_failure_of_the_trial(launch, watch, tmp_path, ended, capsys):
    """Each loss gives it one more attempt, but not forever; and it is never final."""
    for loss in range(tune.LOSSES + 1):
        trial = ended(LOST)
        watch.on_trial_recover(0, [], trial)
        assert trial.max_failures == (5 if loss < tune.LOSSES else 4)
        assert failures.read(tmp_path) == {}
    assert "its node 10.0.0.7 was lost" in capsys.readouterr().err
    watch.on_trial_error(0, [], ended(LOST))
    assert not failures.find(tmp_path, KEY).final
    assert launch.trouble is None


def test_a_machine_that_cannot_run_trials_stops_the_launch_in_the_end(
    launch, watch, tmp_path, ended
):
    text = "rotgrid.results.failures.MachineError: the trial asks for a GPU and torch sees none"
    watch.on_trial_recover(0, [], ended(text))
    assert launch.trouble is None
    watch.on_trial_error(0, [], ended(text))
    assert str(launch.trouble).startswith("node 10.0.0.7: the trial asks for a GPU")
    assert tune.Stop(launch.id).stop_all()
    assert failures.read(tmp_path) == {}


def test_a_record_of_an_earlier_launch_is_not_this_one(watch, tmp_path):
    failures.record(tmp_path, TRIAL, Attempts("earlier", 0), "ValueError: x")
    watch.on_trial_recover(0, [], TuneTrial())
    assert failures.find(tmp_path, KEY).exception == tune.DIED


@pytest.mark.parametrize(("outcome", "kind"), [("done", "done"), ("failed", "failed")])
def test_the_outcome_of_a_trial_reaches_the_tracker(launch, watch, outcome, kind):
    trial = TuneTrial(last_result={"outcome": outcome})
    watch.on_trial_complete(0, [], trial)
    assert getattr(launch.tracker, kind) == {KEY}
    assert trial.run_metadata.metric_analysis == trial.run_metadata.metric_n_steps == {}


def test_a_node_that_is_refused_stops_the_launch_and_fails_no_trial(launch, watch, tmp_path):
    stop = tune.Stop(launch.id)
    assert not stop.stop_all()
    watch.on_trial_complete(0, [], TuneTrial(last_result={"refused": "node a: has torch 1"}))
    assert stop.stop_all()
    assert isinstance(launch.trouble, tune.ClusterError)
    assert str(launch.trouble).startswith("node a: has torch 1\n")
    assert launch.tracker.failed == launch.tracker.done == launch.tracker.running == set()
    assert failures.read(tmp_path) == {}


def test_what_a_trial_says_reaches_the_user(launch, watch, monkeypatch):
    heard = []
    monkeypatch.setattr(launch.tracker, "say", heard.append)
    monkeypatch.setattr(launch.tracker, "doing", lambda *words: heard.append(words))
    watch.on_trial_result(0, [], TuneTrial(), {"outcome": "running", "doing": "epoch 1 of 2"})
    watch.on_trial_result(0, [], TuneTrial(), {"outcome": "done", "said": ["a [1/2]", "b"]})
    assert heard == [(KEY, "epoch 1 of 2"), "a [1/2]", "b"]
    assert launch.tracker.running == {KEY}


FULL = "rotgrid.results.storage.StoreError: [Errno 28] cannot write x: No space left on device"


def test_a_full_store_stops_the_launch(launch, watch, tmp_path, ended):
    stop = tune.Stop(launch.id)
    assert not stop.stop_all()
    watch.on_trial_recover(0, [], ended(FULL))
    assert stop.stop_all()
    assert str(launch.trouble) == FULL.partition(": ")[2]
    assert failures.read(tmp_path) == {}


def test_a_passing_trouble_of_the_store_is_no_attempt(launch, watch, tmp_path, ended):
    trial = ended("rotgrid.results.storage.StoreError: cannot write x: connection reset")
    watch.on_trial_recover(0, [], trial)
    assert launch.trouble is None
    assert trial.max_failures == 5
    assert failures.read(tmp_path) == {}


def test_a_passing_trouble_does_not_take_back_why_the_launch_stops(launch, watch, ended):
    watch.on_trial_complete(0, [], TuneTrial(last_result={"refused": "node a: has torch 1"}))
    watch.on_trial_recover(
        0, [], ended("rotgrid.results.storage.StoreError: cannot write x: connection reset")
    )
    assert str(launch.trouble).startswith("node a: has torch 1")
    assert tune.Stop(launch.id).stop_all()


def test_a_store_that_stays_out_of_reach_stops_the_launch(launch, watch, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    launch.results_in = str(tmp_path / "file")
    monkeypatch.setattr(tune.storage, "OUTAGE_SECONDS", 0.0)
    watch.on_trial_recover(0, [], TuneTrial())
    assert "Not a directory" in str(launch.trouble)


def test_a_process_that_ignores_its_limit_is_ended(launch, watch, monkeypatch, tmp_path):
    ended = []
    monkeypatch.setattr(tune.ray, "kill", ended.append)
    state = SimpleNamespace(ray_actor="actor")
    watch.on_trial_start(0, [], TuneTrial(temporary_state=state))
    watch.on_step_end(0, [])
    assert ended == []
    launch.limits = {KEY: -1.0}
    watch.on_step_end(0, [])
    watch.on_step_end(0, [])
    assert ended == ["actor"]
    watch.on_trial_recover(0, [], TuneTrial())
    assert failures.find(tmp_path, KEY).exception.startswith("TimeLimitError: the process did")


def handed_out(canaries, outcomes):
    """Trials in flight and ended, as `outcomes` come: how many are handed out after each."""
    counts = []
    for outcome in [None, *outcomes]:
        if outcome is not None:
            canaries.on_trial_complete("id", {"outcome": outcome})
        while canaries.next_trial() is not None:
            pass
        counts.append(canaries.started)
    return counts


@pytest.fixture
def canaries(monkeypatch):
    from ray.tune.search import basic_variant

    points = iter([object()] * 40)
    monkeypatch.setattr(
        basic_variant.BasicVariantGenerator, "next_trial", lambda _: next(points, None)
    )
    return tune.Canaries([])


def test_few_trials_start_until_one_has_succeeded(canaries):
    assert handed_out(canaries, ["failed", "done"]) == [2, 3, 40]


def test_no_more_than_ten_start_if_all_fail(canaries):
    assert handed_out(canaries, ["failed"] * 10) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]
    assert canaries.is_finished()


@pytest.fixture
def actor(tmp_path, monkeypatch):
    """Calls `run_trial` as an actor does; what it reports."""
    trial = Trial(model="stdcnn", data="mnist5k", recipe="fast", train_size=50, epochs=1)
    (probes,) = grid.parse(
        "blocks: [{model: stdcnn, data: mnist5k, probes: {attack: fgsm, n_images: 10}}]"
    ).trials.values()
    reported = []
    monkeypatch.setattr(tune.tune, "report", reported.append)
    images = data.arrays(data.load("mnist5k"))
    monkeypatch.setattr(tune.ray, "get", lambda *_, **__: images)
    storage.put(tmp_path, "marker", b"")
    check = tune.Check(str(tmp_path), "marker", tuple(tune.versions().items()), 0.0)
    config = {"key": trial.key(), "trial": trial.model_dump_json(), "probes": "p", "limit": 600.0}
    shared = {
        "results_in": str(tmp_path),
        "resources": (1, 0.0),
        "tries": Attempts("launch", 1),
        "probes": {"p": json.dumps([probe.model_dump() for probe in probes])},
        "images": {"mnist5k": "reference"},
        "check": check,
        "stamp": "abc123:0",
    }

    def call(**changed):
        tune.run_trial({**config, **changed}, shared)
        return reported

    def changes(**fields):
        shared["check"] = check._replace(**fields)

    call.trial, call.probes, call.changes = trial, probes, changes
    yield call
    for cache in (tune.provide, tune.unfetched, tune.troubles):
        cache.cache_clear()
    data._provided.clear()


def test_a_trial_runs_from_the_plain_data_that_ray_carries(actor, tmp_path):
    assert actor()[-1] == {"outcome": "done"}
    assert results.measured(tmp_path) == {actor.trial.key(): {p.key() for p in actor.probes}}


def test_a_failed_attempt_ends_the_process_and_the_second_the_trial(actor, tmp_path, monkeypatch):
    monkeypatch.setattr(tune.deadline, "watchdog", lambda *_: contextlib.nullcontext())
    with pytest.raises(tune.RecordedError, match="tried again"):
        actor(limit=-1.0)
    assert actor(limit=-1.0)[-1] == {"outcome": "failed"}
    failure = failures.find(tmp_path, actor.trial.key())
    assert failure.exception == "TimeLimitError: time limit reached in epoch 1"
    assert failure.final
    assert actor()[-2:] == [{"outcome": "failed"}] * 2  # final is final within a launch


def assert_refused(actor, tmp_path, reason):
    """Said of the node, not recorded of the trial."""
    (report,) = actor()
    assert report["outcome"] == "refused"
    assert report["refused"].startswith("node ")
    assert reason in report["refused"]
    assert failures.read(tmp_path) == results.measured(tmp_path) == {}


def test_a_node_with_other_versions_computes_nothing(actor, tmp_path):
    for name in ("torch", "numpy", "scipy", "e2cnn", "python", "ray", "rotgrid's code"):
        assert name in tune.versions()
    actor.changes(versions=tuple({**tune.versions(), "numpy": "1.0"}.items()))
    assert_refused(actor, tmp_path, ", not 1.0 as the launch")


def test_a_node_that_sees_another_folder_computes_nothing(actor, tmp_path):
    storage.delete(tmp_path, "marker")
    assert_refused(actor, tmp_path, "is another folder there than here")


def test_a_node_that_cannot_write_results_computes_nothing(actor, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(storage, "OUTAGE_SECONDS", 0.0)
    actor.changes(results_in=str(tmp_path / "file"))
    assert_refused(actor, tmp_path, "cannot write")


def test_a_node_whose_torch_sees_no_gpu_computes_nothing(actor, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment.torch.cuda, "is_available", lambda: False)
    actor.changes(gpu=0.25)
    assert_refused(actor, tmp_path, "each trial asks for 0.25 GPU and torch")


def test_a_node_that_gets_no_images_computes_nothing(actor, tmp_path, monkeypatch):
    def get(*_, **__):
        raise tune.ray.exceptions.GetTimeoutError("timed out")

    monkeypatch.setattr(tune.ray, "get", get)
    assert_refused(actor, tmp_path, "cannot fetch the images: timed out")


def warn(*_, **__):
    logging.getLogger("rotgrid.training").warning("damaged: %s", "x.pt")
    logging.getLogger("rotgrid.training").info("a detail")
    logging.getLogger("other").warning("of no interest")


def fails(*_, **__):
    warn()
    raise ValueError("x")


def test_warnings_of_a_trial_are_reported_once(actor, monkeypatch):
    monkeypatch.setattr(experiment, "run", warn)
    assert actor() == [{"outcome": "done", "said": ["damaged: x.pt"]}]
    assert actor()[1:] == [{"outcome": "done", "said": ["damaged: x.pt"]}]


def test_warnings_are_reported_when_the_attempt_fails(actor, monkeypatch):
    monkeypatch.setattr(experiment, "run", fails)
    with pytest.raises(RuntimeError, match="tried again"):
        actor()
    assert actor() == [
        {"outcome": "again", "said": ["damaged: x.pt"]},
        {"outcome": "failed", "said": ["damaged: x.pt"]},
    ]


@pytest.fixture
def clock(monkeypatch):
    """Each report takes `clock.report` seconds."""
    clock = SimpleNamespace(now=100.0, report=0.0, heard=[])

    def report(what):
        clock.now += clock.report
        clock.heard.append(what)

    monkeypatch.setattr(tune.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(tune.tune, "report", report)
    return clock


@pytest.mark.parametrize(("seconds", "reports"), [(0.0, 100), (0.005, 100), (0.1, 10), (1.0, 1)])
def test_words_of_a_trial_take_little_of_its_time(clock, seconds, reports):
    """One a second, and a hundredth of the time, however long the driver takes to listen."""
    clock.report = seconds
    messenger = tune.Messenger()
    for step in range(1000):
        clock.now = max(clock.now, 100 + step / 10)
        messenger.doing(f"epoch {step}")
    assert len(clock.heard) == pytest.approx(reports, rel=0.1)
    assert clock.heard[0] == {"outcome": "running", "doing": "epoch 0"}


@pytest.fixture
def nodes(monkeypatch, tmp_path):
    """Of a cluster of one node with two CPUs that does not grow."""
    nodes = [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {"GPU": 8}}]
    monkeypatch.setattr(tune.ray, "nodes", lambda: nodes)
    monkeypatch.setattr(tune, "_internal_kv_get", lambda *_, **__: None)
    monkeypatch.setattr(tune, "BOOTSTRAP", tmp_path / "ray_bootstrap_config.yaml")
    return nodes


def test_what_no_node_has_is_refused_before_it_waits_forever(nodes):
    def require(**resources):
        tune.require(grid.Resources(**resources), pytest.fail)

    require(cpu=2)
    with pytest.raises(tune.ClusterError, match=r"0.25 GPU .* --set resources.gpu=0"):
        require(gpu=0.25)
    with pytest.raises(tune.ClusterError, match="no node has more than 2"):
        require(cpu=3)
    tune.BOOTSTRAP.write_text("""
available_node_types:
  head: {resources: {CPU: 0}, max_workers: 0}
  big: {resources: {CPU: 64, GPU: 8}, max_workers: 0}
  small: {resources: {CPU: 1, GPU: 4, memory: 16000}, max_workers: 2}
""")
    require(cpu=1, gpu=0.25)
    with pytest.raises(tune.ClusterError, match=r"2 CPU and 0.25 GPU together"):
        require(cpu=2, gpu=0.25)


@pytest.mark.parametrize("gone", [False, True])
def test_a_node_that_is_lost_during_the_check_is_no_reason_to_refuse(nodes, monkeypatch, gone):
    def get(*_, **__):
        raise tune.ray.exceptions.TaskUnschedulableError("it does not exist any more")

    monkeypatch.setattr(tune.ray, "get", get)
    node = {"NodeID": "a", "NodeManagerHostname": "h", "NodeManagerAddress": "10.0.0.7"}
    nodes[0]["NodeID"], nodes[1]["NodeID"] = ("b", "a") if gone else ("a", "b")
    found = tune.answers(node, None)
    assert len(found) == (0 if gone else 1)
    assert all(line.startswith("node h (10.0.0.7): cannot run rotgrid: ") for line in found)


STATUS = '{"autoscaler_report": {"active_nodes": {"%s": 1}}}'
GROUP, WATCHED = STATUS % "headgroup", STATUS % ("node_" + "0a" * 28)


@pytest.mark.parametrize(
    ("second", "first", "expected"),
    [
        (b"0", None, False),
        (b"0", "{}", False),
        (b"0", '{"autoscaler_report": {"active_nodes": null}}', False),
        (b"0", WATCHED, False),
        (b"0", GROUP, True),
        (b"1", None, True),
    ],
)
def test_an_autoscaler_is_known_by_what_it_writes(nodes, monkeypatch, second, first, expected):
    def get(key, namespace=None):
        return second if "v2" in key else first

    monkeypatch.setattr(tune, "_internal_kv_get", get)
    assert tune.grows() is expected


@pytest.fixture
def growing(nodes, monkeypatch):
    """A cluster with an autoscaler; what is asked of it. Time passes by sleeping alone."""
    asked, now = [], [0.0]
    monkeypatch.setattr(tune, "grows", lambda: True)
    monkeypatch.setattr(tune, "request_resources", lambda bundles: asked.append(bundles))
    monkeypatch.setattr(tune.time, "monotonic", lambda: now[0])

    def sleep(seconds):
        now[0] += seconds
        if now[0] == 60:
            nodes.append({"Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}})

    monkeypatch.setattr(tune.time, "sleep", sleep)
    return asked


def test_nodes_that_an_autoscaler_adds_are_waited_for(growing):
    said = []
    tune.require(grid.Resources(cpu=1, gpu=0.25), said.append)
    assert growing == [[{"CPU": 1, "GPU": 1}], []]
    assert len(said) == 1
    assert said[0].startswith("waiting up to 15 min for the cluster to grow: each trial asks for")


def test_they_are_not_waited_for_forever(growing):
    with pytest.raises(tune.ClusterError, match="4 GPU and no node has more than 1"):
        tune.require(grid.Resources(cpu=1, gpu=4), str)
    assert growing == [[{"CPU": 1, "GPU": 4}], []]


@pytest.fixture
def connected(monkeypatch, tmp_path):
    """What `ray.init` is called with; no cluster is known."""
    calls = []
    monkeypatch.setattr(tune.ray, "init", lambda **given: calls.append(given["address"]))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "ray").mkdir()
    return calls


@contextlib.contextmanager
def server(greeting, host="127.0.0.1"):
    """Somebody who says the same to all who come; the address. Ray takes a loopback address for
    this machine's own, so it listens there too."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listening:
        open_ones = []

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    open_ones.append(listening.accept()[0])
                    open_ones[-1].sendall(greeting)

        threading.Thread(target=serve, daemon=True).start()
        shown = f"[{host}]" if ":" in host else host
        yield f"{shown}:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        for one in open_ones:
            one.close()


RAY_SAYS = b"\0\0\0\4\0\0\0\0\0"
"""The empty frame of settings with which HTTP/2 begins."""


def closed():
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize("way", ["--address", "RAY_ADDRESS", "ray_current_cluster"])
@pytest.mark.parametrize("trouble", ["nobody", "somebody else", "silence"])
def test_an_address_where_no_ray_answers_is_refused_at_once(
    connected, monkeypatch, tmp_path, way, trouble
):
    monkeypatch.setattr(tune, "CONNECT_SECONDS", 0.2)
    greeting = b"SSH-2.0-OpenSSH\r\n" if trouble == "somebody else" else b""
    with contextlib.ExitStack() as stack:
        address = closed() if trouble == "nobody" else stack.enter_context(server(greeting))
        if way == "RAY_ADDRESS":
            monkeypatch.setenv(way, address)
        elif way == "ray_current_cluster":
            (tmp_path / "ray" / way).write_text(address)
        port = address.rpartition(":")[2]
        with pytest.raises(tune.ClusterError, match=rf"at \S+:{port} .*{way}") as error:
            tune.connect(address if way == "--address" else None)
    assert {
        "nobody": "refused",
        "somebody else": "what answers there is not Ray",
        "silence": "timed out",
    }[trouble] in str(error.value)
    assert connected == []


def test_a_file_that_a_crash_left_behind_can_be_removed_or_passed_over(connected, tmp_path):
    file = tmp_path / "ray/ray_current_cluster"
    file.write_text(closed())
    for _ in "an old address", "nothing":
        with pytest.raises(tune.ClusterError, match="remove the file, or add --address local"):
            tune.connect(None)
        file.write_text("")
    tune.connect("local")
    file.unlink()
    tune.connect(None)
    assert connected == ["local", None]


def test_a_cluster_that_was_found_by_its_processes_is_said_to_be(connected, monkeypatch, tmp_path):
    """Ray looks for them with --address auto, before it reads its file."""
    (tmp_path / "ray/ray_current_cluster").write_text("127.0.0.1:1")
    monkeypatch.setattr(tune, "canonicalize_bootstrap_address", lambda _: closed())
    with pytest.raises(tune.ClusterError, match=r"\(a Ray that runs on this machine\)"):
        tune.connect("auto")


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "http://127.0.0.1:8265"])
def test_what_is_no_address_of_a_cluster_is_refused(connected, monkeypatch, address):
    for given in (address, None):
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(tune.ClusterError, match="on a machine of the cluster"):
            tune.connect(given)
    with pytest.raises(tune.ClusterError, match="Invalid address format: here"):
        tune.connect("here")
    assert connected == []


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_cluster_that_answers_is_joined(connected, monkeypatch, host):
    with server(RAY_SAYS, host) as address:
        tune.connect(address)
        monkeypatch.setenv("RAY_ADDRESS", address)
        tune.connect(None)
        tune.connect("auto")
    assert connected == [address, None, "auto"]


@pytest.mark.slow
def test_warnings_of_workers_reach_the_user(start, tmp_path):
    """A damaged checkpoint is reported with Ray, and in the same words without it."""
    grid_file = tmp_path / "g.yaml"
    grid_file.write_text(GRID.replace("[0, 60]", "60"))
    (trial,) = grid.read(str(grid_file)).trials
    for flags in ((), ("--local",)):
        root = tmp_path / f"r{len(flags)}"
        storage.put(root, f"checkpoints/{trial.key()}.training.pt", b"damaged")
        errors = finish(start(grid_file, root, *flags))
        said = [line for line in errors.splitlines() if "damaged, so what it held" in line]
        assert len(said) == 1
        assert said[0].startswith(f"checkpoints/{trial.key()}.training.pt: damaged")
