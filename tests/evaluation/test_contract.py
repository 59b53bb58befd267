import copy

import pytest
import torch
from torch import nn

from rotgrid import models
from rotgrid.evaluation import contract
from rotgrid.models.own_network import ContractError
from rotgrid.spec.datasets import MNIST_SHAPE, Shape
from rotgrid.spec.models import MODELS

SHAPE = Shape(3, 6, 4, (0.5,) * 3, (0.2,) * 3)


class Net(nn.Module):
    """A layer, and a way to spoil what it computes."""

    def __init__(self, after=lambda logits: logits, before=lambda images: images, classes=4):
        super().__init__()
        self.layer = nn.Linear(108, classes)
        self.after, self.before = after, before

    def forward(self, images):
        return self.after(self.layer(self.before(images).flatten(1)))


class WithLoss(Net):
    def __init__(self, training_loss):
        super().__init__()
        self.training_loss = training_loss


def noisy(images):
    return images + torch.randn_like(images)


def brighter(images):
    return images.data.add_(0.1)


def over_the_batch(images):
    return images - images.mean(0)


WRONG = {
    "other classes": (Net(classes=5), r"returns \(4, 5\) for \(4, 3, 6, 6\) images, not logits"),
    "a tuple": (Net(lambda x: (x, x)), "returns tuple for"),
    "not finite": (Net(lambda x: x / 0), "not finite"),
    "images": (Net(before=brighter), "changes the images"),
    "softmax": (Net(lambda x: x.softmax(1)), "returns probabilities"),
    "noise": (Net(before=noisy), "is not deterministic"),
    "the batch": (Net(before=over_the_batch), "other logits alone than in a batch"),
    "detached": (Net(before=torch.detach), "passes no gradient to the pixels"),
    "steps": (Net(before=torch.round), "zero everywhere"),
    "no parameters": (nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), "raises|no parameters"),
    "frozen": (Net().requires_grad_(False), "has no parameters to train"),
    "loss by image": (WithLoss(lambda x, y: x.sum((1, 2, 3))), "training_loss of shape"),
    "constant loss": (WithLoss(lambda x, y: torch.zeros(())), "no parameter has a part in"),
    "other shape": (nn.Linear(5, 4), "raises RuntimeError"),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_thing_that_can_be_wrong_is_said(name):
    net, message = WRONG[name]
    with pytest.raises(ContractError, match=f"net.py:3: mine .*({message})"):
        contract.require(net, SHAPE, "net.py:3: mine")


@pytest.mark.parametrize("model", MODELS)
def test_every_architecture_passes_and_is_left_as_it_was(model):
    if (model, MODELS[model].default) in {("capsnet", "table")}:
        model, variant = "capsnet", "narrow"  # the same code, a tenth of the time
    else:
        variant = MODELS[model].default
    net = models.build(model, variant)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state = torch.get_rng_state()
    contract.require(net, MNIST_SHAPE, model)
    assert torch.equal(torch.get_rng_state(), state)
    assert net.training
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_a_network_with_a_loss_of_another_name_and_dropout_passes():
    net = Net(before=nn.Dropout(0.5))
    net.loss = nn.CrossEntropyLoss()
    contract.require(net, SHAPE, "mine")


def test_a_network_of_several_shapes_is_asked_for_the_right_one():
    contract.require(Net(), SHAPE, "mine")
    with pytest.raises(ContractError):
        contract.require(Net(), SHAPE._replace(size=7), "mine")


def test_a_network_is_built_anew_with_the_same_numbers():
    torch.manual_seed(0)
    net, other = Net(), Net()
    assert contract.is_built_anew(net, copy.deepcopy(net)) == ""
    assert "returned before" in contract.is_built_anew(net, net)
    assert "returned before" in contract.is_built_anew(nn.Sequential(net), nn.Sequential(net))
    assert "other weights" in contract.is_built_anew(net, other)
    assert "other weights" in contract.is_built_anew(net, nn.Sequential(copy.deepcopy(net)))
