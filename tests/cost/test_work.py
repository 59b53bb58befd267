import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rotgrid import evaluation, models
from rotgrid.attacks.linf import frozen
from rotgrid.cost import work
from rotgrid.cost.work import Work
from rotgrid.spec import Probe, Trial
from rotgrid.spec.datasets import MNIST_SHAPE
from rotgrid.spec.models import MODELS

import trained

TRIAL = Trial(model="stdcnn", data="mnist5k", train_size=100, epochs=2)


@pytest.mark.parametrize(
    ("model", "variant"), [(name, each) for name in MODELS for each in MODELS[name].variants]
)
def test_multiply_adds_are_those_of_the_model(model, variant):
    net, image = models.build(model, variant), torch.rand(1, 1, 28, 28)
    with frozen(net), torch.no_grad():
        net(image)  # builds the filters
        with FlopCounterMode(display=False) as counter:
            net(image)
    expected = counter.get_total_flops() / 2
    assert MODELS[model].variants[variant] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("model", "variant"), [("stdcnn", "doubled"), ("p4cnn", "base")])
def test_a_larger_image_costs_about_as_many_times_more_as_it_has_pixels(model, variant):
    """Layers without padding take less off a larger image: it costs more, not twice as much."""
    shape = MNIST_SHAPE._replace(size=56)
    net, image = models.build(model, variant, shape=shape), torch.rand(1, 1, 56, 56)
    with frozen(net), torch.no_grad():
        net(image)  # builds the filters
        with FlopCounterMode(display=False) as counter:
            net(image)
    adds = MODELS[model].variants[variant] * work.relative_size(shape)
    assert adds < counter.get_total_flops() / 2 < 2 * adds


def test_training_is_counted_by_kind():
    assert work.training_work(TRIAL) == Work(200, 0, 2 * 500)
    hard = TRIAL.model_copy(update={"adversary": "fgsm-mix"})
    watch = 2 * 100  # images that PGD-10 attacks after each epoch
    assert work.training_work(hard) == Work(400, 200 + 10 * watch, 2 * 500 + 2 * watch)
    assert Work(1, 10, 100).passes() == 3 + 20 + 100


class Counted(torch.nn.Module):
    """Counts the images that go through a network."""

    def __init__(self, net):
        super().__init__()
        self.net, self.gradients, self.forwards = net, 0, 0

    def forward(self, images):
        if torch.is_grad_enabled() and images.requires_grad:
            self.gradients += len(images)
        else:
            self.forwards += len(images)
        return self.net(images)


@pytest.fixture(scope="module")
def net(digits):
    return trained.stdcnn(digits)


@pytest.mark.parametrize(
    "fields",
    [
        {"attack": "none"},
        {"attack": "noise", "restarts": 3},
        {"attack": "fgsm"},
        {"attack": "bim"},
        {"attack": "pgd", "steps": 20},
        {"attack": "pgd", "steps": 10, "restarts": 3},
        {"attack": "apgd", "steps": 20},
        {"attack": "square", "steps": 50},
        {"attack": "fmn", "steps": 20},
        {"attack": "fmn-pgd"},
        {"attack": "strong", "steps": 50},
        {"attack": "transfer", "steps": 10, "source": "stdcnn"},
        {"attack": "rotation-grid", "test_rotation": 20.0},
        {"attack": "worst-of-10", "test_rotation": 20.0, "test_translation": 1.0},
        {"attack": "spatial-pgd", "test_rotation": 10.0, "steps": 10},
        {"attack": "equivariance", "test_rotation": 45.0},
        {"attack": "none", "mode": "train"},
        {"attack": "fgsm", "clip": "none"},
        {"attack": "pgd", "steps": 10, "restarts": 3, "clip": "normalised"},
        {"attack": "pgd", "steps": 10, "restarts": 0, "mode": "train"},
    ],
    ids=lambda fields: "-".join(map(str, [*fields.values(), fields.get("restarts", 1)])),
)
@pytest.mark.parametrize("grid", [[0.1], [0.02, 0.05, 0.08, 0.11, 0.15, 0.2]], ids=len)
def test_a_sweep_takes_what_the_plan_says(fields, grid, net, digits):
    """Images counted in real sweeps; how many eps they have matters little to some attacks."""
    probes = [Probe(**fields, eps=eps, n_images=40).resolve(TRIAL) for eps in grid]
    probes = list(dict.fromkeys(probes))  # some attacks have no eps
    own, source = Counted(net), Counted(net)
    list(evaluation.measure(own, digits, TRIAL, probes, lambda _: source))
    found = Work(0, own.gradients + source.gradients, own.forwards + source.forwards)
    planned = work.sweep_work(probes)
    assert 1 / 2 < planned.passes() / found.passes() < 2


def test_transfer_climbs_on_its_source():
    probe = Probe(attack="transfer", source="roteqnet", eps=0.1, n_images=10).resolve(TRIAL)
    found = work.measuring_work((probe,))
    assert found["roteqnet"] == Work(0, 400, 0)
    assert found[""].gradients == 0
    assert found[""].forwards > 0


def test_an_eps_more_costs_little():
    def pgd(*grid):
        return tuple(Probe(attack="pgd", eps=eps, n_images=10).resolve(TRIAL) for eps in grid)

    one, many = pgd(0.1), pgd(*(k / 100 for k in range(1, 31)))
    passes = [work.measuring_work(probes)[""].passes() for probes in (one, many)]
    assert passes[0] < passes[1] < 3.5 * passes[0]


def test_nothing_is_no_work():
    assert work.measuring_work(()) == {}
