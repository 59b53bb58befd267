import copy
import dataclasses
import logging
import math

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from rotgrid import attacks, models, spec, training
from rotgrid.cost import work
from rotgrid.data import pixels
from rotgrid.results import checkpoints, storage
from rotgrid.rotation import draw_angles, draw_shifts, rotate, transform
from rotgrid.spec import Trial
from rotgrid.spec.adversaries import ADVERSARIES
from rotgrid.spec.models import MODELS
from rotgrid.spec.recipes import RECIPES
from rotgrid.training import DivergedError, fit, optimizers, validation
from rotgrid.training.cuda_graph import stepper

from linear import Folding
from stored_rows import of_accuracies


def trained(trial, digits, checkpoint_in=None):
    net = models.build(trial.model, trial.variant, trial.seed)
    return net, fit(net, digits, trial, checkpoint_in)


def same_weights(one, other):
    a, b = one.state_dict(), other.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


def without_seconds(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


@pytest.mark.parametrize("model", ["stdcnn", "gcnn"])
def test_it_learns(model, digits):
    trial = Trial(model=model, data="mnist5k", recipe="fast", train_size=1_000, epochs=3)
    net, rows = trained(trial, digits)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["train_loss"] < 1.2 < rows[0]["train_loss"]
    assert rows[-1]["val_n_correct"] > 0.75 * rows[-1]["val_n"]
    assert rows[-1]["val_n"] == 500
    assert not net.training


def test_32_images_are_learned_by_heart(digits):
    trial = Trial(
        model="stdcnn", data="mnist5k", train_size=32, batch_size=8, epochs=60, learning_rate=0.05
    )
    _, rows = trained(trial, digits)
    assert rows[-1]["train_loss"] < 0.4


@pytest.mark.parametrize("adversary", ["none", "fgsm"])
def test_the_same_trial_gives_the_same_weights(adversary, quick_trial, digits):
    trial = quick_trial.model_copy(
        update={"adversary": adversary, "adversary_eps": 0.1, "train_size": 128}
    )
    (one, rows), (other, again) = trained(trial, digits), trained(trial, digits)
    assert same_weights(one, other)
    assert without_seconds(rows) == without_seconds(again)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"train_rotation": 31.0},
        {"train_translation": 1.0},
        {"interpolation": "nearest"},
        {"train_size": 299},
        {"batch_size": 32},
        {"learning_rate": 1e-3},
        {"train_steps": 9},
        {"precision": "bfloat16"},
        {"adversary": "fgsm", "adversary_eps": 0.1},
    ],
)
def test_every_setting_reaches_the_training(change, quick_trial, digits):
    changed = Trial(**{**quick_trial.model_dump(), **change})
    assert not same_weights(trained(quick_trial, digits)[0], trained(changed, digits)[0])


@pytest.fixture
def small_watch(monkeypatch):
    """A watch on 20 images: with its 100 it would be most of the work of a tiny training."""
    monkeypatch.setattr(validation, "watched_images", lambda *_: 20)


def test_every_adversary_gives_another_network(quick_trial, digits, small_watch):
    losses = set()
    for adversary in ADVERSARIES:
        change = {"adversary": adversary, "adversary_eps": 0.1, "train_size": 32}
        _, rows = trained(Trial(**{**quick_trial.model_dump(), **change}), digits)
        losses.add(rows[-1]["train_loss"])
    assert len(losses) == len(ADVERSARIES)


@pytest.mark.parametrize(
    ("model", "recipe", "adversary", "length"),
    [("gcnn", "paper", "none", {"epochs": 3}), ("gcnn", "fast", "none", {"epochs": 3})]
    + [("stdcnn", "fast", adversary, {"epochs": 3}) for adversary in [*ADVERSARIES][1:]]
    + [("stdcnn", "fast", "fgsm", {"train_steps": 5})],
)
def test_a_resumed_training_is_bit_identical(
    model, recipe, adversary, length, digits, tmp_path, monkeypatch, small_watch
):
    trial = Trial(
        model=model, data="mnist5k", recipe=recipe, train_size=64, train_rotation=30,
        adversary=adversary, adversary_eps=0.1, batch_size=32, **length,
    )  # fmt: skip
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    straight, rows = trained(trial, digits)
    real, calls = training.train_epoch, []

    def dies_in_the_third_epoch(*args):
        calls.append(args[5])
        if calls == [1, 2, 3]:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(training, "train_epoch", dies_in_the_third_epoch)
    with pytest.raises(KeyboardInterrupt):
        trained(trial, digits, tmp_path)
    resumed, resumed_rows = trained(trial, digits, tmp_path)
    assert calls == [1, 2, 3, 3]
    assert same_weights(straight, resumed)
    assert without_seconds(rows) == without_seconds(resumed_rows)


def test_a_network_that_builds_its_filters_in_evaluation_mode_is_resumed(
    quick_trial, digits, tmp_path, monkeypatch
):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    torch.manual_seed(0)
    straight = Folding()
    interrupted, resumed = copy.deepcopy(straight), copy.deepcopy(straight)
    fit(straight, digits, quick_trial)
    with pytest.raises(KeyboardInterrupt):
        fit(interrupted, digits, quick_trial, tmp_path, progress=interrupt)
    told = []
    fit(resumed, digits, quick_trial, tmp_path, progress=told.append)
    assert told == ["epoch 2 of 2"]
    assert same_weights(straight, copy.deepcopy(resumed))


@pytest.fixture
def checkpoint(quick_trial, digits, tmp_path, monkeypatch):
    """That of a training which ended in its second epoch of two."""
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        fit(models.build("stdcnn"), digits, quick_trial, tmp_path, progress=interrupt)
    (name,) = storage.names(tmp_path, "checkpoints", ".training.pt")
    return tmp_path / name


def interrupt(what):
    if what == "epoch 2 of 2":
        raise KeyboardInterrupt


def test_checkpoints_are_readable_with_weights_only(checkpoint):
    state = torch.load(checkpoint, weights_only=True)
    assert set(state) == {"model", "optimizer", "scheduler", "rows", "epoch"}


def test_checkpoints_are_written_by_time_and_not_after_the_last_epoch(
    digits, tmp_path, monkeypatch
):
    trial = Trial(model="stdcnn", data="mnist5k", train_size=32, epochs=6, recipe="fast")
    now, written = [0.0], []
    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])

    def put(root, name, data):
        written.append(len(checkpoints.parse(data).state["rows"]))

    def passes(what):
        now[0] += 25.0 if what != "epoch 1 of 6" else 0.0  # 25 s an epoch

    monkeypatch.setattr(storage, "put", put)
    fit(models.build("stdcnn"), digits, trial, tmp_path, progress=passes)
    assert written == [4]  # 75 s after the start, and then the time has been too short
    now, written[:] = [0.0], []
    fit(models.build("stdcnn"), digits, trial, tmp_path, until=300.0, progress=passes)
    assert written == [3, 5]  # every 30 s, a tenth of what is left


def other_training(state):
    state["model"] = models.build("z2cnn").state_dict()


def too_long(state):
    state["rows"] *= 3


@pytest.mark.parametrize(
    "change",
    [
        other_training,
        too_long,
        lambda state: state.pop("optimizer"),
        lambda state: state.update(optimizer={"state": {}, "param_groups": []}),
        lambda state: state.update(scheduler=3),
        lambda state: state["model"].update(
            {name: value.half() for name, value in state["model"].items()}
        ),
    ],
)
def test_a_checkpoint_of_another_training_is_reported_and_passed_over(
    change, checkpoint, quick_trial, digits, tmp_path, caplog
):
    state = checkpoints.parse(checkpoint.read_bytes()).state
    change(state)
    checkpoint.write_bytes(checkpoints.serialize(state))
    assert_trained_from_the_start(quick_trial, digits, tmp_path)
    assert f"{checkpoint.name}: damaged" in caplog.text


def test_zeros_in_a_checkpoint_are_reported_and_passed_over(
    checkpoint, quick_trial, digits, tmp_path, caplog
):
    data = checkpoint.read_bytes()
    checkpoint.write_bytes(data[:40_960] + bytes(32_768) + data[73_728:])
    assert_trained_from_the_start(quick_trial, digits, tmp_path)
    assert f"{checkpoint.name}: damaged" in caplog.text


def assert_trained_from_the_start(trial, digits, root):
    told = []
    resumed = models.build("stdcnn")
    rows = fit(resumed, digits, trial, root, progress=told.append)
    assert told == ["epoch 1 of 2", "epoch 2 of 2"]
    straight, expected = trained(trial, digits)
    assert same_weights(straight, resumed)
    assert without_seconds(rows) == without_seconds(expected)


def test_a_checkpoint_is_resumed_once(checkpoint, quick_trial, digits, tmp_path):
    told = []
    fit(models.build("stdcnn"), digits, quick_trial, tmp_path, progress=told.append)
    assert told == ["epoch 2 of 2"]


@pytest.mark.parametrize("rate", [1e6, 30.0])
def test_divergence_ends_the_training(rate, quick_trial, digits):
    wild = quick_trial.model_copy(update={"learning_rate": rate})
    with pytest.raises(DivergedError, match="mean training loss"):
        trained(wild, digits)


def test_nan_is_divergence(quick_trial, digits):
    class Nan(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, images):
            return images.flatten(1)[:, :10] * self.weight * torch.nan

    with pytest.raises(DivergedError, match="nan in epoch 1"):
        fit(Nan(), digits, quick_trial)


class Spied(nn.Module):
    """A network that keeps what it sees, apart by mode."""

    def __init__(self):
        super().__init__()
        self.net = models.build("stdcnn")
        self.seen = {True: [], False: []}

    def forward(self, images):
        self.seen[self.training].append(images.detach().clone())
        return self.net(images)


def shown(digits, adversary, **changes):
    """What a network sees in epoch 3 of 4, of two batches: in training, in evaluation mode."""
    fields = {
        "model": "stdcnn", "data": "mnist5k", "train_size": 64, "batch_size": 32, "epochs": 4,
        "train_rotation": 60.0, "adversary": adversary, "adversary_eps": 0.2, **changes,
    }  # fmt: skip
    trial = Trial(**fields)
    spy = Spied()
    optimizer, scheduler = optimizers.build(spy, trial)
    some = digits.train_images[:64], digits.train_labels[:64]
    step = stepper(spy, optimizer, trial)
    training.train_epoch(step, scheduler, *some, trial, 3)
    return spy.seen[True], spy.seen[False]


@pytest.mark.parametrize("adversary", [*ADVERSARIES][1:])
def test_images_are_turned_then_attacked_in_evaluation_mode(adversary, digits):
    """The perturbed images lie in the ball around the turned ones, and in the box."""
    clean, radii = shown(digits, "none")[0], [0.2, 0.2]
    if adversary == "cusp":  # the second batch begins after 62.5 % of the training
        turned = [shown(digits, "none", train_rotation=x)[0] for x in (40.0, 50.0)]
        clean, radii = [turned[0][0], turned[1][1]], [0.05, 0.1]
    trained_on, asked = shown(digits, adversary)
    assert asked
    if adversary == "fgsm-mix":
        parts = [batch.split(32) for batch in trained_on]
        assert all(torch.equal(x, first) for x, (first, _) in zip(clean, parts, strict=True))
        trained_on = [second for _, second in parts]
    if adversary == "trades":
        assert all(torch.equal(x, first) for x, first in zip(clean, trained_on[::2], strict=True))
        trained_on = trained_on[1::2]
    for x, perturbed, eps in zip(clean, trained_on, radii, strict=True):
        assert perturbed.amin() >= 0
        assert perturbed.amax() <= 1
        most = (perturbed - x).abs().amax()
        if adversary == "n-fgsm":  # noise of 2 eps before the step
            assert eps < most <= 3 * eps + 1e-5
        else:
            assert most == pytest.approx(eps, abs=1e-5)
    assert all(images.amin() >= 0 and images.amax() <= 1 for images in asked)


def test_adversarial_training_helps_against_pgd(digits, monkeypatch):
    """A perceptron, which learns in a second: 0.15 against 0.6 and more."""
    fewer = {"adversary_steps": 3, "adversary_step_size": 0.5, "adversary_warmup": 0.25}
    monkeypatch.setitem(RECIPES, "fast", RECIPES["fast"].model_copy(update=fewer))
    common = {"model": "stdcnn", "data": "mnist5k", "recipe": "fast", "train_size": 2_000}
    common |= {"epochs": 3, "batch_size": 16, "adversary_eps": 0.1}
    images, labels = pixels(digits.test_images[:200]), digits.test_labels[:200]
    robust = {}
    for adversary in ADVERSARIES:
        torch.manual_seed(0)
        layers = nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)
        net = nn.Sequential(nn.Flatten(), *layers)
        fit(net, digits, Trial(**common, adversary=adversary))
        settings = {"eps_grid": [0.1], "steps": 10, "step_size": 0.025}
        survived = attacks.sweep(net, images, labels, attack="pgd", **settings)
        robust[adversary] = survived.float().mean().item()
    undefended = robust.pop("none")
    assert min(robust.values()) > undefended + 0.3


@pytest.mark.parametrize("adversary", ["none", "fgsm", "cusp"])
def test_the_watch_counts_what_survives(adversary, quick_trial, digits):
    change = {"adversary": adversary, "adversary_eps": 0.05, "train_size": 64}
    trial = Trial(**{**quick_trial.model_dump(), **change})
    net, rows = trained(trial, digits)
    last = rows[-1]
    if adversary == "none":
        assert {(row["val_robust_n"], row["val_robust_n_correct"]) for row in rows} == {
            (None,) * 2
        }
        return
    assert {row["val_robust_n"] for row in rows} == {100}
    images, labels = validation.rotated_validation(digits, trial)
    again = validation.validate(net, images, labels, trial)
    assert again.items() <= last.items()
    harmless = validation.validate(
        net, images, labels, trial.model_copy(update={"adversary_eps": 0.0})
    )
    assert 0 < last["val_robust_n_correct"] <= harmless["val_robust_n_correct"]


def test_the_watch_is_no_part_of_the_training(quick_trial, digits, monkeypatch):
    change = {"adversary": "fgsm", "adversary_eps": 0.1, "train_size": 64}
    trial = Trial(**{**quick_trial.model_dump(), **change})
    watched_net, _ = trained(trial, digits)
    monkeypatch.setattr(training, "validate", lambda *_: of_accuracies([(1.0, 1.0)])[0])
    assert same_weights(watched_net, trained(trial, digits)[0])


def test_catastrophic_overfitting_is_logged_once(digits, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    rows = of_accuracies([(0.9, 0.6)] + 4 * [(0.98, 0.0)])
    left = rows[:4]
    monkeypatch.setattr(training, "validate", lambda *_: left.pop(0))
    monkeypatch.setattr(training, "train_epoch", lambda *_: 0.0)
    trial = Trial(model="stdcnn", data="mnist5k", epochs=5, adversary="fgsm")
    with caplog.at_level(logging.WARNING), pytest.raises(IndexError):  # nothing left in epoch 5
        trained(trial, digits, tmp_path)
    left.append(rows[4])
    trained(trial, digits, tmp_path)  # resumed
    (record,) = caplog.records
    assert record.name == "rotgrid.training"
    assert record.getMessage() == f"{trial.key()}: catastrophic overfitting in epoch 2"


class Flops(TorchDispatchMode):
    """Counts arithmetic; torch's own counter cannot be used around torch.autograd.grad."""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if count := flop_registry.get(function.overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_training_costs_what_the_plan_says(adversary, digits):
    """Arithmetic of `fit` where every image survives, the worst case that the plan assumes."""
    net = models.build("stdcnn")
    guessed = attacks.predicted(net, pixels(digits.val_images))
    easy = dataclasses.replace(digits, val_labels=guessed)
    found, planned = [], []
    for size in (64, 192):
        trial = Trial(
            model="stdcnn", data="mnist5k", recipe="fast", train_size=size, epochs=1,
            learning_rate=1e-12, adversary=adversary, adversary_eps=1e-6,
        )  # fmt: skip
        with Flops() as counter:
            fit(net, easy, trial)
        found.append(counter.total / 2 / MODELS["stdcnn"].variants["table1"])
        planned.append(work.training_work(trial).passes())
    assert found == pytest.approx(planned, rel=0.05)
    assert found[1] - found[0] == pytest.approx(planned[1] - planned[0], rel=0.05)


BY_STEPS = {"model": "stdcnn", "data": "mnist5k", "recipe": "fast", "train_size": 100}


@pytest.mark.parametrize("adversary", ["none", "fgsm", "cusp"])
def test_steps_of_whole_epochs_are_those_epochs(adversary, digits, small_watch):
    common = {**BY_STEPS, "batch_size": 40, "adversary": adversary, "train_rotation": 60}
    one, rows = trained(Trial(**common, epochs=3), digits)
    other, by_steps = trained(Trial(**common, train_steps=9), digits)
    assert same_weights(one, other)
    assert without_seconds(rows) == without_seconds(by_steps)


@pytest.mark.parametrize(("size", "steps"), [(100, 7), (100, 1), (3, 500), (40, 100), (41, 99)])
def test_a_training_has_the_steps_that_it_is_given(size, steps, digits, monkeypatch):
    """However many passes they are; a row for each tenth or epoch, the last one at the end."""
    taken = []
    real = training.stepper

    def counted(*args):
        step = real(*args)
        return lambda *batch: taken.append(len(batch[1])) or step(*batch)

    monkeypatch.setattr(training, "stepper", counted)
    trial = Trial(**{**BY_STEPS, "train_size": size, "batch_size": 40, "train_steps": steps})
    _, rows = trained(trial, digits)
    assert len(taken) == trial.steps() == steps
    epochs = [row["epoch"] for row in rows]
    assert epochs == sorted(set(epochs))
    assert epochs[-1] == math.ceil(trial.passes())
    assert len(rows) == min(10, epochs[-1])


def test_work_of_a_training_by_steps(digits):
    common = {**BY_STEPS, "batch_size": 20, "adversary": "fgsm"}
    by_epochs = work.training_work(Trial(**common, epochs=6))
    assert work.training_work(Trial(**common, train_steps=30)) == by_epochs
    many = work.training_work(Trial(**common, train_steps=1000))
    assert many.trained == 20_000
    assert many.forwards == 10 * (500 + 2 * 100)


class Noting(nn.Module):
    """A network that notes in which precision it computes."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(28 * 28, 10)
        self.seen = []

    def forward(self, images):
        logits = self.head(images.flatten(1))
        self.seen.append((self.training, logits.dtype))
        return logits


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_only_the_passes_of_training_are_lowered(adversary, quick_trial, digits, small_watch):
    change = {"precision": "bfloat16", "adversary": adversary, "adversary_eps": 0.1}
    trial = Trial(**{**quick_trial.model_dump(), **change, "train_size": 64, "batch_size": 32})
    net = Noting()
    (row,) = fit(net, digits, trial.model_copy(update={"epochs": 1}))
    in_training = {dtype for training, dtype in net.seen if training}
    elsewhere = {dtype for training, dtype in net.seen if not training}
    assert in_training == {torch.bfloat16}
    assert elsewhere == {torch.float32}
    assert net.head.weight.dtype == net.head.weight.grad.dtype == torch.float32
    assert math.isfinite(row["train_loss"])


def test_batches_are_the_same_however_many_are_turned_at_once(digits, monkeypatch):
    trial = Trial(model="stdcnn", data="mnist5k", train_rotation=90.0, adversary="cusp", epochs=1)
    images, labels = digits.train_images[:200], digits.train_labels[:200]
    monkeypatch.setattr(training, "batches_per_chunk", lambda *_: 1)
    one_by_one = list(training.batches(images, labels, trial, 1))
    assert [len(truth) for _, truth, _ in one_by_one] == [64, 64, 64, 8]
    monkeypatch.setattr(training, "batches_per_chunk", lambda *_: 2)
    at_once = list(training.batches(images, labels, trial, 1))
    for (image, truth, eps), other in zip(one_by_one, at_once, strict=True):
        assert torch.equal(truth, other[1])
        assert eps == other[2]
        torch.testing.assert_close(image, other[0])


def test_images_are_rotated_and_shifted_by_one_resampling(digits):
    """By draws that differ from epoch to epoch, and by image."""
    trial = Trial(
        model="stdcnn", data="mnist5k", train_rotation=90.0, train_translation=3.0, epochs=2
    )
    images, labels = digits.train_images[:100], digits.train_labels[:100]
    for epoch in (1, 2):
        found = torch.cat([batch for batch, *_ in training.batches(images, labels, trial, epoch)])
        order = torch.randperm(
            100,
            generator=torch.Generator().manual_seed(training.epoch_seed(trial, epoch, "order")),
        )
        angles = draw_angles(100, 90.0, "train", epoch=epoch)[order]
        shifts = draw_shifts(100, 3.0, "train", epoch=epoch)[order]
        torch.testing.assert_close(found, transform(pixels(images[order]), angles, shifts))
    assert shifts.abs().amax() > 2
    assert len(shifts.unique()) == 200


@pytest.mark.parametrize("rotation", [0.0, 90.0])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_without_shifts_images_are_rotated_bit_by_bit(rotation, interpolation, digits):
    trial = Trial(
        model="stdcnn", data="mnist5k", train_rotation=rotation, batch_size=50,
        interpolation=interpolation,
    )  # fmt: skip
    images, labels = digits.train_images[:100], digits.train_labels[:100]
    shuffle = torch.Generator().manual_seed(training.epoch_seed(trial, 1, "order"))
    order = torch.randperm(100, generator=shuffle)
    angles = draw_angles(100, rotation, "train", epoch=1)[order]
    found = torch.cat([batch for batch, *_ in training.batches(images, labels, trial, 1)])
    assert torch.equal(found, rotate(pixels(images[order]), angles, interpolation))


@pytest.mark.parametrize(
    ("n", "size", "expected"),
    [
        (200, 64, [64, 64, 64, 8]),
        (128, 64, [64, 64]),
        (130, 64, [64, 64, 2]),
        (129, 64, [64, 65]),
        (65, 64, [65]),
        (3, 2, [3]),
        (3, 1, [1, 1, 1]),
        (1, 64, [1]),
    ],
)
@pytest.mark.parametrize("at_once", [1, 64, 128, 1_000])
def test_an_image_left_over_joins_the_last_batch(n, size, expected, at_once, digits, monkeypatch):
    """All others are where they were, in the same order."""
    monkeypatch.setitem(training.ROTATION_CHUNK, "cpu", at_once)
    trial = Trial(
        model="stdcnn", data="mnist5k", train_size=n, batch_size=size, epochs=2, train_rotation=40,
        adversary="cusp", adversary_eps=0.1,
    )  # fmt: skip
    images, labels = digits.train_images[:n], digits.train_labels[:n]
    found = list(training.batches(images, labels, trial, 2))
    assert spec.batch_sizes(n, size) == [len(truth) for _, truth, _ in found] == expected
    order = torch.randperm(
        n, generator=torch.Generator().manual_seed(training.epoch_seed(trial, 2, "order"))
    )
    assert torch.equal(torch.cat([truth for _, truth, _ in found]), labels[order])
    turns = draw_angles(n, 1.0, "train", seed=0, epoch=2)[order]
    for at, (batch, _, eps) in zip(range(0, n, size), found, strict=False):
        now = training.stage(trial, 1 + at / n)
        part = slice(at, at + len(batch))
        turned = rotate(pixels(images[order[part]]), turns[part] * now.rotation, "bilinear")
        torch.testing.assert_close(batch, turned)
        assert eps == now.eps


@pytest.mark.parametrize("model", ["roteqnet", "stdcnn"])
def test_every_train_size_above_one_trains(model, digits):
    """With 65 images batch norm would have met one value per channel."""
    trial = Trial(model=model, data="mnist5k", recipe="fast", epochs=1, train_size=65)
    assert trial.batch_size == 64
    (row,) = trained(trial, digits)[1]
    assert math.isfinite(row["train_loss"])


def test_weights_that_are_not_finite_in_the_end_are_divergence(quick_trial, digits, monkeypatch):
    """The loss of the last epoch was that before its last step."""

    def last_step(step, *_):
        with torch.no_grad():
            next(net.parameters()).view(-1)[0] = torch.inf
        return 1.0

    net = models.build("stdcnn")
    monkeypatch.setattr(training, "train_epoch", last_step)
    monkeypatch.setattr(training, "validate", lambda *_: {})
    with pytest.raises(DivergedError, match="weights are not finite"):
        fit(net, digits, quick_trial)


def test_epoch_seeds_differ_by_seed_epoch_and_use():
    seeds = {
        training.epoch_seed(Trial(model="gcnn", seed=s), e, use)
        for s in range(3)
        for e in range(3)
        for use in ("dropout", "order", "adversary")
    }
    assert len(seeds) == 27
