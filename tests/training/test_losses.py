import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rotgrid import attacks, models
from rotgrid.data import pixels
from rotgrid.spec import Trial
from rotgrid.spec.adversaries import ADVERSARIES
from rotgrid.spec.recipes import RECIPES
from rotgrid.training import losses
from rotgrid.training.adversarial import draw

ADVERSARIES = tuple(ADVERSARIES)


def adversarial_loss(net, images, labels, trial, eps):
    drawn = draw(trial, images, torch.Generator().manual_seed(0))
    return losses.adversarial_loss(net, images, labels, trial, eps, drawn)


def test_adversarial_losses(digits):
    """Each adversary shows the model what its definition says."""
    images, labels = pixels(digits.train_images[:20]), digits.train_labels[:20]
    net = models.build("stdcnn").eval()
    adversarial = attacks.fgsm(net, images, labels, eps=0.1)
    clean_loss = F.cross_entropy(net(images), labels)
    fgsm_loss = F.cross_entropy(net(adversarial), labels)

    def loss(adversary, eps=0.1):
        trial = Trial(model="stdcnn", adversary=adversary, adversary_eps=0.1)
        return adversarial_loss(net, images, labels, trial, eps)

    torch.testing.assert_close(loss("none"), clean_loss)
    torch.testing.assert_close(loss("fgsm"), fgsm_loss)
    torch.testing.assert_close(loss("fgsm-mix"), (clean_loss + fgsm_loss) / 2)
    for adversary in ("fgsm-rs", "pgd", "cusp", "trades"):
        assert loss(adversary) > clean_loss
        torch.testing.assert_close(loss(adversary, eps=0.0), clean_loss)


def test_trades_is_the_clean_loss_and_beta_times_the_divergence(digits):
    images, labels = pixels(digits.train_images[:20]), digits.train_labels[:20]
    net = models.build("stdcnn").eval()
    adversarial = (images + 0.1).clamp(0, 1)
    clean = F.cross_entropy(net(images), labels)
    p, q = net(images).softmax(1), net(adversarial).softmax(1)
    divergence = (p * (p / q).log()).sum(1).mean()
    for beta in (0.0, 1.0, 6.0):
        found = losses.trades_loss(net, images, labels, adversarial, beta)
        torch.testing.assert_close(found, clean + beta * divergence)


def test_trades_beta_is_the_recipe_s(digits, monkeypatch):
    monkeypatch.setitem(RECIPES, "fast", RECIPES["fast"].model_copy(update={"trades_beta": 0.0}))
    images, labels = pixels(digits.train_images[:20]), digits.train_labels[:20]
    net = models.build("stdcnn").eval()
    trial = Trial(model="stdcnn", recipe="fast", adversary="trades")
    found = adversarial_loss(net, images, labels, trial, 0.1)
    torch.testing.assert_close(found, F.cross_entropy(net(images), labels))


def test_trades_trains_the_clean_prediction_too(digits):
    """As in the authors' code, where the gradient flows through both sides of the divergence."""
    images, labels = pixels(digits.train_images[:20]), digits.train_labels[:20]
    net = models.build("stdcnn").eval()
    adversarial = (images + 0.1).clamp(0, 1)

    def gradient(loss):
        return torch.autograd.grad(loss, net.head[3].bias)[0]

    found = gradient(losses.trades_loss(net, images, labels, adversarial, beta=1.0))
    p, q = net(images).softmax(1), net(adversarial).softmax(1)
    clean = F.cross_entropy(net(images), labels)
    torch.testing.assert_close(found, gradient(clean + (p * (p / q).log()).sum(1).mean()))


class OwnLoss(nn.Module):
    """A model that carries the loss that it is trained with."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(10))

    def forward(self, images):
        return self.scale * images.flatten(1)[:, :10]

    def training_loss(self, images, labels):
        return (self(images).sum() - labels.sum()).square()


def test_an_attribute_called_loss_is_nobody_s_business(digits):
    """Many networks have one, such as `nn.CrossEntropyLoss()`, which takes logits."""
    images, labels = pixels(digits.train_images[:8]), digits.train_labels[:8]
    net = models.build("stdcnn").eval()
    expected = losses.training_loss(net, images, labels)
    net.loss = nn.CrossEntropyLoss()
    assert losses.own_loss(net) is None
    assert torch.equal(losses.training_loss(net, images, labels), expected)


def test_a_model_trains_on_its_own_loss_and_others_on_cross_entropy(digits):
    images, labels = torch.rand(4, 1, 28, 28), torch.tensor([1, 2, 3, 4])
    own = OwnLoss()
    assert torch.equal(
        losses.training_loss(own, images, labels), own.training_loss(images, labels)
    )
    plain = models.build("stdcnn").eval()
    expected = nn.functional.cross_entropy(plain(images), labels)
    assert torch.equal(losses.training_loss(plain, images, labels), expected)


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_every_adversary_trains_on_the_models_own_loss(adversary, quick_trial):
    images, labels = torch.rand(4, 1, 28, 28), torch.tensor([1, 2, 3, 4])
    trial = Trial(**{**quick_trial.model_dump(), "adversary": adversary, "adversary_eps": 0.0})
    seen = labels.repeat(2) if adversary == "fgsm-mix" else labels
    own = OwnLoss()
    expected = own.training_loss(images.repeat(len(seen) // 4, 1, 1, 1), seen)
    found = adversarial_loss(own, images, labels, trial, 0.0)
    assert found.item() == pytest.approx(expected.item())


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_a_lowered_loss_is_near_the_whole_one(adversary, digits):
    trial = Trial(model="gcnn", data="mnist5k", adversary=adversary, adversary_eps=0.1)
    images, labels = pixels(digits.train_images[::70]), digits.train_labels[::70]
    found, gradients = [], []
    for precision in ("float32", "bfloat16"):
        net = models.build("gcnn").eval()  # no dropout: the same numbers
        asked = trial.model_copy(update={"precision": precision})
        loss = adversarial_loss(net, images, labels, asked, 0.1)
        loss.backward()
        found.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
    assert found[0] != found[1]
    assert found[1] == pytest.approx(found[0], rel=0.01)
    error = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert error < 0.05
