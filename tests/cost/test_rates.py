import json
import math

import pytest

from rotgrid.cost import rates
from rotgrid.cost.rates import Rates
from rotgrid.cost.work import MULTIPLY_ADDS, Work
from rotgrid.grid import Resources
from rotgrid.spec.vocabulary import MODELS

SOME = Rates(1e-3, 2e-3, 5e-4)
STDCNN, GCNN = ("stdcnn", "table1"), ("gcnn", "table1")


def test_every_network_has_reference_rates():
    assert tuple(rates.REFERENCE_RATES) == MODELS
    for network in MULTIPLY_ADDS:
        trained, gradient, forward = rates.reference(network)
        assert trained / forward == pytest.approx(3)
        assert gradient / forward == pytest.approx(2)


def test_seconds_are_those_of_each_kind_of_work():
    assert SOME.seconds(Work(1000, 100, 10)) == pytest.approx(1 + 0.2 + 0.005)
    assert SOME.times(2).seconds(Work(1000)) == pytest.approx(2)


def test_the_cache_is_kept_by_device_and_network():
    rates.remember("one", {STDCNN: SOME, GCNN: SOME})
    rates.remember("two", {STDCNN: SOME.times(2)})
    rates.remember("one", {GCNN: SOME.times(3)})
    assert rates.remembered("one") == {STDCNN: SOME, GCNN: SOME.times(3)}
    assert rates.remembered("two") == {STDCNN: SOME.times(2)}
    assert rates.remembered("three") == {}
    assert [file.name for file in rates.RATES_FILE.parent.iterdir()] == ["rates.json"]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        json.dumps({"stdcnn": 1e9}),  # as it once was
        json.dumps({"one": {"stdcnn/table1": [0, 1, 1]}}),
        json.dumps({"one": {"stdcnn/table1": [1, 1]}}),
        json.dumps({"one": {"stdcnn/table1": [1, 1, math.inf]}}),
    ],
)
def test_a_damaged_cache_is_an_empty_one(content):
    rates.remember("one", {STDCNN: SOME})
    rates.RATES_FILE.write_text(content)
    assert rates.remembered("one") == {}
    rates.remember("one", {STDCNN: SOME})
    assert rates.remembered("one") == {STDCNN: SOME}


def test_networks_of_other_versions_are_passed_over():
    rates.remember("one", {STDCNN: SOME, ("gone", "base"): SOME})
    assert rates.remembered("one") == {STDCNN: SOME}


def test_devices_have_names(monkeypatch, tmp_path):
    assert rates.device_name(Resources(cpu=1)) == f"{rates.processor()}, 1 thread"
    assert rates.device_name(Resources(cpu=4)).endswith(", 4 threads")
    monkeypatch.setattr(rates, "gpus", lambda: ["NVIDIA H100", "NVIDIA H100"])
    assert rates.device_name(Resources(gpu=0.25)) == "NVIDIA H100"
    monkeypatch.setattr(rates, "gpus", lambda: [])
    assert rates.device_name(Resources(gpu=1.0)) == "GPU"
    file = tmp_path / "information"
    file.write_text("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 97\n")
    assert rates.entries(file, "Model") == ["NVIDIA H100 80GB HBM3"]
    assert rates.entries(tmp_path / "none", "Model") == []
