import subprocess
import sys
import time

import pytest
import torch

from rotgrid import cost, evaluation, experiment, models, storage, training
from rotgrid.deadline import TimeLimitError
from rotgrid.spec import Probe, Trial

from stored_rows import stored

PROBES = [Probe(n_images=50), *(Probe(attack="fgsm", eps=e, n_images=50) for e in (0.1, 0.2))]


def test_a_trial_is_trained_measured_and_stored(quick_trial, tmp_path):
    assert experiment.run(quick_trial, PROBES, tmp_path) == 3
    rows = stored(tmp_path)
    assert {row["probe"] for row in rows} == {p.resolve(quick_trial).key() for p in PROBES}
    for row in rows:
        assert row["trial"] == quick_trial.key()
        assert {k: row[k] for k in Trial.model_fields} == quick_trial.model_dump()
        assert row["parameters"] == 23_010
        assert row["device"] == "cpu"
        assert row["torch_version"] == torch.__version__
    assert [row["epoch"] for row in stored(tmp_path, "training")] == [1, 2]
    state = torch.load(tmp_path / f"checkpoints/{quick_trial.key()}.pt", weights_only=True)
    models.build("stdcnn").load_state_dict(state)
    assert storage.names(tmp_path, "checkpoints", ".training.pt") == []


def test_errors_of_layers_have_a_table_of_their_own(quick_trial, tmp_path):
    turns = [Probe(attack="equivariance", test_rotation=x, n_images=30) for x in (90, 45)]
    assert experiment.run(quick_trial, [*PROBES, *turns], tmp_path) == 5
    evaluations = {row["probe"]: row for row in stored(tmp_path)}
    layers = stored(tmp_path, "equivariance")
    for probe in turns:
        key = probe.resolve(quick_trial).key()
        assert evaluations[key]["attack"] == "equivariance"
        found = sorted((row for row in layers if row["probe"] == key), key=lambda r: r["position"])
        assert [row["position"] for row in found] == [1, 2, 3, 4, 5]
        assert found[-1]["layer"] == "logits"
        assert {row["degrees"] for row in found} == {probe.test_rotation}
        assert all(row["error"] > 0.05 for row in found)
        assert {row["n"] for row in found} == {30}
    assert len(layers) == 10


def test_a_second_run_does_nothing(quick_trial, tmp_path, monkeypatch):
    experiment.run(quick_trial, PROBES, tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.p*")}
    monkeypatch.setattr(experiment, "fit", None)
    monkeypatch.setattr(experiment, "measure", None)
    assert experiment.run(quick_trial, PROBES, tmp_path) == 0
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.p*")} == before


def test_a_new_probe_trains_nothing(quick_trial, tmp_path, monkeypatch):
    experiment.run(quick_trial, PROBES, tmp_path)
    monkeypatch.setattr(experiment, "fit", None)
    more = [*PROBES, Probe(attack="fgsm", eps=0.15, n_images=50)]
    assert experiment.run(quick_trial, more, tmp_path) == 1
    with pytest.raises(TypeError, match="not callable"):  # it would have trained here
        experiment.run(quick_trial, more, tmp_path / "elsewhere")


def test_rows_added_later_equal_rows_made_at_once(quick_trial, tmp_path):
    experiment.run(quick_trial, PROBES[:1], tmp_path / "later")
    experiment.run(quick_trial, PROBES, tmp_path / "later")
    experiment.run(quick_trial, PROBES, tmp_path / "once")
    assert stored(tmp_path / "later") == stored(tmp_path / "once")


class KilledError(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def dies_after(calls, function):
    """The function, dying at its n-th call."""
    count = 0

    def wrapped(*args, **kwargs):
        nonlocal count
        count += 1
        if count == calls:
            raise KilledError
        return function(*args, **kwargs)

    return wrapped


def test_rows_survive_death_at_any_step(quick_trial, tmp_path, monkeypatch):
    experiment.run(quick_trial, PROBES, tmp_path / "straight")
    for module, name, calls in (
        (training, "train_epoch", 1),
        (training, "train_epoch", 2),
        (storage, "put", 1),  # the first checkpoint
        (storage, "put", 3),  # the rows of the training
        (storage, "put", 4),  # the weights
        (storage, "put", 5),  # the rows of the probes
        (evaluation, "sweep", 1),
        (evaluation, "sweep", 2),
    ):
        root = tmp_path / f"{name}{calls}"
        with monkeypatch.context() as patch:
            patch.setattr(module, name, dies_after(calls, getattr(module, name)))
            with pytest.raises(KilledError):
                experiment.run(quick_trial, PROBES, root)
        experiment.run(quick_trial, PROBES, root)
        for table in ("evaluations", "training"):
            assert stored(root, table) == stored(tmp_path / "straight", table)


def test_long_probing_is_stored_as_it_goes(quick_trial, tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "PORTION_SECONDS", 0.0)
    monkeypatch.setattr(evaluation, "sweep", dies_after(2, evaluation.sweep))
    with pytest.raises(KilledError):
        experiment.run(quick_trial, PROBES, tmp_path)
    assert len(stored(tmp_path)) == 1
    assert experiment.run(quick_trial, PROBES, tmp_path) == 2
    straight = tmp_path / "straight"
    experiment.run(quick_trial, PROBES, straight)
    assert storage.names(tmp_path, "evaluations", "") == storage.names(straight, "evaluations", "")


def test_process_state_is_set_for_each_trial():
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.set_num_threads(2)
    assert experiment.prepare(1, 0.0) == torch.device("cpu")
    assert torch.get_num_threads() == 1
    assert not torch.backends.cuda.matmul.allow_tf32


def test_a_gpu_that_is_not_there_is_an_error_with_a_reason(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="asks for a GPU and torch sees none"):
        experiment.prepare(1, 0.5)


def test_shares_of_a_gpu_leave_room_for_what_torch_does_not_count():
    for gigabytes in (8, 24, 80):
        for k in (2, 4, 8):
            total = gigabytes << 30
            fraction = experiment.memory_fraction(1 / k, total)
            assert 1 / (2 * k) <= fraction < 1 / k
            left = total * (1 - k * fraction)
            assert left >= min(k * experiment.CONTEXT_BYTES, total / 2) * 0.999


def test_no_time_left_is_an_error_between_batches_and_sweeps(quick_trial, tmp_path):
    past = time.monotonic() - 1
    with pytest.raises(TimeLimitError, match="time limit reached in epoch 1"):
        experiment.run(quick_trial, PROBES, tmp_path, until=past)
    assert experiment.run(quick_trial, [], tmp_path, until=past + 3600) == 0
    with pytest.raises(TimeLimitError, match="time limit reached in attack none"):
        experiment.run(quick_trial, PROBES, tmp_path, until=past)
    assert experiment.run(quick_trial, PROBES, tmp_path, until=past + 3600) == 3


def test_death_in_the_middle_of_writing_a_part_loses_nothing(quick_trial, tmp_path):
    """The process ends, as by SIGKILL, when the part is written but not yet in place."""
    code = f"""
import os
from rotgrid import experiment
from rotgrid.spec import Probe, Trial

replace = os.replace
os.replace = lambda a, b: os._exit(9) if "evaluations" in str(b) else replace(a, b)
experiment.run(Trial(**{quick_trial.model_dump()!r}), [Probe(n_images=50)], {str(tmp_path)!r})
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert [p.suffix for p in (tmp_path / "evaluations").iterdir()] == [".tmp"]
    assert stored(tmp_path) == []
    assert experiment.run(quick_trial, [Probe(n_images=50)], tmp_path) == 1
    assert len(stored(tmp_path)) == 1


def test_freed_memory_is_kept():
    code = """
import resource, torch
from rotgrid.experiment import prepare
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
prepare(1, 0)
torch.ones(4 << 20)
before = faults()
for _ in range(10):
    torch.ones(4 << 20)
print(faults() - before)
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < 3 * 4096  # each time anew would be 10 * 4,096 pages
