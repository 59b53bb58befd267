"""Speeds are learned from rows; `write` makes rows of trials that took as long as is wanted."""

import datetime
import platform

import pyarrow as pa
import pytest

from rotgrid import results
from rotgrid.cost import rates, speed
from rotgrid.cost.rates import Rates
from rotgrid.cost.work import network_of, probes_work, training_work
from rotgrid.grid import Resources
from rotgrid.spec import Probe, Trial

WHEN = datetime.datetime.now(datetime.UTC)
STDCNN, GCNN = ("stdcnn", "table1"), ("gcnn", "table1")
CPU, GPU = Resources(), Resources(gpu=0.5)
PROBES = [Probe(attack="pgd", eps=eps, n_images=10) for eps in (0.1, 0.2, 0.3)]


def trial_of(network, seed=0, **fields):
    model, variant = network
    return Trial(model=model, variant=variant, data="mnist5k", epochs=2, seed=seed, **fields)


def write(root, trial, training=0.0, measuring=0.0, device="cpu", host="here"):
    """Rows of a trial: two epochs, and a sweep whose seconds are shared evenly."""
    provenance = dict.fromkeys(("rotgrid_version", "git_commit", "torch_version"), "?")
    provenance |= {"device": device, "host": host, "finished_at": WHEN}
    common = {"trial": trial.key(), **trial.model_dump(), "parameters": 1}
    counts = {"train_loss": 1.0, "val_n": 1, "val_n_correct": 1}
    epochs = [{**common, **counts, "epoch": k, "seconds": training / 2} for k in (1, 2)]
    if training:
        results.write(root, "training", trial.key(), epochs, provenance)
    probes = [probe.resolve(trial) for probe in PROBES]
    measured = {"n": 1, "n_correct": 1, "correct": b"", "seconds": measuring / len(probes)}
    rows = [{**common, **measured, **p.model_dump(), "probe": p.key()} for p in probes]
    if measuring:
        results.write(root, "evaluations", trial.key(), rows, provenance)


def seconds_of(speeds, trial):
    """Expected seconds of training and of measuring."""
    own = network_of(trial)
    probes = tuple(probe.resolve(trial) for probe in PROBES)
    training = speeds(own).training.seconds(training_work(trial))
    return training, speeds(own).measuring.seconds(probes_work(own, probes)[own])


def test_nothing_known_is_a_guess(tmp_path):
    found = speed.speeds(tmp_path, CPU)(STDCNN)
    assert found.training == found.measuring == rates.reference(STDCNN)
    assert found.source == speed.GUESS
    assert found.factor == (1 / 3, 3)
    found = speed.speeds(tmp_path, GPU)(STDCNN)
    assert found.training.trained < rates.reference(STDCNN).trained
    assert found.factor == (0.1, 10)


def test_speeds_are_those_of_the_trials_that_have_rows(tmp_path):
    trials = [trial_of(STDCNN, seed) for seed in range(3)]
    for trial in trials[:2]:
        write(tmp_path, trial, training=7.0, measuring=3.0)
    found = speed.speeds(tmp_path, CPU)
    assert seconds_of(found, trials[2]) == pytest.approx((7.0, 3.0))
    assert found(STDCNN).source == "from 2 trials finished here"
    assert found(STDCNN).factor == speed.CALIBRATED


def test_training_stands_for_measuring_where_only_that_is_known(tmp_path):
    trial = trial_of(STDCNN)
    guessed = seconds_of(speed.speeds(tmp_path, CPU), trial)
    write(tmp_path, trial, training=5 * guessed[0])
    found = seconds_of(speed.speeds(tmp_path, CPU), trial)
    assert found == pytest.approx([5 * part for part in guessed])


def test_a_slow_machine_is_slow_for_other_networks_too(tmp_path):
    one, other = trial_of(STDCNN), trial_of(GCNN)
    guessed = speed.speeds(tmp_path, CPU)
    first, second = seconds_of(guessed, one)
    write(tmp_path, one, training=5 * first, measuring=5 * second)
    found = speed.speeds(tmp_path, CPU)
    assert seconds_of(found, other) == pytest.approx([5 * x for x in seconds_of(guessed, other)])
    assert found(GCNN).source == speed.GUESS


def test_the_range_is_the_spread_of_finished_trials(tmp_path):
    for seed in range(11):
        write(tmp_path, trial_of(STDCNN, seed), training=50.0 + 10 * seed)  # 100 on average
    low, high = speed.speeds(tmp_path, CPU)(STDCNN).factor
    assert (low, high) == pytest.approx((0.6, 1.4))
    for seed in range(11):
        write(tmp_path / "steady", trial_of(STDCNN, seed), training=100.0)
    assert speed.speeds(tmp_path / "steady", CPU)(STDCNN).factor == speed.REPEATED


def test_two_trials_far_apart_widen_the_range(tmp_path):
    write(tmp_path, trial_of(STDCNN, 0), training=1.0)
    write(tmp_path, trial_of(STDCNN, 1), training=5.0)
    assert speed.speeds(tmp_path, CPU)(STDCNN).factor == pytest.approx((1 / 3, 1.7))


def test_rows_of_another_kind_of_device_do_not_count(tmp_path):
    write(tmp_path, trial_of(STDCNN), training=7.0, device="NVIDIA H100")
    assert speed.speeds(tmp_path, CPU)(STDCNN).source == speed.GUESS
    assert seconds_of(speed.speeds(tmp_path, GPU), trial_of(STDCNN))[0] == pytest.approx(7.0)


def test_what_was_measured_before_is_better_than_a_guess(tmp_path, monkeypatch):
    monkeypatch.setattr(rates, "gpus", lambda: ["H100"])
    some = Rates(1.0, 2.0, 3.0)
    rates.remember(rates.device_name(CPU), {STDCNN: some})
    found = speed.speeds(tmp_path, CPU)
    assert found(STDCNN).training == found(STDCNN).measuring == some
    assert found(STDCNN).factor == speed.CALIBRATED
    assert found(STDCNN).source == f"from speeds measured on {rates.device_name(CPU)}"
    slower = 1.0 / rates.reference(STDCNN).trained
    assert found(GCNN).training.trained == pytest.approx(slower * rates.reference(GCNN).trained)
    assert found(GCNN).source == speed.GUESS
    assert speed.speeds(tmp_path, Resources(cpu=2))(STDCNN).source == speed.GUESS
    rates.remember("H100", {STDCNN: some})
    low, high = speed.CALIBRATED
    assert speed.speeds(tmp_path, GPU)(STDCNN).factor == (low, 2 * high)  # half of a GPU


def test_a_launch_is_remembered_for_plans_of_other_grids(tmp_path):
    here = platform.node()
    write(tmp_path / "one", trial_of(STDCNN), training=7.0, measuring=3.0, host=here)
    write(tmp_path / "one", trial_of(GCNN), training=7.0, host="another")
    speed.remember(tmp_path / "one", CPU)
    assert list(rates.remembered(rates.device_name(CPU))) == [STDCNN]
    training, measuring = seconds_of(speed.speeds(tmp_path / "other", CPU), trial_of(STDCNN))
    assert measuring == pytest.approx(3.0)
    assert training == pytest.approx(7.0, rel=0.3)  # validation counts as measuring


def test_a_cache_that_cannot_be_written_is_no_failure(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(rates, "RATES_FILE", tmp_path / "file" / "rates.json")
    write(tmp_path, trial_of(STDCNN), training=7.0, host=platform.node())
    speed.remember(tmp_path, CPU)
    assert rates.remembered(rates.device_name(CPU)) == {}


def test_rows_of_other_versions_are_passed_over():
    row = trial_of(STDCNN).model_dump()
    rows = [{**row, "trial": "old", "variant": "gone"}, {**row, "trial": "new"}]
    found = speed.records(Trial, pa.Table.from_pylist([*rows, *rows]), "trial")
    assert found == {"new": trial_of(STDCNN)}
