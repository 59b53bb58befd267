import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from rotgrid import models
from rotgrid.attacks.starts import normal_noise, uniform_offsets
from rotgrid.attacks.threats import LINF
from rotgrid.data import pixels
from rotgrid.spec import Trial
from rotgrid.spec.adversaries import ADVERSARIES
from rotgrid.spec.models import MODELS
from rotgrid.training import adversarial, losses

EPS = 0.1


class Linear(nn.Module):
    """Two classes by a hyperplane: logits (0, w.x)."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(784))

    def forward(self, images):
        score = images.flatten(1) @ self.w
        return torch.stack([torch.zeros_like(score), score], 1)


@pytest.fixture
def batch(digits):
    return pixels(digits.train_images[:20]), digits.train_labels[:20]


def generator():
    return torch.Generator().manual_seed(0)


def offsets(images):
    return uniform_offsets(images, generator())


def divergent(net, images, labels, **settings):
    settings = {"eps": EPS, "steps": 4, "step_size": EPS / 3, **settings}
    noise = normal_noise(images, generator())
    return adversarial.most_divergent(net, images, labels, noise=noise, **settings)


def perturbed(net, images, labels, trial, eps):
    drawn = adversarial.draw(trial, images, generator())
    return adversarial.perturbed(net, images, labels, trial, eps, drawn)


@pytest.mark.parametrize("adversary", ["fgsm", "fgsm-mix", "fgsm-rs", "pgd", "trades", "cusp"])
@pytest.mark.parametrize("eps", [0.0, EPS])
def test_perturbed_images_lie_in_the_ball_and_the_box(adversary, eps, batch):
    images, labels = batch
    trial = Trial(model="stdcnn", recipe="fast", adversary=adversary)
    net = models.build("stdcnn").train()
    moved = perturbed(net, images, labels, trial, eps)
    assert moved.amin() >= 0
    assert moved.amax() <= 1
    assert (moved - images).abs().amax() == pytest.approx(eps, abs=1e-6)
    assert net.training
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_no_adversary_changes_nothing(batch):
    trial = Trial(model="stdcnn")
    assert perturbed(nn.Identity(), *batch, trial, 0.0) is batch[0]


def test_the_random_step_has_the_length_of_wong_et_al():
    """On a linear model: a step of 1.25 eps from U(-eps, eps), cut off at eps."""
    net, images = Linear(), torch.full((50, 1, 28, 28), 0.5)
    labels = torch.zeros(50, dtype=torch.long)  # the loss grows along w
    moved = adversarial.fgsm_from_random(net, images, labels, eps=EPS, offsets=offsets(images))
    along = ((moved - images) * net.w.detach().sign().view(1, 1, 28, 28)) / EPS
    assert along.amin().item() == pytest.approx(0.25, abs=1e-3)
    at_the_edge = (along > 1 - 1e-4).float().mean().item()
    assert at_the_edge == pytest.approx(0.625, abs=0.01)  # where the start is above -0.25
    assert along[along < 1 - 1e-4].mean().item() == pytest.approx((0.25 + 1) / 2, abs=0.01)


def test_noise_and_step_have_the_lengths_of_de_jorge_et_al():
    """On a linear model: U(-2 eps, 2 eps) and a step of eps, and nothing is cut off."""
    net, images = Linear(), torch.full((50, 1, 28, 28), 0.5)
    labels = torch.zeros(50, dtype=torch.long)  # the loss grows along w
    moved = adversarial.fgsm_from_noise(net, images, labels, eps=0.1, offsets=offsets(images))
    along = ((moved - images) * net.w.detach().sign().view(1, 1, 28, 28)) / 0.1
    assert along.amin().item() == pytest.approx(-1.0, abs=1e-3)
    assert along.amax().item() == pytest.approx(3.0, abs=1e-3)
    assert along.mean().item() == pytest.approx(1.0, abs=0.02)
    assert along.var().item() == pytest.approx(16 / 12, rel=0.02)  # of a uniform of width 4


def test_noise_leaves_the_ball_and_not_the_box(batch):
    images, labels = batch
    net = models.build("stdcnn").train()
    moved = adversarial.fgsm_from_noise(net, images, labels, eps=EPS, offsets=offsets(images))
    assert moved.amin() >= 0
    assert moved.amax() <= 1
    assert EPS < (moved - images).abs().amax() <= 3 * EPS + 1e-6
    assert net.training


def test_the_random_start_stays_in_the_box(monkeypatch):
    seen = []
    real = adversarial.unchecked_gradient
    monkeypatch.setattr(
        adversarial, "unchecked_gradient", lambda *args: seen.append(args[1]) or real(*args)
    )
    images = torch.cat([torch.zeros(4, 1, 28, 28), torch.ones(4, 1, 28, 28)])
    labels = torch.zeros(8, dtype=torch.long)
    adversarial.fgsm_from_random(Linear(), images, labels, eps=EPS, offsets=offsets(images))
    (start,) = seen
    assert start.amin() == 0
    assert start.amax() == 1
    assert 0.4 < (start != images).float().mean() < 0.6  # half of U(-eps, eps) points inward


def test_divergence_is_that_of_kullback_and_leibler():
    clean, other = torch.randn(5, 10), torch.randn(5, 10)
    p, q = clean.softmax(1), other.softmax(1)
    found = adversarial.divergence(clean, other)
    torch.testing.assert_close(found, (p * (p / q).log()).sum())
    assert adversarial.divergence(clean, clean) == pytest.approx(0.0, abs=1e-6)


def test_the_divergent_start_is_small_noise_with_a_gradient(batch):
    images, labels = batch
    net = models.build("stdcnn").eval()
    start = divergent(net, images, labels, steps=0)
    inner = (images > 0.01) & (images < 0.99)
    assert (start - images)[inner].std().item() == pytest.approx(0.001, rel=0.05)
    assert (start - images)[inner].mean().abs() < 1e-4

    def gradient(at):
        leaf = at.clone().requires_grad_()
        return torch.autograd.grad(adversarial.divergence(net(images), net(leaf)), leaf)[0]

    assert gradient(start).abs().mean() > 100 * gradient(images).abs().mean()


def test_the_divergence_grows_with_the_steps(batch):
    net = models.build("stdcnn").eval()
    with torch.no_grad():
        clean = net(batch[0])
        found = [
            adversarial.divergence(clean, net(divergent(net, *batch, steps=steps))).item()
            for steps in (0, 1, 4)
        ]
    assert found[0] > 0
    assert found[2] > found[1] > 10 * found[0]


def test_the_divergence_is_climbed_without_labels(batch):
    images, labels = batch
    net = models.build("stdcnn")
    one, other = divergent(net, images, labels), divergent(net, images, (labels + 1) % 10)
    assert torch.equal(one, other)


def test_one_step_of_the_divergence_is_the_textbook_s(batch):
    images, labels = batch
    net = models.build("stdcnn").eval().double()
    images = images.double()
    start = divergent(net, images, labels, steps=0).requires_grad_()
    loss = F.kl_div(F.log_softmax(net(start), 1), F.softmax(net(images), 1), reduction="sum")
    (gradient,) = torch.autograd.grad(loss, start)
    expected = LINF.project(start.detach() + 0.02 * gradient.sign(), images, EPS)
    found = divergent(net, images, labels, steps=1, step_size=0.02)
    assert ((found - expected).abs() < 1e-9).double().mean() > 0.999  # zeros may have signs


class NothingRead(TorchDispatchMode):
    """Fails where a number is read, or a size depends on one: there a GPU is waited for."""

    READS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "unique2")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        masks = [x for x in (args[1] if "index" in str(func) else ()) if x is not None]
        assert func.overloadpacket.__name__ not in self.READS, func
        assert not any(isinstance(x, torch.Tensor) and x.dtype == torch.bool for x in masks), func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("model", MODELS)
def test_no_step_of_ours_reads_a_number(model, batch, monkeypatch):
    """Then no step waits for a GPU, and each can be captured as a CUDA graph. `one_hot` looks
    whether labels are negative, but on a CPU alone."""
    monkeypatch.setattr(
        F, "one_hot", lambda labels, n: (labels[:, None] == torch.arange(n)).long()
    )
    images, labels = batch[0][:2], batch[1][:2]
    net = models.build(model).train()
    for name in ADVERSARIES if model in ("stdcnn", "gcnn") else ("none", "pgd", "trades"):
        trial = Trial(model=model, recipe="fast", adversary=name, adversary_eps=EPS)
        drawn = adversarial.draw(trial, images, generator())
        with NothingRead():
            losses.adversarial_loss(net, images, labels, trial, EPS, drawn).backward()


def test_reading_a_number_is_noticed():
    for read in (bool, torch.nonzero, lambda x: torch.ones(1)[x > 0], torch.Tensor.item):
        with NothingRead(), pytest.raises(AssertionError):
            read(torch.ones(1))


def test_the_curriculum_at_its_breakpoints():
    trial = Trial(
        model="gcnn", recipe="fast", epochs=8, train_rotation=180, adversary="cusp",
        adversary_eps=0.3,
    )  # fmt: skip
    found = {done: adversarial.stage(trial, done) for done in (0, 4.99, 5.0, 5.99, 6.0, 7.99, 8)}
    first, second, last = (120.0, 0.075), (150.0, 0.15), (180.0, 0.3)
    assert found[0] == pytest.approx(first)
    assert found[4.99] == pytest.approx(first)
    assert found[5.0] == pytest.approx(second)
    assert found[5.99] == pytest.approx(second)
    assert found[6.0] == found[7.99] == found[8] == last


@pytest.mark.parametrize("adversary", ["fgsm", "fgsm-mix", "fgsm-rs", "n-fgsm", "pgd", "trades"])
def test_eps_grows_and_the_rotation_stays(adversary):
    common = {"model": "gcnn", "epochs": 4, "train_rotation": 60, "adversary": adversary}
    warmed = Trial(**common, recipe="fast", adversary_eps=0.2)  # over half of the training
    found = [adversarial.stage(warmed, at) for at in (0.0, 1.0, 2.0, 3.9)]
    assert [stage.eps for stage in found] == pytest.approx([0.0, 0.1, 0.2, 0.2])
    assert {stage.rotation for stage in found} == {60.0}
    steady = Trial(**common, recipe="paper", adversary_eps=0.2)
    assert adversarial.stage(steady, 0.0) == (60.0, 0.2)


def test_stages_of_the_curriculum_end_with_the_whole():
    ends = [until for until, *_ in adversarial.CURRICULUM]
    assert ends == sorted(ends)
    assert adversarial.CURRICULUM[-1] == (math.inf, 1.0, 1.0)
