"""What every architecture and variant must do."""

import copy

import pytest
import torch
from torch import nn

from rotgrid import attacks, models
from rotgrid.attacks.linf import frozen
from rotgrid.evaluation import equivariance
from rotgrid.models.layers import Expanded, filters_kept
from rotgrid.spec.models import MODELS
from rotgrid.training.losses import training_loss

EVERY = [(model, variant) for model, variants in MODELS.items() for variant in variants.variants]
PARAMETERS = {
    ("stdcnn", "table1"): 23_010,
    ("stdcnn", "doubled"): 58_060,
    ("stdcnn", "matched-table1"): 90_092,
    ("stdcnn", "matched-halved"): 38_960,
    ("gcnn", "table1"): 89_910,
    ("gcnn", "halved"): 38_935,
    ("gcnn", "matched-table1"): 22_073,
    ("gcnn", "matched-doubled"): 57_813,
    ("gcnn", "orbit"): 41_910,
    ("hnet", "fixed"): 22_826,
    ("hnet", "2018"): 22_826,
    ("ptn", "base"): 131_959,
    ("ptn", "small"): 27_931,
    ("roteqnet", "exact"): 104_774,
    ("roteqnet", "zoomed"): 104_774,
    ("roteqnet", "sixteen"): 104_774,
    ("capsnet", "table"): 8_215_728,
    ("z2cnn", "base"): 21_750,
    ("p4cnn", "base"): 24_680,
    ("p4cnn", "rotation-pooling"): 21_750,
    ("tipooling", "full"): 13_308_170,
    ("cyclic", "pool"): 23_010,
    ("cyclic", "roll"): 76_410,
    ("dren", "x4"): 19_760,
    ("dren", "max-x4"): 24_560,
    ("emcaps", "small"): 68_572,
    ("madrycnn", "base"): 3_274_634,
    ("resnet", "base"): 269_434,
    ("p4resnet", "base"): 1_071_226,
    ("p4resnet", "matched-base"): 268_354,
}
"""As published, or as counted in the original code."""
INVARIANT = [
    *(
        (model, variant)
        for model in ("p4cnn", "cyclic", "tipooling", "p4resnet")
        for variant in MODELS[model].variants
    ),
    ("dren", "x4"),
    ("dren", "max-x4"),
    ("hnet", "fixed"),
    ("roteqnet", "sixteen"),
    ("steerable", "c4"),
    ("steerable", "c8"),
    ("steerable", "so2"),
]
"""Networks whose logits do not change at all when the image makes a quarter turn."""
NO_TRAINING_MODE = [("capsnet", "table"), ("capsnet", "narrow")]
"""Networks without dropout, batch statistics or anything else that acts in training only."""
every = pytest.mark.parametrize(("model", "variant"), EVERY)


@pytest.fixture(scope="module")
def digit_batch(digits):
    return digits.test_images[:3].float() / 255, digits.test_labels[:3]


def built(model, variant, seed=1):
    """A network away from its initialisation, where some parameters are 0 or have no effect."""
    net = models.build(model, variant, seed=seed)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for parameter in net.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    return net


@pytest.mark.parametrize(("model", "variant"), PARAMETERS)
def test_parameter_counts_are_the_published_ones(model, variant):
    assert models.count_parameters(models.build(model, variant)) == PARAMETERS[model, variant]


@every
def test_logits_and_gradients_are_finite_everywhere(model, variant, digit_batch):
    digit = digit_batch[0][:1]
    images = torch.cat([torch.zeros_like(digit), torch.ones_like(digit), digit])
    net = models.build(model, variant, seed=1)
    for mode in (True, False):
        net.train(mode)
        leaf = images.clone().requires_grad_()
        logits = net(leaf)
        assert logits.shape == (3, 10)
        loss = training_loss(net, leaf, torch.tensor([0, 1, 2])) + logits.square().sum()
        loss.backward()
        assert torch.isfinite(logits).all()
        assert torch.isfinite(leaf.grad).all()
        assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
    assert torch.isfinite(net(images[:1])).all()  # nothing but an empty image


@every
def test_every_parameter_gets_a_gradient(model, variant, digit_batch):
    net = built(model, variant)
    training_loss(net, *digit_batch).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@every
def test_the_passes_of_training_can_be_lowered(model, variant, digit_batch):
    """In bfloat16 the loss is near; gradients and statistics are finite, and in float32."""
    losses = []
    for precision in ("float32", "bfloat16"):
        net = built(model, variant)
        torch.manual_seed(0)  # dropout
        loss = training_loss(net, *digit_batch, precision)
        loss.backward()
        losses.append(loss.item())
        for tensor in (*(p.grad for p in net.parameters()), *net.state_dict().values()):
            assert torch.isfinite(tensor).all()
            assert tensor.dtype in (torch.float32, torch.int64)
    # Which of RotEqNet's angles is the best one is often for rounding to say.
    near = 0.25 if model == "roteqnet" else 0.05
    assert losses[0] == pytest.approx(losses[1], rel=near)


@every
def test_evaluation_is_deterministic_and_treats_images_one_by_one(model, variant, digit_batch):
    images, labels = digit_batch
    net = built(model, variant)
    training_loss(net, images, labels)  # batch statistics, if there are any
    net.eval()
    with torch.no_grad():
        logits = net(images)
        assert torch.equal(net(images), logits)
        torch.testing.assert_close(net(images[:1]), logits[:1], rtol=1e-4, atol=1e-5)
        if not any(
            isinstance(m, nn.Dropout | nn.Dropout2d) or has_state(m) for m in net.modules()
        ):
            torch.testing.assert_close(net.train()(images), logits)


def has_state(module):
    """Whether it behaves differently in training for a reason of its own."""
    return any(True for _ in module.buffers(recurse=False)) or type(module).__name__ == "PTN"


@every
def test_weights_can_be_saved_loaded_and_copied(model, variant, digit_batch, tmp_path):
    images, labels = digit_batch
    net = built(model, variant)
    names = list(net.train().state_dict())
    training_loss(net, images, labels).backward()
    assert list(net.eval().state_dict()) == names
    torch.save(net.state_dict(), tmp_path / "net.pt")
    other = models.build(model, variant, seed=2).eval()
    assert not torch.equal(other(images), net(images))
    other.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    assert torch.equal(other(images), net(images))
    assert torch.equal(copy.deepcopy(net)(images), net(images))


@every
def test_attacks_reach_the_pixels_and_leave_the_network_as_it_was(model, variant, digit_batch):
    images, labels = digit_batch
    net = built(model, variant).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    moved = attacks.fgsm(net, images, labels, eps=0.1)
    assert ((moved - images).abs() > 0.09).flatten(1).any(1).all()
    generator = torch.Generator().manual_seed(0)
    moved = attacks.pgd(net, images, labels, eps=0.1, steps=3, generator=generator)
    assert (moved - images).abs().max() <= 0.1 + 1e-6
    assert net.training
    assert all(torch.equal(net.state_dict()[name], before[name]) for name in before)
    training_loss(net, images, labels).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@every
def test_filters_are_built_once_per_attack_and_anew_afterwards(model, variant, digit_batch):
    images, labels = digit_batch
    net = built(model, variant).eval()
    with torch.no_grad():
        expected = net(images)
        with filters_kept(net):
            assert torch.equal(net(images), expected)
            assert torch.equal(net(images), expected)
    calls = []
    for layer in net.modules():
        if isinstance(layer, Expanded):
            layer.expand = counted(layer.expand, calls, layer)
    with frozen(net):
        grid = {"attack": "pgd", "eps_grid": [0.0, 0.1], "steps": 2}
        attacks.sweep(net, images, net(images).argmax(1), **grid)
    assert len(calls) == len(set(calls))  # each layer once
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= 0.5
        assert not torch.equal(net(images), expected)
    training_loss(net.train(), images, labels).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def counted(expand, calls, layer):
    def expand_and_count():
        calls.append(id(layer))
        return expand()

    return expand_and_count


@pytest.mark.parametrize("model", MODELS)
def test_weights_follow_the_seed_and_leave_the_global_generator_alone(model):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    a, b, c = (models.build(model, seed=s).state_dict() for s in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not all(torch.equal(a[k], c[k]) for k in a)


@every
def test_normalisation_is_inside(model, variant):
    net = models.build(model, variant)
    first = net.features[0] if model == "stdcnn" else net.normalize
    image = torch.full((1, 1, 28, 28), 0.1307)
    assert isinstance(first, nn.Identity) or first(image).abs().max() < 1e-6


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize(("model", "variant"), INVARIANT)
def test_quarter_turns_leave_logits_alone(model, variant, degrees, digit_batch):
    errors = equivariance.measure(built(model, variant), digit_batch[0], degrees).errors
    assert errors["logits"] < 1e-3  # float noise over the spread of three images


@pytest.mark.parametrize(("model", "variant"), [("stdcnn", "table1"), ("z2cnn", "base")])
def test_quarter_turns_change_the_logits_of_plain_networks(model, variant, digit_batch):
    net = built(model, variant)
    training_loss(net, *digit_batch)
    assert equivariance.measure(net, digit_batch[0], 90).errors["logits"] > 0.1


@every
def test_layers_that_should_be_compared_exist(model, variant, digit_batch):
    net = built(model, variant)
    errors = equivariance.measure(net, digit_batch[0], 90).errors
    assert list(errors) == [*net.invariants, "logits"]
    assert len(errors) > 2


def test_unknown_names_are_refused_with_the_choices():
    with pytest.raises(ValueError, match="no model 'gcn'; choose from stdcnn, gcnn"):
        models.build("gcn")
    with pytest.raises(ValueError, match="no variant 'doubled' of gcnn; choose from table1"):
        models.build("gcnn", "doubled")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("stdcnn", "matched-table1"), ("gcnn", "table1")),
        (("stdcnn", "matched-halved"), ("gcnn", "halved")),
        (("gcnn", "matched-table1"), ("stdcnn", "table1")),
        (("gcnn", "matched-doubled"), ("stdcnn", "doubled")),
        (("p4resnet", "matched-base"), ("resnet", "base")),
    ],
)
def test_matched_pairs_differ_by_less_than_five_percent(one, other):
    assert PARAMETERS[one] == pytest.approx(PARAMETERS[other], rel=0.05)


def test_dropout_acts_in_training_only():
    net = models.build("stdcnn")
    images = torch.rand(2, 1, 28, 28)
    assert not torch.equal(net(images), net(images))
    net.eval()
    assert torch.equal(net(images), net(images))
