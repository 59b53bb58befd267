import math

import pytest
import torch
from torch import nn

from rotgrid import models
from rotgrid.evaluation import equivariance
from rotgrid.rotation import rotate


class OneLayer(nn.Module):
    """A layer and a linear head; `maps` are compared as they are."""

    invariants = {"maps": nn.Identity()}  # noqa: RUF012

    def __init__(self, layer):
        super().__init__()
        self.maps = layer
        self.head = nn.Linear(28 * 28, 10)

    def forward(self, images):
        return self.head(self.maps(images).flatten(1))


class Shift(nn.Module):
    def forward(self, images):
        return images.roll(3, -1)


@pytest.fixture(scope="module")
def images(digits):
    return digits.test_images[:40].float() / 255


@pytest.mark.parametrize("degrees", [15, 45, 90, 180])
def test_what_only_passes_the_image_on_is_equivariant(images, degrees):
    found = equivariance.measure(OneLayer(nn.Identity()), images, degrees)
    assert found.errors["maps"] == 0
    assert found.errors["logits"] > 0.1  # the head reads positions


@pytest.mark.parametrize("degrees", [15, 45, 90, 180])
def test_a_shift_is_not_equivariant(images, degrees):
    assert equivariance.measure(OneLayer(Shift()), images, degrees).errors["maps"] > 0.2


def test_no_turn_changes_nothing(images):
    found = equivariance.measure(models.build("stdcnn"), images, 0)
    assert set(found.errors.values()) == {0.0}
    assert found.unchanged.all()


def test_unrelated_maps_have_an_error_of_about_the_root_of_two():
    sums = equivariance.Sums()
    for _ in range(3):
        sums.add(torch.randn(50, 4, 90) + 7, torch.randn(50, 4, 90) + 7)
    assert sums.error() == pytest.approx(math.sqrt(2), rel=0.05)


def test_the_error_is_relative_and_blind_to_an_offset(images):
    class Scaled(nn.Module):
        def forward(self, x):
            return 50 * x.roll(1, -1) + 1_000

    class Plain(nn.Module):
        def forward(self, x):
            return x.roll(1, -1)

    one, other = (
        equivariance.measure(OneLayer(layer).double(), images.double(), 90).errors["maps"]
        for layer in (Scaled(), Plain())
    )
    assert one == pytest.approx(other)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_p4_convolutions_are_equivariant_at_quarter_turns_and_plain_ones_are_not(images, degrees):
    ours = equivariance.measure(models.build("gcnn"), images, degrees).errors
    plain = equivariance.measure(models.build("stdcnn"), images, degrees).errors
    assert list(ours) == ["conv1", "conv2", "conv3", "conv4", "logits"]
    assert all(ours[layer] < 1e-5 for layer in list(ours)[:-1])
    assert ours["logits"] > 0.1  # FC(50) reads orientation and position
    assert all(error > 0.1 for error in plain.values())


def test_p4_convolutions_are_not_equivariant_in_between(images):
    found = equivariance.measure(models.build("gcnn"), images, 45).errors
    assert all(error > 0.05 for error in found.values())


def test_classes_are_compared_image_by_image(images):
    net = models.build("stdcnn").eval()
    found = equivariance.measure(net, images, 30)
    with torch.no_grad():
        expected = net(images).argmax(1) == net(rotate(images, 30)).argmax(1)
    assert torch.equal(found.unchanged, expected)
    assert 0 < expected.sum() <= 40


def test_batches_do_not_matter_and_the_model_is_left_as_it_was(images, monkeypatch):
    net = models.build("gcnn").train()
    whole = equivariance.measure(net, images, 30)
    monkeypatch.setattr(equivariance, "BATCH", 7)
    parts = equivariance.measure(net, images, 30)
    assert parts.errors == pytest.approx(whole.errors, rel=1e-4)
    assert torch.equal(parts.unchanged, whole.unchanged)
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    assert not any(m._forward_hooks for m in net.modules())


def test_logits_of_a_single_image_have_no_deviation(images):
    errors = equivariance.measure(models.build("stdcnn"), images[:1], 90).errors
    assert errors["logits"] == math.inf
    assert math.isfinite(errors["features.1"])


def test_only_the_disc_inside_is_compared():
    inside = equivariance.disc(9)
    assert torch.equal(inside, inside.rot90())
    assert not inside[0, 0]
    assert inside[4, 0]
    assert equivariance.disc(1).all()
