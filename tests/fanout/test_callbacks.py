from types import SimpleNamespace

import pytest

from rotgrid import grid
from rotgrid.fanout import callbacks, connection
from rotgrid.fanout.progress import Tracker
from rotgrid.results import failures
from rotgrid.results.failures import Attempts
from rotgrid.spec import Trial

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
    launch = callbacks.Launch(str(tmp_path), grid.Resources(), tracker, {KEY: 3600.0})
    monkeypatch.setitem(callbacks.launches, launch.id, launch)
    return launch


@pytest.fixture
def watch(launch):
    watch = callbacks.Watch(launch.id)
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
    assert (failure.exception, failure.host) == (callbacks.DIED, "10.0.0.7")
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


RECORDED = "Traceback ...\nrotgrid.fanout.attempt.RecordedError: see failures/"
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
    for loss in range(callbacks.LOSSES + 1):
        trial = ended(LOST)
        watch.on_trial_recover(0, [], trial)
        assert trial.max_failures == (5 if loss < callbacks.LOSSES else 4)
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
    assert callbacks.Stop(launch.id).stop_all()
    assert failures.read(tmp_path) == {}


def test_a_record_of_an_earlier_launch_is_not_this_one(watch, tmp_path):
    failures.record(tmp_path, TRIAL, Attempts("earlier", 0), "ValueError: x")
    watch.on_trial_recover(0, [], TuneTrial())
    assert failures.find(tmp_path, KEY).exception == callbacks.DIED


@pytest.mark.parametrize(("outcome", "kind"), [("done", "done"), ("failed", "failed")])
def test_the_outcome_of_a_trial_reaches_the_tracker(launch, watch, outcome, kind):
    trial = TuneTrial(last_result={"outcome": outcome})
    watch.on_trial_complete(0, [], trial)
    assert getattr(launch.tracker, kind) == {KEY}
    assert trial.run_metadata.metric_analysis == trial.run_metadata.metric_n_steps == {}


def test_a_node_that_is_refused_stops_the_launch_and_fails_no_trial(launch, watch, tmp_path):
    stop = callbacks.Stop(launch.id)
    assert not stop.stop_all()
    watch.on_trial_complete(0, [], TuneTrial(last_result={"refused": "node a: has torch 1"}))
    assert stop.stop_all()
    assert isinstance(launch.trouble, connection.ClusterError)
    assert str(launch.trouble).startswith("node a: has torch 1\n")
    assert launch.tracker.failed == launch.tracker.done == launch.tracker.running == set()
    assert failures.read(tmp_path) == {}


def test_what_a_trial_says_reaches_the_user(launch, watch, monkeypatch):
    heard = []
    monkeypatch.setattr(launch.tracker, "say", heard.append)
    monkeypatch.setattr(launch.tracker, "doing", lambda *words: heard.append(words))
    watch.on_trial_result(0, [], TuneTrial(), {"outcome": "running", "doing": "epoch 1 of 2"})
    for said in (["a [1/2]", "b"], ["b"]):  # each once, however many processes say it
        watch.on_trial_result(0, [], TuneTrial(), {"outcome": "done", "said": said})
    assert heard == [(KEY, "epoch 1 of 2"), "a [1/2]", "b"]
    assert launch.tracker.running == {KEY}


FULL = "rotgrid.results.storage.StoreError: [Errno 28] cannot write x: No space left on device"


def test_a_full_store_stops_the_launch(launch, watch, tmp_path, ended):
    stop = callbacks.Stop(launch.id)
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
    assert callbacks.Stop(launch.id).stop_all()


def test_a_store_that_stays_out_of_reach_stops_the_launch(launch, watch, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    launch.results_in = str(tmp_path / "file")
    monkeypatch.setattr(callbacks.storage, "OUTAGE_SECONDS", 0.0)
    watch.on_trial_recover(0, [], TuneTrial())
    assert "Not a directory" in str(launch.trouble)


def test_a_process_that_ignores_its_limit_is_ended(launch, watch, monkeypatch, tmp_path):
    ended = []
    monkeypatch.setattr(callbacks.ray, "kill", ended.append)
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
    return callbacks.Canaries([])


def test_few_trials_start_until_one_has_succeeded(canaries):
    assert handed_out(canaries, ["failed", "done"]) == [2, 3, 40]


def test_no_more_than_ten_start_if_all_fail(canaries):
    assert handed_out(canaries, ["failed"] * 10) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]
    assert canaries.is_finished()
