import pytest
import torch
from torch import nn

from rotgrid import data, models
from rotgrid.evaluation import gradient_masking
from rotgrid.evaluation.gradient_masking import AFTER_TRAINING, CHECKS, LIMITS, Check

from trained import briefly


@pytest.fixture(scope="module")
def case(digits):
    """A small network after a little training, and some test images."""
    torch.manual_seed(0)
    net = briefly(models.build("gcnn", "matched-table1"), digits, images=1_280, rate=5e-3)
    return net.train(), data.pixels(digits.test_images[:40]), digits.test_labels[:40]


class Saturated(nn.Module):
    """Logits so large that cross-entropy has no gradient."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        return self.net(images) * 1e4


class Quantised(Saturated):
    """Pixels rounded to black and white: no gradient reaches them."""

    def forward(self, images):
        return self.net(images.round())


class Randomised(Saturated):
    """Noise at every pass."""

    def forward(self, images):
        return self.net(images + 0.1 * torch.rand_like(images))


def checked(net, case, monkeypatch, eps=0.1, **settings):
    monkeypatch.setattr(gradient_masking, "QUERIES", 200)
    monkeypatch.setattr(gradient_masking, "DRAWS", 5)
    found = gradient_masking.measure(net, case[1], case[2], eps=eps, **{"steps": 20} | settings)
    return {check.check: check for check in found.checks}, found.survived


def test_an_ordinary_network_passes_what_has_to_do_with_masking(case, monkeypatch):
    checks, survived = checked(case[0], case, monkeypatch)
    assert list(checks) == list(CHECKS)
    for name in ("repeat", "float64", "zero-gradient", "large-eps", "noise-not-gradients"):
        assert checks[name].passed, checks[name]
    assert checks["square-not-gradients"].passed
    assert survived.shape == (40,)


def test_saturated_logits_are_caught(case, monkeypatch):
    checks, survived = checked(Saturated(case[0]), case, monkeypatch)
    assert not checks["zero-gradient"].passed
    assert not checks["margin-not-ce"].passed
    _, truth = checked(case[0], case, monkeypatch)
    assert survived.sum() <= truth.sum() + 4  # the rest of the apparent robustness is gone
    assert checks["margin-not-ce"].value > 0.1


def test_quantised_pixels_are_caught(case, monkeypatch):
    checks, _ = checked(Quantised(case[0]), case, monkeypatch, eps=0.6)
    assert checks["zero-gradient"].value == 1
    assert not checks["zero-gradient"].passed
    assert not checks["square-not-gradients"].passed
    assert not checks["large-eps"].passed


def test_a_random_network_is_caught(case, monkeypatch):
    checks, _ = checked(Randomised(case[0]), case, monkeypatch)
    assert not checks["repeat"].passed


def test_limits_are_known_for_every_check():
    assert LIMITS.keys() == CHECKS.keys() >= AFTER_TRAINING.keys()
    assert Check("repeat", 0.1, 0.1).passed
    assert not Check("repeat", float("nan"), 0.1).passed


def test_the_network_is_left_as_it_was(case, monkeypatch):
    net = case[0].train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    checked(net, case, monkeypatch, steps=2)
    assert net.training
    assert net.conv1._kept is None
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
