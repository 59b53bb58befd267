import pytest
import torch
from torch import nn

from rotgrid import attacks, evaluation, models
from rotgrid.attacks import linf
from rotgrid.attacks.boundary import estimated_distances
from rotgrid.attacks.fmn import distances
from rotgrid.attacks.linf import attack_batch, in_batches
from rotgrid.evaluation import gradient_masking
from rotgrid.spec import Probe, Trial
from rotgrid.spec.attacks import ATTACKS


class Cramped(nn.Module):
    """A network on a GPU whose memory holds so many images, and that notes how many were there."""

    def __init__(self, net, most):
        super().__init__()
        self.net, self.most, self.asked = net, most, []

    def forward(self, images):
        self.asked.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.net(images)


def test_a_share_of_a_gpu_has_a_share_of_the_attack_batch(monkeypatch):
    assert attack_batch(torch.device("cpu")) == 250
    for share, batch in ((1.0, 1_000), (0.25, 250), (0.2434, 243), (0.0001, 1)):
        monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda _, x=share: x)
        assert attack_batch(torch.device("cuda:0")) == batch


def test_batches_are_halved_until_they_fit():
    asked = []

    def work(at):
        asked.append(len(at))
        if len(at) > 40:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 2 * at

    at = torch.arange(100)
    assert torch.equal(in_batches(work, at, torch.long), 2 * at)
    assert asked == [100, 50, 25, 25, 25, 25]
    assert in_batches(work, at[:0], torch.bool).dtype == torch.bool


def test_an_image_that_does_not_fit_is_an_error(trained, test_set):
    with pytest.raises(torch.OutOfMemoryError):
        attacks.sweep(Cramped(trained, 0), *test_set, attack="pgd", eps_grid=[0.1])


def test_other_errors_are_not_tried_again():
    def work(at):
        asked.append(len(at))
        raise RuntimeError("boom")

    asked = []
    with pytest.raises(RuntimeError, match="boom"):
        in_batches(work, torch.arange(9), torch.long)
    assert asked == [9]


TRIAL = Trial(model="stdcnn", data="mnist5k")
ROUNDING = 1e-6
"""In pixel units: some processors add up a batch of another size in another order."""


def rows(net, digits, probes):
    found = evaluation.measure(net, digits, TRIAL, probes, lambda name: models.build(name))
    every = [row for part in found for row in part]
    distances = [distance for row in every for distance in row["distances"] or []]
    return {row["probe"]: row["correct"] for row in every}, distances


@pytest.mark.parametrize("attack", sorted({*ATTACKS} - {"equivariance"}))
def test_rows_of_every_attack_are_the_same_where_memory_is_short(
    trained, digits, attack, monkeypatch
):
    """But for a batch of checks that compares 64 images with themselves."""
    monkeypatch.setattr(gradient_masking, "QUERIES", 10)
    monkeypatch.setattr(gradient_masking, "DRAWS", 1)
    monkeypatch.setattr(gradient_masking, "SOME", 16)
    source = {"source": "stdcnn"} if attack == "transfer" else {}
    probes = [
        Probe(
            attack=attack, eps=eps, steps=3, restarts=2, n_images=50, test_rotation=4.0,
            label_rule=rule, **source,
        ).resolve(TRIAL)
        for eps in (0.05, 0.1)
        for rule in ATTACKS[attack].label_rules
    ]  # fmt: skip
    cramped = Cramped(trained, 16)
    correct, distances = rows(cramped, digits, probes)
    expected_correct, expected_distances = rows(trained, digits, probes)
    assert correct == expected_correct
    assert distances == pytest.approx(expected_distances, abs=ROUNDING)
    assert max(cramped.asked) > 16


def test_what_is_asked_alone_fits_too(trained, test_set):
    cramped = Cramped(trained, 16)
    for found in (estimated_distances, distances):
        in_parts, at_once = found(cramped, *test_set), found(trained, *test_set)
        assert torch.allclose(in_parts, at_once, rtol=0, atol=ROUNDING)
    assert torch.equal(
        attacks.predicted(cramped, test_set[0]), attacks.predicted(trained, test_set[0])
    )


@pytest.mark.parametrize("batch", [7, 60])
def test_the_attack_batch_changes_no_distance(trained, test_set, batch, monkeypatch):
    whole = distances(trained, *test_set, steps=5)
    monkeypatch.setitem(linf.ATTACK_BATCH, "cpu", batch)
    assert torch.allclose(distances(trained, *test_set, steps=5), whole, rtol=0, atol=ROUNDING)
