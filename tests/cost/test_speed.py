"""Speeds are learned from rows; `write` makes rows of trials that took as long as is wanted."""

import dataclasses
import datetime

import pytest

from rotgrid import grid, results
from rotgrid.cost import shipped, speed
from rotgrid.cost.speed import Speed
from rotgrid.cost.work import Work
from rotgrid.grid import Resources
from rotgrid.results import inventory
from rotgrid.spec import Probe, Trial
from rotgrid.spec.datasets import DATA

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


def learned(root, resources=CPU):
    """The speed that is learned from rows of a plan of eleven seeds of two networks."""
    probes = "{attack: pgd, eps: [0.1, 0.2, 0.3], n_images: 10}"
    plan = grid.parse(
        f"blocks: [{{model: [stdcnn, gcnn], data: mnist5k, epochs: 2, seed: {[*range(11)]}, "
        f"probes: {probes}}}]"
    )
    plan = dataclasses.replace(plan, resources=resources)
    return speed.learn(plan, root, inventory.take(root))


def seconds_of(found, trial):
    """Expected seconds of training and of measuring."""
    probes = [probe.resolve(trial) for probe in PROBES]
    return found.training(trial), found.measuring(trial, probes)


def test_nothing_known_is_a_guess(tmp_path):
    found = learned(tmp_path)
    assert found == speed.speed_of(CPU)
    assert found.origin(STDCNN) == (speed.GUESS, speed.GUESSED)
    on_gpu = learned(tmp_path, GPU)
    alone = GPU.gpu * on_gpu.training(trial_of(STDCNN))
    assert alone < found.training(trial_of(STDCNN)) / 10
    assert on_gpu.origin(STDCNN) == (speed.GUESS_GPU, speed.GUESSED_GPU)


def test_a_trial_on_an_h100_takes_what_was_measured_there():
    images_per_second = {
        ("stdcnn", "table1"): 130_000,
        ("gcnn", "table1"): 52_810,
        ("hnet", "fixed"): 19_925,
        ("ptn", "base"): 17_746,
        ("roteqnet", "exact"): 20_677,
        ("capsnet", "narrow"): 27_109,
    }
    machine = speed.Speed(shipped.GPU)
    assert {model for model, _ in images_per_second} == set(shipped.H100)
    for network, images in images_per_second.items():
        seconds = machine.shipped_seconds(network, Work(trained=images))
        assert seconds == pytest.approx(1.0, rel=1e-3)


def test_captured_trainings_take_longer_on_a_share_of_a_gpu_and_nothing_else_does():
    whole, quarter = (speed.speed_of(Resources(gpu=gpu)) for gpu in (1.0, 0.25))
    for adversary, longer in (("none", 4), ("pgd", 4), ("own.py:adversary", 1)):
        trial = trial_of(STDCNN).model_copy(update={"adversary": adversary})
        (training, measuring), alone = seconds_of(quarter, trial), seconds_of(whole, trial)
        assert training == pytest.approx(longer * alone[0])
        assert measuring == alone[1]
    assert speed.speed_of(Resources(gpu=2.0)).training(trial) == whole.training(trial)


def test_bfloat16_is_fast_where_there_are_instructions_for_it_and_slow_elsewhere(monkeypatch):
    plain, coarse = (trial_of(GCNN, precision=precision) for precision in ("float32", "bfloat16"))
    for there, low, high in ((True, 0.4, 0.7), (False, 2.0, 3.4)):
        monkeypatch.setattr(speed, "has_bfloat16", lambda there=there: there)
        here = speed.speed_of(CPU)
        assert low < here.training(coarse) / here.training(plain) < high
        assert seconds_of(here, coarse)[1] == seconds_of(here, plain)[1]


def test_speeds_are_those_of_the_trials_that_have_rows(tmp_path):
    trials = [trial_of(STDCNN, seed) for seed in range(3)]
    for trial in trials[:2]:
        write(tmp_path, trial, training=7.0, measuring=3.0)
    found = learned(tmp_path)
    assert seconds_of(found, trials[2]) == pytest.approx((7.0, 3.0))
    assert found.origin(STDCNN) == ("from 2 trials finished here", speed.LEARNED_FEW)


def test_training_stands_for_measuring_where_only_that_is_known(tmp_path):
    trial = trial_of(STDCNN)
    guessed = seconds_of(learned(tmp_path), trial)
    write(tmp_path, trial, training=5 * guessed[0])
    assert seconds_of(learned(tmp_path), trial) == pytest.approx([5 * part for part in guessed])


def test_a_slow_machine_is_slow_for_other_networks_too(tmp_path):
    one, other = trial_of(STDCNN), trial_of(GCNN)
    guessed = learned(tmp_path)
    first, second = seconds_of(guessed, one)
    write(tmp_path, one, training=5 * first, measuring=5 * second)
    found = learned(tmp_path)
    assert seconds_of(found, other) == pytest.approx([5 * x for x in seconds_of(guessed, other)])
    assert found.origin(GCNN)[0] == speed.GUESS


def test_a_machine_that_was_busy_for_a_while_is_not_slow(tmp_path):
    """Half of the trials ran beside other work and took four times as long."""
    for seed in range(10):
        write(tmp_path, trial_of(STDCNN, seed), training=400.0 if seed % 2 else 100.0)
    found = learned(tmp_path)
    assert found.training(trial_of(STDCNN)) == pytest.approx(100.0)
    assert found.origin(STDCNN)[1] == pytest.approx((0.8, 4.0))


def test_the_range_is_wide_when_little_is_known_and_narrow_later(tmp_path):
    write(tmp_path, trial_of(STDCNN, 0), training=100.0)
    assert learned(tmp_path).origin(STDCNN)[1] == speed.LEARNED_FEW
    for seed in range(11):
        write(tmp_path, trial_of(STDCNN, seed), training=100.0)
    assert learned(tmp_path).origin(STDCNN)[1] == speed.LEARNED


def test_rows_of_another_kind_of_device_do_not_count(tmp_path):
    write(tmp_path, trial_of(STDCNN), training=7.0, device="NVIDIA H100")
    assert learned(tmp_path).origin(STDCNN)[0] == speed.GUESS
    assert seconds_of(learned(tmp_path, GPU), trial_of(STDCNN))[0] == pytest.approx(7.0)


def test_rows_of_trials_that_the_plan_lacks_do_not_count(tmp_path):
    write(tmp_path, trial_of(STDCNN, 99), training=7.0)
    assert learned(tmp_path) == speed.speed_of(CPU)


def test_seconds_grow_with_the_pixels_of_an_image(monkeypatch):
    trial = Trial(model="stdcnn", data="mnist5k")
    probes = [Probe(attack="fgsm", eps=0.1).resolve(trial)]
    before = Speed().training(trial), Speed().measuring(trial, probes)
    entry = DATA["mnist5k"]
    doubled = entry.shape._replace(size=2 * entry.shape.size)
    monkeypatch.setitem(DATA, "mnist5k", entry._replace(shape=doubled))
    after = Speed().training(trial), Speed().measuring(trial, probes)
    assert after == pytest.approx([4 * seconds for seconds in before])
