from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rotgrid import models
from rotgrid.models.gcnn import P4ConvP4, P4ConvZ2, spatial_max_pool
from rotgrid.spec import VARIANTS

EVERY = [(model, variant) for model, variants in VARIANTS.items() for variant in variants]
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
}


@pytest.mark.parametrize(("model", "variant"), EVERY)
def test_parameter_counts(model, variant):
    assert models.count_parameters(models.build(model, variant)) == PARAMETERS[model, variant]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("stdcnn", "matched-table1"), ("gcnn", "table1")),
        (("stdcnn", "matched-halved"), ("gcnn", "halved")),
        (("gcnn", "matched-table1"), ("stdcnn", "table1")),
        (("gcnn", "matched-doubled"), ("stdcnn", "doubled")),
    ],
)
def test_matched_pairs_differ_by_less_than_five_percent(one, other):
    assert PARAMETERS[one] == pytest.approx(PARAMETERS[other], rel=0.05)


@pytest.mark.parametrize(("model", "variant"), EVERY)
def test_gauntlet(model, variant, tmp_path):
    net = models.build(model, variant, seed=1)
    images = torch.rand(3, 1, 28, 28)
    logits = net(images)
    assert logits.shape == (3, 10)
    assert torch.isfinite(logits).all()
    logits.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    net.eval()
    assert torch.equal(net(images), net(images))
    torch.save(net.state_dict(), tmp_path / "net.pt")
    other = models.build(model, variant, seed=2).eval()
    assert not torch.equal(other(images), net(images))
    other.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    assert torch.equal(other(images), net(images))
    torch.testing.assert_close(net(images[:1]), net(images)[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", VARIANTS)
def test_weights_follow_the_seed_and_leave_the_global_generator_alone(model):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    a, b, c = (models.build(model, seed=s).state_dict() for s in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not all(torch.equal(a[k], c[k]) for k in a)


def test_unknown_names_are_refused_with_the_choices():
    with pytest.raises(ValueError, match="no model 'gcn'; choose from stdcnn, gcnn"):
        models.build("gcn")
    with pytest.raises(ValueError, match="no variant 'doubled' of gcnn; choose from table1"):
        models.build("gcnn", "doubled")


def test_dropout_acts_in_training_only():
    net = models.build("stdcnn")
    images = torch.rand(2, 1, 28, 28)
    assert not torch.equal(net(images), net(images))
    net.eval()
    assert torch.equal(net(images), net(images))


GOLDEN = np.load(Path(__file__).parent / "golden" / "p4_groupy.npz")


def golden(name):
    return torch.from_numpy(GOLDEN[name])


def layer(kind, name):
    weight = golden(f"{name}_w")
    made = kind(weight.shape[1], weight.shape[0], weight.shape[-1]).double()
    made.weight.data, made.bias.data = weight, golden(f"{name}_b")
    return made


def relative(found, expected):
    return ((found - expected).abs().max() / expected.abs().max()).item()


def test_layers_equal_groupy():
    lifted = layer(P4ConvZ2, "p4z2_k3_valid")(golden("x"))
    assert relative(lifted[..., ::5, ::5], golden("p4z2_k3_valid_y_every5")) < 1e-12
    maps = layer(P4ConvP4, "p4p4_k3_valid")(lifted)
    assert relative(maps[..., ::5, ::5], golden("p4p4_k3_valid_y_every5")) < 1e-12
    pooled = spatial_max_pool(F.relu(maps))
    assert relative(pooled[..., ::5, ::5], golden("pool_y_every5")) < 1e-12


def test_even_and_large_kernels_equal_groupy():
    top = layer(P4ConvP4, "p4p4_k4_top")(golden("p4p4_k4_top_x"))
    assert relative(top, golden("p4p4_k4_top_y")) < 1e-12
    padded = F.pad(golden("x_small"), (2, 2, 2, 2))
    lifted = layer(P4ConvZ2, "p4z2_k5_stride1_pad2_small")(padded)
    assert relative(lifted, golden("p4z2_k5_stride1_pad2_small_y")) < 1e-12
    maps = layer(P4ConvP4, "p4p4_k3_nostride_small")(lifted)
    assert relative(maps, golden("p4p4_k3_nostride_small_y")) < 1e-12


def test_weights_have_the_shapes_of_groupy():
    assert P4ConvZ2(2, 3, 5).weight.shape == (3, 2, 1, 5, 5)
    assert P4ConvP4(2, 3, 5).weight.shape == (3, 2, 4, 5, 5)
    assert P4ConvP4(2, 3, 3)(torch.rand(1, 2, 4, 9, 9)).shape == (1, 3, 4, 7, 7)


def test_layers_agree_with_e2cnn_on_what_equivariance_means():
    """e2cnn's C4 regular convolution turns and rolls its maps exactly as ours do."""
    from e2cnn import gspaces
    from e2cnn import nn as e2nn

    space = gspaces.Rot2dOnR2(4)
    kind = e2nn.FieldType(space, 3 * [space.regular_repr])
    theirs = e2nn.R2Conv(e2nn.FieldType(space, [space.trivial_repr]), kind, 3).eval()
    ours = P4ConvZ2(1, 3, 3)
    # Give ours the filters that theirs has expanded, for orientation 0.
    weight, bias = theirs.filter, theirs.expanded_bias
    ours.weight.data = weight.reshape(3, 4, 1, 3, 3)[:, :1].detach().clone()
    ours.bias.data = bias.reshape(3, 4)[:, 0].detach().clone()
    images = torch.rand(2, 1, 12, 12)
    wrapped = e2nn.GeometricTensor(images, theirs.in_type)
    expected = theirs(wrapped).tensor.detach().unflatten(1, (3, 4))
    assert relative(ours(images), expected) < 1e-5


def feature_error(features, images, quarter, roll):
    """Relative error of `features` under a quarter turn of the input."""
    turned = features(images.rot90(quarter, (-2, -1)))
    expected = features(images).rot90(quarter, (-2, -1))
    return relative(turned, expected.roll(quarter, 2) if roll else expected)


@pytest.mark.parametrize("quarter", [1, 2, 3])
@pytest.mark.parametrize("variant", VARIANTS["gcnn"])
def test_gcnn_features_turn_with_the_image(variant, quarter):
    net = models.build("gcnn", variant).eval()
    with torch.no_grad():
        assert feature_error(net.features, torch.rand(4, 1, 28, 28), quarter, roll=True) < 1e-5


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_plain_convolution_fails_the_same_check(quarter):
    net = models.build("stdcnn").eval()
    with torch.no_grad():
        assert feature_error(net.features, torch.rand(4, 1, 28, 28), quarter, roll=False) > 1e-2


def test_orbit_features_are_invariant_but_for_position():
    net = models.build("gcnn", "orbit").eval()
    images = torch.rand(4, 1, 28, 28)
    with torch.no_grad():
        pooled = net.features(images).amax(2)
        turned = net.features(images.rot90(1, (-2, -1))).amax(2)
    assert relative(turned, pooled.rot90(1, (-2, -1))) < 1e-5


def test_normalisation_is_inside():
    image = torch.full((1, 1, 28, 28), 0.1307)
    for module in models.build("gcnn").normalize, models.build("stdcnn").features[0]:
        assert isinstance(module, nn.Module)
        assert module(image).abs().max() < 1e-6
