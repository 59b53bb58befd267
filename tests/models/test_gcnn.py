import pytest
import torch
import torch.nn.functional as F

from rotgrid import models
from rotgrid.models.gcnn import P4ConvP4, P4ConvZ2, spatial_max_pool
from rotgrid.spec.models import MODELS

from golden import Golden, relative

golden = Golden("p4_groupy")


def layer(kind, name):
    weight = golden[f"{name}_w"]
    made = kind(weight.shape[1], weight.shape[0], weight.shape[-1]).double()
    made.weight.data, made.bias.data = weight, golden[f"{name}_b"]
    return made


def test_layers_equal_groupy():
    lifted = layer(P4ConvZ2, "p4z2_k3_valid")(golden["x"])
    assert relative(lifted[..., ::5, ::5], golden["p4z2_k3_valid_y_every5"]) < 1e-12
    maps = layer(P4ConvP4, "p4p4_k3_valid")(lifted)
    assert relative(maps[..., ::5, ::5], golden["p4p4_k3_valid_y_every5"]) < 1e-12
    pooled = spatial_max_pool(F.relu(maps))
    assert relative(pooled[..., ::5, ::5], golden["pool_y_every5"]) < 1e-12


def test_even_and_large_kernels_equal_groupy():
    top = layer(P4ConvP4, "p4p4_k4_top")(golden["p4p4_k4_top_x"])
    assert relative(top, golden["p4p4_k4_top_y"]) < 1e-12
    padded = F.pad(golden["x_small"], (2, 2, 2, 2))
    lifted = layer(P4ConvZ2, "p4z2_k5_stride1_pad2_small")(padded)
    assert relative(lifted, golden["p4z2_k5_stride1_pad2_small_y"]) < 1e-12
    maps = layer(P4ConvP4, "p4p4_k3_nostride_small")(lifted)
    assert relative(maps, golden["p4p4_k3_nostride_small_y"]) < 1e-12


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
@pytest.mark.parametrize("variant", MODELS["gcnn"].variants)
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
