"""Golden numbers: the original's weights of the digit layer are too many to keep (82k), so `votes`
are what they make of the first image's primary capsules; the layer gets them as the weights of
capsules of one atom, 1. `grad_scale` is the gradient by that atom, capsule * gradient summed."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rotgrid.attacks import fgsm
from rotgrid.models.capsnet import (
    DigitCapsules,
    PrimaryCapsules,
    atom_maps,
    build,
    lengths,
    margin_loss,
    squash,
)

from golden import Golden, relative

GOLDEN = Golden("capsnet_sabour")


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("variant", "whole", "decoder"),
    [("table", 8_215_728, 1_411_344), ("narrow", 2_117_232, 1_411_344)],
)
def test_parameter_counts(variant, whole, decoder):
    with torch.device("meta"):
        net = build(variant)
    assert parameters(net) == whole
    assert parameters(net.decoder) == decoder


def test_table_is_the_published_network_and_160_biases():
    with torch.device("meta"):
        net = build()
    assert parameters(net) - parameters(net.decoder) == 6_804_224 + 160
    assert parameters(net.conv1) == 20_992
    assert parameters(net.primary) == 5_308_672
    assert net.digits.weight.shape == (1152, 8, 160)


def test_unknown_variant():
    with pytest.raises(KeyError):
        build("wide")


def golden_primary():
    made = PrimaryCapsules(16, 4, 8, 5, 2)
    made.conv.weight.data = GOLDEN["kernel"].permute(3, 2, 0, 1)
    made.bias.data = GOLDEN["kernel_bias"]
    return made


def test_primary_capsules_equal_the_original():
    found = golden_primary()(GOLDEN["x"][:, 0])
    assert relative(found, GOLDEN["primary_caps"]) < 1e-5


def test_capsules_of_neighbouring_pixels_are_not_the_original():
    """Planted: XifengGuo's view of the NCHW tensor, eight pixels of one channel a capsule."""
    layer = golden_primary()
    sums = layer.conv(GOLDEN["x"][:, 0]) / 4 + layer.bias.flatten()[:, None, None]
    assert relative(squash(sums.reshape(1, -1, 8)), GOLDEN["primary_caps_flat"]) > 0.1


def golden_digits(iterations):
    made = DigitCapsules(64, 1, 10, 16, iterations)
    made.weight.data = GOLDEN["votes"].reshape(64, 1, 160)
    made.bias.data = GOLDEN["bias"]
    return made


ONES = torch.ones(1, 4, 1, 4, 4)
"""64 primary capsules of one atom, as `golden_digits` needs."""


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_routing_equals_the_original(iterations):
    found = golden_digits(iterations)(ONES)
    assert relative(found, GOLDEN[f"routing{iterations}"]) < 1e-5


def true_length_gradient(route, capsules):
    """Gradient of the golden true class's length by the capsules' atoms: (1, 64)."""
    capsules = capsules.clone().requires_grad_()
    length = lengths(route(capsules))[0, GOLDEN["true_class"]]
    return torch.autograd.grad(length.sum(), capsules)[0].reshape(1, 64)


def test_lengths_and_the_gradient_through_the_routing_equal_the_original():
    route = golden_digits(3)
    assert relative(lengths(route(ONES)), GOLDEN["lengths"]) < 1e-5
    assert relative(true_length_gradient(route, ONES), GOLDEN["grad_scale"]) < 1e-5


def procedure1(layer, primary, through=True):
    """The paper's procedure 1 on explicit votes; without `through`, agreements are detached."""
    capsules = primary.permute(0, 1, 3, 4, 2).flatten(1, 3)
    weight = layer.weight.unflatten(2, layer.bias.shape)
    votes = torch.einsum("bia,iajo->bijo", capsules, weight)
    logits = torch.zeros(votes.shape[:3], dtype=votes.dtype)
    for _ in range(layer.iterations):
        coupled = logits.softmax(2).unsqueeze(3) * votes
        outputs = squash(coupled.sum(1) + layer.bias)
        agreement = (votes * outputs.unsqueeze(1)).sum(3)
        logits = logits + (agreement if through else agreement.detach())
    return outputs


def test_routing_without_votes_equals_routing_of_votes():
    layer = DigitCapsules(2 * 9, 8, 10, 16).double()
    primary = torch.randn(3, 2, 8, 3, 3, dtype=torch.float64, requires_grad=True)
    inputs = (primary, layer.weight, layer.bias)
    found, expected = layer(primary), procedure1(layer, primary)
    assert relative(found, expected) < 1e-12
    direction = torch.randn_like(found)
    of_found = torch.autograd.grad((found * direction).sum(), inputs)
    of_expected = torch.autograd.grad((expected * direction).sum(), inputs)
    for one, other in zip(of_found, of_expected, strict=True):
        assert relative(one, other) < 1e-12


def test_detached_routing_has_another_gradient():
    """Planted: what most re-implementations do."""
    layer = golden_digits(3)
    assert relative(procedure1(layer, ONES, through=False), GOLDEN["routing3"]) < 1e-5
    gradient = true_length_gradient(lambda p: procedure1(layer, p, through=False), ONES)
    assert relative(gradient, GOLDEN["grad_scale"]) > 1e-2


def test_couplings_of_a_capsule_sum_to_one_over_the_classes():
    primary = torch.randn(2, 4, 1, 4, 4)
    assert torch.equal(golden_digits(1).route(primary)[1], torch.full((2, 64, 10), 0.1))
    couplings = golden_digits(3).route(primary)[1]
    torch.testing.assert_close(couplings.sum(2), torch.ones(2, 64))
    assert couplings.std() > 1e-3


def test_squash_equals_the_original():
    assert relative(squash(GOLDEN["squash_in"]), GOLDEN["squash_out"]) < 1e-5


def test_squash_keeps_directions_and_is_shorter_than_one():
    vectors = torch.randn(50, 8) * torch.logspace(-3, 3, 50).unsqueeze(1)
    squashed = squash(vectors)
    assert (squashed.norm(dim=1) < 1).all()
    cosines = F.cosine_similarity(squashed, vectors, eps=0.0)
    torch.testing.assert_close(cosines, torch.ones(50))


def plain_squash(vectors):
    """Equation 1 as it is written."""
    norm = vectors.square().sum(-1, keepdim=True).sqrt()
    return vectors / norm * norm**2 / (1 + norm**2)


def test_zero_vectors_have_finite_gradients():
    for function in squash, lengths, lambda v: lengths(squash(v)):
        zeros = torch.zeros(2, 3, 8, requires_grad=True)
        (gradient,) = torch.autograd.grad(function(zeros).sum(), zeros)
        assert torch.equal(gradient, torch.zeros(2, 3, 8))
    zeros = torch.zeros(2, 3, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(plain_squash(zeros).sum(), zeros)
    assert gradient.isnan().all()


def test_margin_loss_equals_the_original():
    found = margin_loss(GOLDEN["margin_lengths"], GOLDEN["margin_labels"])
    assert relative(found, GOLDEN["margin_loss"]) < 1e-5


def test_loss_is_half_the_margin_loss_and_the_reconstruction_error():
    net = build("narrow").double()
    images, labels = torch.rand(3, 1, 28, 28, dtype=torch.float64), torch.tensor([1, 4, 9])
    capsules = net.capsules(images)
    expected = 0.0
    for image, capsule, label in zip(images, capsules, labels, strict=True):
        for k, length in enumerate(capsule.norm(dim=1)):
            true = k == label
            equation4 = max(0, 0.9 - length) ** 2 if true else 0.5 * max(0, length - 0.1) ** 2
            expected += 0.5 * equation4 / 3
        remade = net.reconstruct(capsule[None], label[None])[0]
        expected += 0.0005 * ((remade - image) ** 2).sum() / 3
    torch.testing.assert_close(net.training_loss(images, labels), expected)


def test_reconstruction_sees_the_capsule_of_the_label_alone():
    net = build("narrow")
    capsules = torch.randn(2, 10, 16, requires_grad=True)
    labels = torch.tensor([3, 7])
    remade = net.reconstruct(capsules, labels)
    assert remade.shape == (2, 1, 28, 28)
    (gradient,) = torch.autograd.grad(remade.sum(), capsules)
    seen = gradient.abs().sum(2) > 0
    assert torch.equal(seen, F.one_hot(labels, 10).bool())


def test_the_decoder_has_no_part_in_the_lengths():
    net = build("narrow")
    images = torch.rand(2, 1, 28, 28)
    before = net(images)
    nn.init.normal_(net.decoder[0].weight)
    assert torch.equal(net(images), before)
    torch.testing.assert_close(before, net.capsules(images).norm(dim=2))


def test_first_weights_are_truncated_normals():
    net = build("narrow")
    layers = {net.conv1: 0.05, net.primary.conv: 0.1, net.digits: 0.1}
    layers |= {layer: 0.1 for layer in net.decoder[::2]}
    shrunk = 0.8796  # deviation of a unit normal within two of its deviations
    for layer, std in layers.items():
        assert layer.weight.abs().max() <= 2 * std
        assert math.isclose(layer.weight.std().item(), shrunk * std, rel_tol=0.03)
    for biased in (net.conv1, net.primary, net.digits, *net.decoder[::2]):
        assert (biased.bias == 0.1).all()


def test_lengths_of_primary_capsules_are_maps():
    net = build("narrow")
    capsules = net.primary(F.relu(net.conv1(torch.rand(2, 1, 28, 28))))
    assert atom_maps(capsules).shape == (2, 8, 6, 6)
    torch.testing.assert_close(atom_maps(capsules)[1, 3, 2, 4], capsules[1, 3, :, 2, 4].norm())


@pytest.fixture
def confident():
    """A network that calls every image a 3 with a length above 0.9, all others below 0.1."""
    net = build("narrow").eval()
    net.digits.weight.data *= 0.1
    net.digits.bias.data.zero_()
    net.digits.bias.data[3] = 1.0
    images, labels = torch.rand(4, 1, 28, 28), torch.full((4,), 3)
    found = net(images)
    assert (found[:, 3] > 0.9).all()
    assert (found[:, [k for k in range(10) if k != 3]] < 0.1).all()
    return net, images, labels


def pixel_gradient(loss, images):
    images = images.clone().requires_grad_()
    return torch.autograd.grad(loss(images), images)[0]


def test_margin_loss_is_flat_for_confident_images_and_cross_entropy_of_lengths_is_not(confident):
    net, images, labels = confident
    flat = pixel_gradient(lambda x: margin_loss(net(x), labels).sum(), images)
    assert torch.equal(flat, torch.zeros_like(images))
    steep = pixel_gradient(lambda x: F.cross_entropy(net(x), labels), images)
    assert ((steep != 0).flatten(1).float().mean(1) > 0.9).all()


def test_fgsm_moves_confident_images(confident):
    net, images, labels = confident
    moved = fgsm(net, images, labels, eps=0.1)
    assert ((moved - images).abs() > 0.09).float().mean() > 0.8
    before, after = (F.cross_entropy(net(x), labels, reduction="none") for x in (images, moved))
    assert (after > before).all()
