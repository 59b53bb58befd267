import pytest
import torch

from rotgrid import models
from rotgrid.models import p4resnet, resnet
from rotgrid.models.gcnn import P4ConvP4, P4ConvZ2
from rotgrid.models.layers import filters_kept
from rotgrid.spec.datasets import Shape

from golden import relative

CIFAR = Shape(3, 32, 10, (0.49, 0.48, 0.45), (0.25, 0.24, 0.26))
quarters = pytest.mark.parametrize("quarter", [1, 2, 3])


@pytest.fixture(scope="module")
def net():
    """The smaller variant in float64, with statistics that fit the images."""
    torch.manual_seed(0)
    made = p4resnet.build("matched-base", CIFAR).double()
    with torch.no_grad():
        made(images_of(32))
    return made.eval()


def images_of(size):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, size, size, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize(
    ("variant", "parameters"), [("base", 1_071_514), ("matched-base", 268_498)]
)
def test_parameter_counts_on_cifar(variant, parameters):
    assert models.count_parameters(models.build("p4resnet", variant, shape=CIFAR)) == parameters


def test_no_other_widths_are_nearer_to_the_parameters_of_resnet():
    def parameters(kind, width):
        return models.count_parameters(kind((width, 2 * width, 4 * width), CIFAR))

    wanted = parameters(resnet.ResNet, 16)
    counts = {width: parameters(p4resnet.P4ResNet, width) for width in (7, 8, 9)}
    nearest = min(counts, key=lambda width: abs(counts[width] - wanted))
    assert p4resnet.WIDTHS["matched-base"] == (nearest, 2 * nearest, 4 * nearest)


@quarters
@pytest.mark.parametrize("size", [32, 28, 12, 4])
def test_logits_are_invariant_to_quarter_turns(net, quarter, size):
    images = images_of(size)
    with torch.no_grad():
        assert relative(net(images.rot90(quarter, (2, 3))), net(images)) < 1e-10


def test_a_size_that_four_does_not_divide_breaks_the_invariance(net):
    images = images_of(30)
    with torch.no_grad():
        assert relative(net(images.rot90(1, (2, 3))), net(images)) > 1e-4


@quarters
def test_maps_rotate_and_orientations_roll(net, quarter):
    maps = torch.randn(2, 8, 4, 12, 12, dtype=torch.float64)
    with torch.no_grad():
        for block in (net.blocks[0], net.blocks[3]):
            rotated = maps.rot90(quarter, (3, 4)).roll(quarter, 2)
            expected = block(maps).rot90(quarter, (3, 4))
            assert relative(block(rotated), expected.roll(quarter, 2)) < 1e-12
            assert relative(block(rotated), expected) > 0.01


def test_padding_is_that_of_a_padded_map_and_no_bias_is_a_bias_of_zero():
    torch.manual_seed(0)
    for kind, images in (
        (P4ConvZ2, torch.rand(2, 1, 6, 6)),
        (P4ConvZ2, torch.rand(2, 3, 6, 6)),
        (P4ConvP4, torch.rand(2, 3, 4, 6, 6)),
    ):
        padded, plain = kind(images.shape[1], 5, 3, 1, bias=False), kind(images.shape[1], 5, 3)
        plain.weight.data, plain.bias.data = padded.weight.data, torch.zeros(5)
        expected = plain(torch.nn.functional.pad(images, (1, 1, 1, 1)))
        torch.testing.assert_close(padded(images), expected)
        assert [name for name, _ in padded.named_parameters()] == ["weight"]


def test_kept_filters_give_the_same_logits(net):
    images = images_of(8)
    with torch.no_grad():
        expected = net(images)
        with filters_kept(net):
            assert torch.equal(net(images), expected)


def test_convolutions_start_by_the_method_of_he():
    convolution = p4resnet.build("matched-base").blocks[8].conv2
    deviation = (2 / convolution.weight[0].numel()) ** 0.5
    assert convolution.weight.std().item() == pytest.approx(deviation, rel=0.03)


def test_unknown_variant():
    with pytest.raises(KeyError):
        p4resnet.build("p4m")
