from functools import cache

import pytest
import torch

from rotgrid import models
from rotgrid.models import hnet
from rotgrid.models.layers import filters_kept

from golden import Golden, relative

OPS = Golden("hnet_ops")
PUBLISHED = {"fixed": OPS, "2018": Golden("hnet_hconv_prefix2017")}


def maps(name, source=OPS):
    """(batch, order, part, channel, row, column), as ours are."""
    return source[name].double().permute(0, 3, 4, 5, 1, 2)


def every2(found):
    return found[..., ::2, :]


def layer(variant="fixed", **options):
    made = hnet.HConv(3, 5, fixed=variant == "fixed", **options).double()
    for order in range(2):
        made.radial[order].data = OPS[f"Q_{order}"].double()
        if made.phase:
            made.phase[order].data = OPS[f"P_{order}"].double()
    return made


def test_rings_and_basis_equal_the_original():
    for order in range(2):
        rings = hnet.ring_interpolation(order)
        assert relative(rings[:, ::20], OPS[f"interp_k5_r4_m{order}_every20"]) < 1e-12
        cos, sin = hnet.ring_basis(order)
        assert relative(cos, OPS[f"basis_cos_k5_r4_m{order}"].double()) < 1e-7
        assert (sin - OPS[f"basis_sin_k5_r4_m{order}"]).abs().max() < 1e-6  # all zero for order 0


def test_filters_equal_the_original():
    harmonics = layer().harmonics().unflatten(2, (5, 5))
    for order in range(2):
        for part, name in enumerate(("cos", "sin")):
            expected = OPS[f"W_{order}_{name}"].double()
            assert relative(harmonics[order, part], expected) < 1e-6


@pytest.mark.parametrize("variant", PUBLISHED)
def test_convolutions_equal_the_original(variant):
    expected = PUBLISHED[variant]
    found = layer(variant, real_input=True)(maps("x_real"))
    assert relative(every2(found), maps("hconv_real_same_every2", expected)) < 1e-6
    found = layer(variant)(maps("x_complex"))
    assert relative(every2(found), maps("hconv_complex_same_every2", expected)) < 1e-6
    valid = layer(variant, phased=False)(maps("x_complex"))[..., 2:-2, 2:-2]
    assert relative(every2(valid), maps("hconv_complex_valid_nophase_every2", expected)) < 1e-6


def test_the_two_versions_differ():
    found = layer("fixed")(maps("x_complex"))
    assert relative(every2(found), maps("hconv_complex_same_every2", PUBLISHED["2018"])) > 0.5


def test_pooling_and_magnitudes_equal_the_original():
    assert relative(hnet.mean_pool(maps("mean_pool_in")), maps("mean_pool")) < 1e-6
    sums = hnet.magnitudes(maps("x_complex")).sum(1)
    assert relative(sums, maps("sum_magnitudes")[:, 0, 0]) < 1e-6


def test_nonlinearities_equal_the_original():
    relu = hnet.MagnitudeReLU(3).double()
    relu.bias.data = OPS["nonlin_bias"][0, 0, 0].double()
    assert relative(every2(relu(maps("x_complex"))), maps("nonlin_relu_every2")) < 1e-6
    norm = hnet.MagnitudeNorm(3).double()
    norm.gamma.data, norm.beta.data = OPS["bn_gamma"].double(), OPS["bn_beta"].double()
    assert relative(every2(norm(maps("x_complex"))), maps("bn_train_every2")) < 1e-6


def test_the_head_sums_orders_and_averages_space():
    found = hnet.MagnitudeHead(10)(torch.full((1, 2, 2, 10, 7, 7), 3.0))
    assert relative(found, torch.full((1, 10), 2 * 3 * 2**0.5 + 0.01)) < 1e-6


def test_running_statistics():
    torch.manual_seed(0)
    norm = hnet.MagnitudeNorm(3)
    first, second = torch.randn(2, 4, 2, 2, 3, 6, 6)
    in_training = norm(first)
    norm.eval()
    assert (
        relative(norm(first), in_training) < 1e-5
    )  # one batch: its statistics are the running ones
    assert relative(norm(first[:1]), norm(first)[:1]) < 1e-5
    size = [hnet.magnitudes(batch).mean((0, 3, 4)).unsqueeze(1) for batch in (first, second)]
    assert relative(norm.running_mean, size[0]) < 1e-5
    norm.train()(second)
    assert relative(norm.running_mean, (size[0] + size[1]) / 2) < 1e-5
    norm.num_batches_tracked.fill_(1000)
    before = norm.running_mean.clone()
    norm(first)
    assert relative(norm.running_mean, 0.9 * before + 0.1 * size[0]) < 1e-5


def test_magnitudes_have_a_gradient_at_zero():
    zeros = torch.zeros(1, 2, 2, 3, 4, 4, requires_grad=True)
    hnet.magnitudes(zeros).sum().backward()
    assert torch.equal(zeros.grad, torch.zeros_like(zeros))


@pytest.mark.parametrize("variant", PUBLISHED)
def test_parameters(variant):
    assert models.count_parameters(hnet.build(variant)) == 22_826
    shapes = {n: tuple(p.shape) for n, p in hnet.build(variant).conv3.named_parameters()}
    assert shapes == {
        "radial.0": (4, 8, 16),
        "radial.1": (4, 8, 16),
        "phase.0": (1, 1, 8, 16),
        "phase.1": (1, 1, 8, 16),
    }


def test_unknown_variant():
    with pytest.raises(KeyError):
        hnet.build("2017")


@cache
def prepared(variant, dtype=torch.float32):
    """A net in evaluation whose running statistics are those of the images, and the images."""
    torch.manual_seed(0)
    net = hnet.build(variant).to(dtype)
    images = torch.rand(4, 1, 28, 28, dtype=dtype)
    net(images)
    return net.eval(), images


@torch.no_grad()
def logit_change(net, images, quarters):
    """Greatest change of a logit under a turn, over the spread of all logits."""
    logits = net(images)
    change = (net(images.rot90(quarters, (-2, -1))) - logits).abs().max()
    return (change / (logits.max() - logits.min())).item()


@torch.no_grad()
def layer_outputs(net, images):
    """By name, the output of every module of the net."""
    outputs = {}
    hooks = [
        module.register_forward_hook(
            lambda _, __, output, name=name: outputs.update({name: output})
        )
        for name, module in net.named_modules()
    ]
    net(images)
    for hook in hooks:
        hook.remove()
    return outputs


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_logits_are_invariant(quarters):
    assert logit_change(*prepared("fixed"), quarters) < 1e-5
    assert logit_change(*prepared("fixed", torch.float64), quarters) < 1e-9


def test_logits_of_2018_change_with_quarter_turns_only():
    net, images = prepared("2018")
    assert logit_change(net, images, 1) > 0.1
    assert logit_change(net, images, 3) > 0.1
    assert logit_change(net, images, 2) < 1e-5


def turn_errors(variant, quarters):
    """By name of an invariant, how much it fails to follow a turn of the image."""
    net, images = prepared(variant)
    before = layer_outputs(net, images)
    after = layer_outputs(net, images.rot90(quarters, (-2, -1)))
    errors = {}
    for name, invariant in net.invariants.items():
        expected = invariant(before[name])
        if expected.ndim == 4:
            expected = expected.rot90(quarters, (-2, -1))
        errors[name] = relative(invariant(after[name]), expected)
    return errors


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_magnitudes_turn_with_the_image(quarters):
    errors = turn_errors("fixed", quarters)
    assert len(errors) == 8
    assert max(errors.values()) < 1e-5


def test_magnitudes_of_2018_do_not():
    errors = turn_errors("2018", 1)
    assert errors.pop("conv1") < 1e-5  # its input is real: nothing to conjugate
    assert min(errors.values()) > 0.01
    assert max(turn_errors("2018", 2).values()) < 1e-5


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_order_one_is_multiplied_by_the_turn(quarters):
    net, images = prepared("fixed")
    before = layer_outputs(net, images)
    after = layer_outputs(net, images.rot90(quarters, (-2, -1)))
    for name in ("conv1", "relu1", "conv2", "norm2", "norm4", "norm6", "conv7"):
        turned = before[name].rot90(quarters, (-2, -1))
        assert relative(after[name][:, 0], turned[:, 0]) < 1e-5, name
        one = torch.complex(*turned[:, 1].unbind(1)) * (-1j) ** quarters
        assert relative(torch.complex(*after[name][:, 1].unbind(1)), one) < 1e-5, name


@torch.no_grad()
@pytest.mark.parametrize("variant", PUBLISHED)
def test_kept_filters_give_the_same_logits(variant):
    net, images = prepared(variant)
    with filters_kept(net):
        assert torch.equal(net(images), net(images))
        kept = net(images)
    assert torch.equal(kept, net(images))
