import copy
import math
import runpy
import sys

import pytest
import torch
import torch.nn.functional as F

from rotgrid.models import e2cnn_repair, gcnn, steerable
from rotgrid.models.e2cnn_repair import e2cnn
from rotgrid.models.layers import filters_kept
from rotgrid.models.steerable import (
    NormBatchNorm,
    NormReLU,
    SteerableConv,
    image_fields,
    irrep_fields,
    magnitudes,
    regular_fields,
)

from golden import relative

INVARIANT = ("c4", "c8", "so2")
variants = pytest.mark.parametrize("variant", steerable.WIDTHS)
quarters = pytest.mark.parametrize("quarter", [1, 2, 3])


def blobs(number, degrees, seed=0):
    """(number, 1, 28, 28): smooth drawings within a disc, turned counter-clockwise exactly."""
    generator = torch.Generator().manual_seed(seed)
    centres = 3.5 * torch.randn(number, 5, 2, generator=generator)
    width = 1 + 1.5 * torch.rand(number, 5, 1, 1, generator=generator)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    centres = centres @ torch.tensor([[cosine, sine], [-sine, cosine]])
    across = torch.arange(28) - 13.5
    x, y = across, -across[:, None]
    squares = (x - centres[..., :1, None]) ** 2 + (y - centres[..., 1:, None]) ** 2
    drawn = (-squares / 2 / width**2).exp().sum(1, keepdim=True)
    return drawn.tanh() * (-(((x**2 + y**2) / 121) ** 3)).exp()


@pytest.fixture(scope="module")
def nets():
    """Every variant, in evaluation mode with batch statistics of the blobs."""
    torch.manual_seed(0)
    made = {variant: steerable.build(variant) for variant in steerable.WIDTHS}
    with torch.no_grad():
        for net in made.values():
            for _ in range(5):
                net(blobs(8, 0, seed=1))
            net.eval()
    return made


def invariance_error(net, degrees):
    """Rms change of the logits over their deviation between images: 1.4 is unrelated."""
    with torch.no_grad():
        logits, turned = net(blobs(32, 0)), net(blobs(32, degrees))
    return ((turned - logits).square().mean() / logits.var(0).mean()).sqrt().item()


@pytest.mark.parametrize(
    ("variant", "parameters"), [("c4", 24_762), ("c8", 25_426), ("so2", 24_874), ("gcnn", 81_480)]
)
def test_parameter_counts(nets, variant, parameters):
    assert all(p.requires_grad for p in nets[variant].parameters())
    assert sum(p.numel() for p in nets[variant].parameters()) == parameters


def test_gcnn_differs_from_ours_in_its_convolutions_only(nets):
    theirs, ours = nets["gcnn"], gcnn.build()
    assert sum(p.numel() for n, p in theirs.named_parameters() if "conv" in n) == 16_920
    assert str(theirs.head) == str(ours.head)
    images = blobs(2, 0)
    assert theirs.features(images).shape == ours.features(images).shape


CONVOLUTIONS = [  # fields before, fields after, kernel size, padding
    pytest.param(
        image_fields(regular_fields(4, 1)), regular_fields(4, 3), 3, 0, {}, id="c4-image"
    ),
    pytest.param(
        image_fields(regular_fields(4, 1), 3), regular_fields(4, 3), 3, 0, {}, id="c4-colours"
    ),
    pytest.param(regular_fields(4, 2), regular_fields(4, 3), 3, 1, {}, id="c4"),
    pytest.param(
        regular_fields(8, 2),
        regular_fields(8, 3),
        4,
        0,
        {"rings": [0.7, 1.6], "frequencies_cutoff": 1.5},
        id="c8-even",
    ),
    pytest.param(image_fields(irrep_fields(1)), irrep_fields(3), 5, 0, {}, id="so2-image"),
    pytest.param(irrep_fields(2), irrep_fields(3), 5, 2, {}, id="so2"),
]


@pytest.mark.parametrize(("before", "after", "size", "padding", "rings"), CONVOLUTIONS)
def test_convolutions_equal_those_of_e2cnn(before, after, size, padding, rings):
    ours = SteerableConv(before, after, size, padding, **rings)
    with e2cnn() as package:
        theirs = package.nn.R2Conv(before, after, size, padding, **rings)
    maps = torch.randn(2, before.size, 9, 9)
    with torch.no_grad():
        torch.nn.init.normal_(ours.bias)
        theirs.weights.copy_(ours.weight.flatten())
        theirs.bias.copy_(ours.bias)
        expected = theirs(package.nn.GeometricTensor(maps, before)).tensor
        found = ours(maps if len(before) == 1 else maps.unflatten(1, (len(before), -1)))
    assert relative(found.flatten(1, 2), expected) < 1e-5


def test_weights_start_as_in_e2cnn_from_the_global_generator():
    before, after = regular_fields(4, 2), regular_fields(4, 3)
    torch.manual_seed(5)
    ours = SteerableConv(before, after, 3)
    torch.manual_seed(5)
    with e2cnn() as package:
        theirs = package.nn.R2Conv(before, after, 3)
    assert torch.equal(ours.weight.flatten(), theirs.weights)
    assert not ours.bias.any()


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_and_relu_of_vectors_equal_those_of_e2cnn(training):
    with e2cnn() as package:
        space = package.gspaces.Rot2dOnR2(-1, maximum_frequency=1)
        fields = package.nn.FieldType(space, 4 * [space.irrep(1)])
        their_norm = package.nn.NormBatchNorm(fields).train(training)
        their_relu = package.nn.NormNonLinearity(fields)
    our_norm, our_relu = NormBatchNorm(4).train(training), NormReLU(4)
    with torch.no_grad():
        weight = torch.nn.init.normal_(our_norm.weight)
        log_bias = torch.nn.init.normal_(our_relu.log_bias)
        variance = torch.nn.init.uniform_(our_norm.running_var)
        getattr(their_norm, "2_weight").copy_(weight.view(1, 4, 1, 1, 1))
        getattr(their_norm, "2_running_var").copy_(variance.view(1, 4, 1, 1, 1))
        their_relu.log_bias.copy_(log_bias.view(1, 4, 1, 1))
        vectors = 2 * torch.randn(3, 4, 2, 5, 5)
        expected = their_norm(package.nn.GeometricTensor(vectors.flatten(1, 2), fields))
        found = our_norm(vectors)
        assert relative(found.flatten(1, 2), expected.tensor) < 1e-6
        found, expected = our_relu(found).flatten(1, 2), their_relu(expected).tensor
    assert relative(found, expected) < 1e-6
    assert 0.1 < (found == 0).float().mean() < 0.9
    moved = getattr(their_norm, "2_running_var").flatten()
    assert relative(our_norm.running_var, moved) < 1e-6


def test_vectors_of_length_zero_have_a_gradient():
    vectors = torch.zeros(1, 2, 2, 3, 3, requires_grad=True)
    maps = torch.cat([torch.zeros(1, 2, 1, 3, 3), NormReLU(2)(NormBatchNorm(2)(vectors))], 2)
    magnitudes(maps).sum().backward()
    assert not vectors.grad.any()


@quarters
@pytest.mark.parametrize("variant", INVARIANT)
def test_logits_are_invariant_to_quarter_turns(nets, variant, quarter):
    assert invariance_error(nets[variant], 90 * quarter) < 1e-4


def test_the_head_of_gcnn_fails_the_same_check(nets):
    assert invariance_error(nets["gcnn"], 90) > 0.1


def test_finer_groups_are_closer_to_invariance_between_quarter_turns(nets):
    """On smooth drawings. c4 knows nothing of 45 degrees; c8 is limited by its 3x3 kernels."""
    errors = {variant: invariance_error(nets[variant], 45) for variant in INVARIANT}
    assert errors["c4"] > 0.7
    assert errors["c8"] < 0.8 * errors["c4"]
    assert errors["so2"] < 0.35 * errors["c4"]


def rolled(maps, quarter):
    """Maps of regular fields after counter-clockwise quarter turns of the image."""
    turned = maps.rot90(quarter, (-2, -1))
    return turned.roll(quarter * maps.shape[2] // 4, 2)


def rotated(maps, quarter):
    """Maps of numbers and vectors after counter-clockwise quarter turns of the image."""
    number, x, y = maps.rot90(quarter, (-2, -1)).unbind(2)
    for _ in range(quarter):
        x, y = -y, x
    return torch.stack([number, x, y], 2)


@quarters
@pytest.mark.parametrize(("variant", "action"), [("c4", rolled), ("c8", rolled), ("so2", rotated)])
def test_fields_follow_the_image(nets, variant, action, quarter):
    net = nets[variant]
    maps = net.normalize(blobs(4, 0))
    with torch.no_grad():
        for layer in (net.layer1, net.layer2, net.layer3):
            turned = layer(
                action(maps, quarter) if maps.ndim == 5 else maps.rot90(quarter, (2, 3))
            )
            maps = layer(maps)
            assert relative(turned, action(maps, quarter)) < 1e-5
            assert relative(turned, maps.rot90(quarter, (-2, -1))) > 0.1


@pytest.mark.parametrize(("rotations", "rolls"), [(4, False), (8, True)])
def test_regular_fields_roll_by_one_at_45_degrees_if_there_are_8(rotations, rolls):
    across = torch.arange(26) - 12.5
    window = (-(across**2 + across[:, None] ** 2) / 18).exp()
    after = regular_fields(rotations, 4)
    layer = SteerableConv(image_fields(after), after, 3)
    with torch.no_grad():
        seen, turned = ((layer(blobs(8, d)) * window).sum((3, 4)) for d in (0, 45))
    seen, turned = (x - x.mean(2, keepdim=True) for x in (seen, turned))  # what has a direction
    assert relative(turned, seen) > 0.5
    assert (relative(turned, seen.roll(1, 2)) < 0.1) == rolls


def test_magnitudes_stay_at_45_degrees():
    after = irrep_fields(4)
    layer = SteerableConv(image_fields(after), after, 5)
    with torch.no_grad():
        length, turned = (magnitudes(layer(blobs(8, d)))[:, 1::2].mean((2, 3)) for d in (0, 45))
    assert relative(turned, length) < 0.05


@variants
def test_filters_are_kept_copied_and_saved(nets, variant):
    net = nets[variant]
    images = blobs(2, 0)
    with torch.no_grad():
        expected = net(images)
        with filters_kept(net):
            assert torch.equal(net(images), expected)
            assert torch.equal(net(images), expected)
    assert torch.equal(copy.deepcopy(net)(images), expected)
    names = list(net.state_dict())
    assert list(copy.deepcopy(net).train().state_dict()) == names
    assert not any("basis" in name for name in names)


@variants
def test_many_backward_passes_in_evaluation_mode(nets, variant):
    """e2cnn's own convolution keeps the graph of its filter, and fails at the second."""
    net = copy.deepcopy(nets[variant])
    images = blobs(2, 0).requires_grad_()
    gradients = []
    for kept in (False, True):
        for _ in range(2):
            images.grad = None
            if kept:
                with filters_kept(net):
                    F.cross_entropy(net(images), torch.tensor([0, 1])).backward()
            else:
                F.cross_entropy(net(images), torch.tensor([0, 1])).backward()
            gradients.append(images.grad)
    assert gradients[0].any()
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)


def test_importing_the_module_does_not_import_e2cnn(monkeypatch):
    monkeypatch.setitem(sys.modules, "e2cnn", None)  # an import of it would fail
    for module in (steerable, e2cnn_repair):
        runpy.run_path(module.__file__)


def test_unknown_variant():
    with pytest.raises(KeyError):
        steerable.build("d4")
