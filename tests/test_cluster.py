import json
from types import SimpleNamespace

import pytest

from rotgrid import cluster, grid, results
from rotgrid.progress import Tracker
from rotgrid.spec import Trial

TRIAL = Trial(model="stdcnn")


@pytest.fixture
def watch(tmp_path, monkeypatch):
    tracker = Tracker({TRIAL.key(): 1.0})
    monkeypatch.setitem(cluster._trackers, "launch", tracker)
    return SimpleNamespace(callback=cluster.Watch("launch", str(tmp_path)), tracker=tracker)


def tune_trial(**fields):
    config = {"key": TRIAL.key(), "trial": TRIAL.model_dump_json()}
    return SimpleNamespace(config=config, **fields)


def test_a_trial_whose_process_keeps_dying_is_a_recorded_failure(watch, tmp_path):
    watch.callback.on_trial_start(0, [], tune_trial())
    assert watch.tracker.running == {TRIAL.key()}
    watch.callback.on_trial_error(0, [], tune_trial(node_ip="10.0.0.7", num_failures=4))
    assert watch.tracker.failed == {TRIAL.key()}
    report = results.failures(tmp_path)[TRIAL.key()]
    assert report["exception"].startswith("the process died")
    assert (report["host"], report["attempt"]) == ("10.0.0.7", 4)
    assert report["trial"] == TRIAL.model_dump()


@pytest.mark.parametrize(("outcome", "kind"), [("done", "done"), ("failed", "failed")])
def test_the_outcome_of_a_trial_reaches_the_tracker(watch, outcome, kind):
    watch.callback.on_trial_complete(0, [], tune_trial(last_result={"outcome": outcome}))
    assert getattr(watch.tracker, kind) == {TRIAL.key()}


def test_a_trial_runs_from_the_plain_data_that_ray_carries(tmp_path, monkeypatch):
    trial = Trial(model="stdcnn", data="mnist5k", recipe="fast", train_size=50, epochs=1)
    (probes,) = grid.parse(
        "blocks: [{model: stdcnn, data: mnist5k, probes: {attack: fgsm, n_images: 10}}]"
    ).trials.values()
    reported = []
    monkeypatch.setattr(cluster.tune, "report", reported.append)
    config = {
        "key": trial.key(),
        "trial": trial.model_dump_json(),
        "probes": json.dumps([probe.model_dump() for probe in probes]),
        "results_in": str(tmp_path),
        "cpu": 1,
        "gpu": 0.0,
    }
    cluster.run_trial(config)
    assert reported == [{"outcome": "done"}]
    assert results.measured(tmp_path) == {trial.key(): {probe.key() for probe in probes}}


def test_what_no_node_has_is_refused_before_it_waits_forever(monkeypatch):
    nodes = [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {"GPU": 8}}]
    monkeypatch.setattr(cluster.ray, "nodes", lambda: nodes)
    cluster.require(grid.Resources(cpu=2))
    with pytest.raises(cluster.ClusterError, match=r"0.25 GPU .* --set resources.gpu=0"):
        cluster.require(grid.Resources(gpu=0.25))
    with pytest.raises(cluster.ClusterError, match="no node has more than 2"):
        cluster.require(grid.Resources(cpu=3))
