import pytest
import torch

from rotgrid.models import p4cnn, z2cnn
from rotgrid.models.p4cnn import rotating_part

from golden import relative

LAYERS = [f"layer{n}" for n in range(1, 7)]
IMAGES = torch.rand(4, 1, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=p4cnn.WIDTHS)
def net(request):
    return settled(p4cnn.build(request.param))


def settled(net):
    """In float64 and evaluation mode, with statistics that fit the images."""
    net.double()
    with torch.no_grad():
        for _ in range(20):
            net(IMAGES)
    return net.eval()


def outputs(net, images, layers):
    """Outputs of some layers, then the logits."""
    found = []
    hooks = [
        net.get_submodule(layer).register_forward_hook(lambda m, i, out: found.append(out))
        for layer in layers
    ]
    with torch.no_grad():
        logits = net(images)
    for hook in hooks:
        hook.remove()
    return [*found, logits]


def invariance_error(net, quarter):
    with torch.no_grad():
        return relative(net(IMAGES.rot90(quarter, (-2, -1))), net(IMAGES))


@pytest.mark.parametrize(
    ("variant", "parameters"), [("base", 24_680), ("rotation-pooling", 21_750)]
)
def test_parameter_counts_are_the_papers(variant, parameters):
    net = p4cnn.build(variant)
    assert sum(p.numel() for p in net.parameters()) == parameters


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_logits_are_invariant_to_quarter_turns(net, quarter):
    assert invariance_error(net, quarter) < 1e-12


def test_a_planar_network_fails_the_same_check():
    assert invariance_error(settled(z2cnn.build()), 1) > 0.1


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_orientations_roll_before_the_head(quarter):
    net = settled(p4cnn.build())
    upright = outputs(net, IMAGES, [*LAYERS, "top"])[:-1]
    turned = outputs(net, IMAGES.rot90(quarter, (-2, -1)), [*LAYERS, "top"])[:-1]
    for expected, found in zip(upright, turned, strict=True):
        expected = expected.rot90(quarter, (-2, -1))
        assert relative(found, expected.roll(quarter, 2)) < 1e-12
        assert relative(found, expected) > 0.1
    assert turned[-1].shape == (4, 10, 4, 1, 1)


def test_every_layer_turns_with_the_image(net):
    upright = outputs(net, IMAGES, LAYERS)[:-1]
    turned = outputs(net, IMAGES.rot90(1, (-2, -1)), LAYERS)[:-1]
    for expected, found, size in zip(upright, turned, (26, 24, 10, 8, 6, 4), strict=True):
        assert rotating_part(found).shape[2:] == (size, size)
        assert relative(rotating_part(found), rotating_part(expected).rot90(1, (-2, -1))) < 1e-12


def test_batch_norm_has_one_statistic_for_all_orientations():
    layer = p4cnn.build("base").layer2.double()
    maps = torch.randn(8, 10, 4, 9, 9, dtype=torch.float64)
    convolved = layer.conv(maps)
    mean = convolved.mean((0, 2, 3, 4))
    variance = convolved.var((0, 2, 3, 4), unbiased=False)
    shape = (1, 10, 1, 1, 1)
    expected = (convolved - mean.view(shape)) / (variance.view(shape) + 2e-5).sqrt()
    assert relative(layer(maps), expected.relu()) < 1e-12
    torch.testing.assert_close(layer.bn.running_mean, 0.1 * mean)  # Chainer's decay 0.9


def test_rotation_pooling_keeps_the_strongest_orientation():
    layer = p4cnn.build("rotation-pooling").layer2.eval()
    maps = torch.randn(2, 20, 9, 9)
    expected = layer.bn(layer.conv(maps)).relu().amax(2)
    assert torch.equal(layer(maps), expected)


def test_weights_start_as_in_chainer(net):
    for convolution in (net.layer2.conv, net.layer6.conv, net.top):
        fan_in = convolution.weight[0].numel()
        assert convolution.weight.std().item() == pytest.approx(fan_in**-0.5, rel=0.1)
        assert not convolution.bias.any()


def test_unknown_variant():
    with pytest.raises(KeyError):
        p4cnn.build("p4m")
