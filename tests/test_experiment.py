import subprocess
import sys
import time

import pytest
import torch

import rotgrid
from rotgrid import cost, evaluation, experiment, models, training
from rotgrid.deadline import TimeLimitError
from rotgrid.results import checkpoints, failures, storage
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
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    for module, name, calls in (
        (training, "train_epoch", 1),
        (training, "train_epoch", 2),
        (storage, "_write", 1),  # the checkpoint
        (storage, "_write", 2),  # the weights
        (storage, "_write", 3),  # the rows of the training
        (storage, "_write", 4),  # the rows of the probes
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
        assert [p.name for p in (root / "checkpoints").iterdir()] == [f"{quick_trial.key()}.pt"]


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


class Trained:
    """Trainings that are each another network: drivers on unlike devices."""

    def __init__(self, meanwhile=lambda: None):
        self.meanwhile, self.count, self.fit = meanwhile, 0, experiment.fit

    def __call__(self, model, dataset, trial, *rest):
        self.count += 1
        mine, seed = self.count, trial.seed + 100 * self.count
        rows = self.fit(model, dataset, trial.model_copy(update={"seed": seed}), *rest)
        rows = [{**row, "train_loss": float(mine)} for row in rows]
        if mine == 1:
            self.meanwhile()
        return rows


def networks_of(root, trial, digits):
    """Which of the `Trained` networks the rows of the training are of, and whether all other rows
    are those of the stored weights."""
    losses = {row["train_loss"] for row in stored(root, "training")}
    net = rotgrid.load_network(root, trial.key())
    probes = [probe.resolve(trial) for probe in PROBES]
    again = [row for rows in evaluation.measure(net, digits, trial, probes) for row in rows]
    expected = {row["probe"]: row["correct"] for row in again}
    assert {row["probe"]: row["correct"] for row in stored(root)} == expected
    return losses


def test_all_rows_of_a_trial_come_from_one_network(quick_trial, tmp_path, monkeypatch, digits):
    """While one driver trains, another trains, stores and measures: the first stored stay."""

    def other_driver():
        experiment.run(quick_trial, PROBES[:2], tmp_path)

    monkeypatch.setattr(experiment, "fit", Trained(other_driver))
    assert experiment.run(quick_trial, PROBES, tmp_path) == 3
    assert networks_of(tmp_path, quick_trial, digits) == {2.0}


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_also_if_the_other_dies(quick_trial, tmp_path, monkeypatch, digits, calls):
    """Before or after each of its writes: the weights, the rows of the training, of the probes."""

    def other_driver():
        with monkeypatch.context() as patch:
            patch.setattr(storage, "_write", dies_after(calls, storage._write))
            with pytest.raises(KilledError):
                experiment.run(quick_trial, PROBES, tmp_path)

    monkeypatch.setattr(experiment, "fit", Trained(other_driver))
    assert experiment.run(quick_trial, PROBES, tmp_path) == 3
    assert networks_of(tmp_path, quick_trial, digits) == {1.0 if calls == 1 else 2.0}


def test_a_training_cut_short_before_its_rows_is_completed_by_the_next(
    quick_trial, tmp_path, monkeypatch, digits
):
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "fit", Trained())
        patch.setattr(storage, "_write", dies_after(2, storage._write))
        with pytest.raises(KilledError):
            experiment.run(quick_trial, PROBES, tmp_path)
    assert stored(tmp_path, "training") == []
    monkeypatch.setattr(experiment, "fit", None)
    experiment.run(quick_trial, PROBES, tmp_path)
    assert networks_of(tmp_path, quick_trial, digits) == {1.0}


def zeros(data, trial):
    at = 10 * 4096
    return data[:at] + bytes(8 * 4096) + data[at + 8 * 4096 :]


def of_another(model="stdcnn", **fields):
    """What a checkpoint of another trial holds."""

    def content(data, trial):
        other = models.build(model, seed=7)
        key = Trial(**{**trial.model_dump(), "seed": 7}).key()
        return checkpoints.serialize(other.state_dict(), {"key": key, **fields})

    return content


def changed(change):
    def content(data, trial):
        state = checkpoints.parse(data).state
        change(state)
        return checkpoints.serialize(state)

    return content


DAMAGES = {
    "zeros": zeros,
    "truncated": lambda data, _: data[: len(data) // 2],
    "one byte short": lambda data, _: data[:-1],
    "no header": lambda data, _: bytes(64) + data[64:],
    "one bit": lambda data, _: data[:50_000] + bytes([data[50_000] ^ 1]) + data[50_001:],
    "empty": lambda *_: b"",
    "text": lambda *_: b"hello",
    "another trial": of_another(),
    "another model": of_another("z2cnn"),
    "no dictionary": lambda *_: checkpoints.serialize([1.0]),
    "no tensors": lambda *_: checkpoints.serialize({"a": 1}),
    "another shape": changed(lambda state: state.update({next(iter(state)): torch.zeros(3)})),
    "another type": changed(
        lambda state: state.update({name: value.double() for name, value in state.items()})
    ),
    "not finite": changed(lambda state: next(iter(state.values())).view(-1)[0].fill_(torch.nan)),
    "less": changed(lambda state: state.popitem()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_are_reported_and_trained_again(damage, quick_trial, tmp_path, caplog):
    experiment.run(quick_trial, PROBES[:1], tmp_path)
    path = tmp_path / f"checkpoints/{quick_trial.key()}.pt"
    good = path.read_bytes()
    before = checkpoints.parse(good).state
    path.write_bytes(DAMAGES[damage](good, quick_trial))
    with pytest.raises(ValueError, match=f"{path.name} is damaged"):
        rotgrid.load_network(tmp_path, quick_trial.key())
    assert experiment.run(quick_trial, PROBES, tmp_path) == 2
    assert f"checkpoints/{path.name}: damaged, so what it held is computed again" in caplog.text
    after = checkpoints.parse(path.read_bytes()).state
    assert all(torch.equal(before[name], after[name]) for name in before)
    experiment.run(quick_trial, PROBES, tmp_path / "straight")
    for table in ("evaluations", "training"):
        assert stored(tmp_path, table) == stored(tmp_path / "straight", table)


def test_weights_without_notes_are_those_of_earlier_versions(quick_trial, tmp_path, monkeypatch):
    experiment.run(quick_trial, PROBES[:1], tmp_path)
    path = tmp_path / f"checkpoints/{quick_trial.key()}.pt"
    torch.save(torch.load(path, weights_only=True), path)
    (tmp_path / f"training/{quick_trial.key()}.parquet").unlink()
    monkeypatch.setattr(experiment, "fit", None)
    assert experiment.run(quick_trial, PROBES, tmp_path) == 2
    assert stored(tmp_path, "training") == []


def test_an_outage_is_no_damage(quick_trial, tmp_path, monkeypatch):
    experiment.run(quick_trial, PROBES[:1], tmp_path)

    def unreachable(*_):
        raise storage.StoreError("connection reset")

    monkeypatch.setattr(experiment, "fit", None)
    monkeypatch.setattr(storage, "get", unreachable)
    with pytest.raises(storage.StoreError, match="connection reset"):
        experiment.run(quick_trial, PROBES, tmp_path)


def test_a_network_is_loaded_by_its_key(quick_trial, tmp_path, digits):
    with pytest.raises(LookupError, match=r"0 trained networks have a key abc\.\.\."):
        rotgrid.load_network(tmp_path, "abc")
    experiment.run(quick_trial, PROBES[:1], tmp_path)
    net = rotgrid.load_network(tmp_path, quick_trial.key()[:6])
    assert not net.training
    (row,) = stored(tmp_path)
    rows = next(evaluation.measure(net, digits, quick_trial, [PROBES[0].resolve(quick_trial)]))
    assert rows[0]["correct"] == row["correct"]
    storage.put(tmp_path, "checkpoints/0.training.pt", b"")
    storage.put(tmp_path, "checkpoints/0.pt", b"")
    with pytest.raises(LookupError, match="2 trained networks"):
        rotgrid.load_network(tmp_path, "")
    with pytest.raises(LookupError, match="no rows of trial 0"):
        rotgrid.load_network(tmp_path, "0")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rotgrid.nothing  # noqa: B018


def refuses(function, what):
    """The sweep, which cannot do some eps of an attack."""

    def sweep(*args, attack, eps_grid, **settings):
        if attack == what[0] and what[1] in eps_grid:
            raise what[2]
        return function(*args, attack=attack, eps_grid=eps_grid, **settings)

    return sweep


def test_a_probe_that_fails_costs_its_own_rows(quick_trial, tmp_path, monkeypatch):
    more = [*PROBES, Probe(attack="pgd", eps=0.1, steps=1, n_images=50)]
    with monkeypatch.context() as patch:
        error = UnboundLocalError("no found")
        patch.setattr(evaluation, "sweep", refuses(evaluation.sweep, ("fgsm", 0.2, error)))
        with pytest.raises(experiment.ProbeError) as found:
            experiment.run(quick_trial, more, tmp_path)
    key = PROBES[2].resolve(quick_trial).key()
    assert str(found.value) == f"attack fgsm (probe {key}): UnboundLocalError: no found"
    assert found.value.__cause__ is error
    assert {row["probe"] for row in stored(tmp_path)} == {
        probe.resolve(quick_trial).key() for probe in more if probe is not PROBES[2]
    }
    assert experiment.run(quick_trial, more, tmp_path) == 1
    experiment.run(quick_trial, more, tmp_path / "straight")
    assert stored(tmp_path) == stored(tmp_path / "straight")


@pytest.mark.parametrize(
    "error", [storage.StoreError("reset"), TimeLimitError("late"), failures.MachineError("no GPU")]
)
def test_what_is_not_the_probe_s_ends_the_measuring(quick_trial, tmp_path, monkeypatch, error):
    """What was measured before is stored."""
    monkeypatch.setattr(evaluation, "sweep", refuses(evaluation.sweep, ("fgsm", 0.2, error)))
    with pytest.raises(type(error), match=str(error)):
        experiment.run(quick_trial, PROBES, tmp_path)
    assert [row["attack"] for row in stored(tmp_path)] == ["none"]


def test_many_probes_that_fail_are_told_in_a_line(quick_trial):
    probes = [Probe(attack="fgsm", eps=i / 10).resolve(quick_trial) for i in range(5)]
    failed = {probe: ValueError("x") for probe in probes}
    failed[Probe().resolve(quick_trial)] = KeyError("y")
    keys = ", ".join(probe.key() for probe in probes[:3])
    first, second = experiment.describe_failures(failed).split("; ")
    assert first == f"attack fgsm (probe {keys}, ... (5)): ValueError: x"
    assert second.endswith("KeyError: 'y'")


def test_it_tells_what_it_is_at(quick_trial, tmp_path):
    told = []
    experiment.run(quick_trial, PROBES, tmp_path, progress=told.append)
    assert told == ["epoch 1 of 2", "epoch 2 of 2", "attack none", "attack fgsm"]


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
