import datetime

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rotgrid import cost, experiment, models, results
from rotgrid.attacks.threat import frozen
from rotgrid.spec import MODELS, Probe, Trial


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "RATES_FILE", tmp_path / "cache" / "rates.json")


@pytest.mark.parametrize(("model", "variant"), cost.MULTIPLY_ADDS)
def test_multiply_adds_are_those_of_the_model(model, variant):
    net, image = models.build(model, variant), torch.rand(1, 1, 28, 28)
    with frozen(net), torch.no_grad():
        net(image)  # builds the filters
        with FlopCounterMode(display=False) as counter:
            net(image)
    expected = counter.get_total_flops() / 2
    assert cost.MULTIPLY_ADDS[model, variant] == pytest.approx(expected, rel=0.01)


def test_every_model_has_a_rate():
    assert tuple(cost.REFERENCE_RATES) == MODELS


def test_work_grows_with_what_is_asked():
    trial = Trial(model="stdcnn", data="mnist5k")
    one, two = Probe(n_images=10), Probe(attack="pgd", n_images=10)
    clean = cost.work(trial, [one], trained=False)
    assert cost.work(trial, [one, two], trained=False) > clean
    assert cost.work(trial, [one], trained=True) < clean / 100
    hard = Trial(model="stdcnn", data="mnist5k", adversary="pgd")
    assert cost.work(hard, [], trained=False) > 20 * cost.work(trial, [], trained=False)


def train(root, trial, seconds):
    fields = {"trial": trial.key(), **trial.model_dump(), "parameters": 1}
    row = {
        "epoch": 1,
        "train_loss": 1.0,
        "val_n": 1,
        "val_n_correct": 1,
        "val_robust_n": None,
        "val_robust_n_correct": None,
        "seconds": seconds,
    }
    provenance = experiment.provenance(torch.device("cpu"))
    assert isinstance(provenance["finished_at"], datetime.datetime)
    results.write(root, "training", trial.key(), [{**fields, **row}], provenance)


def test_the_estimate_follows_what_was_measured(tmp_path):
    trial = Trial(model="stdcnn", data="mnist5k", epochs=10)
    todo = {Trial(model="stdcnn", data="mnist5k", epochs=10, seed=1): []}
    guess = cost.estimate(todo, set(), tmp_path)
    assert "guess" in guess.source
    train(tmp_path, trial, seconds=7.0)  # an epoch
    found = cost.estimate(todo, set(), tmp_path)
    assert found.seconds == pytest.approx(70.0)
    assert "these results" in found.source


def test_speeds_are_remembered_for_other_grids(tmp_path):
    train(tmp_path / "one", Trial(model="stdcnn", data="mnist5k", epochs=10), seconds=7.0)
    cost.remember_rates(tmp_path / "one")
    todo = {Trial(model="stdcnn", data="mnist5k", epochs=5): []}
    found = cost.estimate(todo, set(), tmp_path / "other")
    assert found.seconds == pytest.approx(35.0)
    assert "earlier launches" in found.source
    cost.RATES_FILE.write_text("{")
    assert "guess" in cost.estimate(todo, set(), tmp_path / "other").source


def test_a_cache_that_cannot_be_written_is_no_failure(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(cost, "RATES_FILE", tmp_path / "file" / "rates.json")
    train(tmp_path / "r", Trial(model="stdcnn", data="mnist5k", epochs=10), seconds=7.0)
    cost.remember_rates(tmp_path / "r")
    assert cost.remembered_rates() == {}
