import contextlib
import json
import logging
from types import SimpleNamespace

import pytest
import torch

from rotgrid import data, experiment, grid, results
from rotgrid.fanout import attempt, nodes
from rotgrid.results import failures, storage
from rotgrid.results.failures import Attempts
from rotgrid.spec import Trial


@pytest.fixture
def actor(tmp_path, monkeypatch):
    """Calls `run_trial` as an actor does; what it reports."""
    trial = Trial(model="stdcnn", data="mnist5k", recipe="fast", train_size=50, epochs=1)
    (probes,) = grid.parse(
        "blocks: [{model: stdcnn, data: mnist5k, probes: {attack: fgsm, n_images: 10}}]"
    ).trials.values()
    reported = []
    monkeypatch.setattr(attempt.tune, "report", reported.append)
    images = data.arrays(data.load("mnist5k"))
    monkeypatch.setattr(attempt.ray, "get", lambda *_, **__: images)
    storage.put(tmp_path, "marker", b"")
    check = nodes.Check(str(tmp_path), "marker", tuple(nodes.versions().items()), 0.0)
    config = {"key": trial.key(), "trial": trial.model_dump_json(), "probes": "p", "limit": 600.0}
    shared = {
        "results_in": str(tmp_path),
        "resources": (1, 0.0),
        "tries": Attempts("launch", 1),
        "probes": {"p": json.dumps([probe.model_dump() for probe in probes])},
        "images": {"mnist5k": "reference"},
        "check": check,
        "stamp": "abc123:0",
        "sources": {},
        "own_data": [],
    }

    def call(**changed):
        attempt.run_trial({**config, **changed}, shared)
        return reported

    def changes(**fields):
        shared["check"] = check._replace(**fields)

    call.trial, call.probes, call.changes = trial, probes, changes
    yield call
    for cache in (attempt.provide, nodes.missing_images, nodes.node_problems):
        cache.cache_clear()
    data._provided.clear()


def test_a_trial_runs_from_the_plain_data_that_ray_carries(actor, tmp_path):
    assert actor()[-1] == {"outcome": "done"}
    assert results.measured_probes(tmp_path) == {
        actor.trial.key(): {p.key() for p in actor.probes}
    }


def test_a_failed_attempt_ends_the_process_and_the_second_the_trial(actor, tmp_path, monkeypatch):
    monkeypatch.setattr(attempt.deadline, "watchdog", lambda *_: contextlib.nullcontext())
    with pytest.raises(attempt.RecordedError, match="tried again"):
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
    assert failures.read(tmp_path) == results.measured_probes(tmp_path) == {}


def test_a_node_with_other_versions_computes_nothing(actor, tmp_path):
    for name in ("torch", "numpy", "scipy", "e2cnn", "python", "ray", "rotgrid's code"):
        assert name in nodes.versions()
    actor.changes(versions=tuple({**nodes.versions(), "numpy": "1.0"}.items()))
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
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    actor.changes(gpu=0.25)
    assert_refused(actor, tmp_path, "each trial asks for 0.25 GPU and torch")


def test_a_node_that_gets_no_images_computes_nothing(actor, tmp_path, monkeypatch):
    def get(*_, **__):
        raise attempt.ray.exceptions.GetTimeoutError("timed out")

    monkeypatch.setattr(attempt.ray, "get", get)
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

    monkeypatch.setattr(attempt.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(attempt.tune, "report", report)
    return clock


@pytest.mark.parametrize(("seconds", "reports"), [(0.0, 100), (0.005, 100), (0.1, 10), (1.0, 1)])
def test_words_of_a_trial_take_little_of_its_time(clock, seconds, reports):
    """One a second, and a hundredth of the time, however long the driver takes to listen."""
    clock.report = seconds
    messenger = attempt.Messenger()
    for step in range(1000):
        clock.now = max(clock.now, 100 + step / 10)
        messenger.doing(f"epoch {step}")
    assert len(clock.heard) == pytest.approx(reports, rel=0.1)
    assert clock.heard[0] == {"outcome": "running", "doing": "epoch 0"}
