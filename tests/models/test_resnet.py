import pytest
import torch
import torch.nn.functional as F

from rotgrid import models
from rotgrid.models import resnet
from rotgrid.spec.datasets import Shape

from golden import relative

CIFAR = Shape(3, 32, 10, (0.49, 0.48, 0.45), (0.25, 0.24, 0.26))


def test_on_cifar_it_has_the_parameters_of_the_reference():
    """akamaster/pytorch_resnet_cifar10: 269,722, all in 20 layers."""
    net = models.build("resnet", shape=CIFAR)
    assert models.count_parameters(net) == 269_722
    assert sum(p.ndim > 1 for p in net.parameters()) == 20


def test_stages_halve_the_maps_and_double_the_channels():
    net = resnet.build(shape=CIFAR)
    shapes = []
    for block in net.blocks:
        block.register_forward_hook(lambda module, inputs, maps: shapes.append(maps.shape[1:]))
    net(torch.rand(2, 3, 32, 32))
    stages = [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    assert [tuple(shape) for shape in shapes] == [stage for stage in stages for _ in range(3)]


def test_a_block_is_two_convolutions_beside_the_mean_of_squares():
    block = resnet.Block(4, 6).double()
    maps = torch.randn(5, 4, 6, 6, dtype=torch.float64)
    means = maps.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))

    def normed(maps):
        std, mean = torch.std_mean(maps, (0, 2, 3), correction=0, keepdim=True)
        return (maps - mean) / (std.square() + 1e-5).sqrt()

    inner = normed(F.conv2d(means, block.conv1.weight, padding=1)).relu()
    expected = normed(F.conv2d(inner, block.conv2.weight, padding=1))
    expected[:, 1:5] += means
    assert relative(block(maps), expected.relu()) < 1e-12


def test_a_block_without_added_channels_keeps_the_size():
    block = resnet.Block(4, 4).eval()
    for convolution in (block.conv1, block.conv2):
        torch.nn.init.zeros_(convolution.weight)
    maps = torch.rand(2, 4, 7, 7)
    assert torch.equal(block(maps), maps)


def test_convolutions_start_by_the_method_of_he():
    net = resnet.build(shape=CIFAR)
    for block in net.blocks[4:]:
        fan_in = block.conv1.weight[0].numel()
        assert block.conv1.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.03)


def test_logits_change_with_a_quarter_turn():
    net = resnet.build(shape=CIFAR).eval()
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        assert relative(net(images.rot90(1, (2, 3))), net(images)) > 0.01


def test_unknown_variant():
    with pytest.raises(KeyError):
        resnet.build("wide")
