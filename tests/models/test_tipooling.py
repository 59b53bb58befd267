import math

import pytest
import torch
import torch.nn.functional as F

from rotgrid.models.tipooling import CHUNK, ConvPool, RotatedCopies, build, over_copies
from rotgrid.rotation import rotate

from golden import relative


class PlainCNN(torch.nn.Module):
    """The same branch and head on the image alone: no copies, no pooling over them."""

    def __init__(self, net):
        super().__init__()
        self.branch, self.head = net.branch, net.head

    def forward(self, images):
        return self.head(self.branch(F.pad(images, (2, 2, 2, 2))))


@pytest.mark.parametrize(("variant", "count"), [("narrow", 541_450), ("full", 13_308_170)])
def test_parameter_counts(variant, count):
    net = build(variant)
    assert sum(p.numel() for p in net.parameters()) == count
    assert "copies.grid" not in net.state_dict()


def test_an_unknown_variant_is_refused():
    with pytest.raises(KeyError):
        build("wide")


def test_copies_are_the_padded_image_turned_by_15_degrees_each():
    images = torch.rand(3, 1, 28, 28)
    padded = F.pad(images, (2, 2, 2, 2))
    copies = RotatedCopies(28)(images).unflatten(0, (3, 24))
    for copy in range(24):
        expected = rotate(padded, 15.0 * copy)
        torch.testing.assert_close(copies[:, copy], expected, rtol=0, atol=1e-5)
    for quarter in range(4):
        assert torch.equal(copies[:, 6 * quarter], padded.rot90(quarter, (-2, -1)))


def test_gradients_go_back_through_the_turns():
    """Copies are linear in the image: the gradient of <copies(x), w> is the transpose, at w."""
    copies = RotatedCopies(28).double()
    images = torch.rand(2, 1, 28, 28, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(2, 24, 1, 32, 32, dtype=torch.float64)
    product = (copies(images) * weights.flatten(0, 1)).sum()
    (gradient,) = torch.autograd.grad(product, images)
    assert (gradient * images).sum().item() == pytest.approx(product.item(), rel=1e-12)
    quarters = copies(images).unflatten(0, (2, 24))[:, ::6] * weights[:, ::6]
    (gradient,) = torch.autograd.grad(quarters.sum(), images)
    back = sum(weights[:, 6 * turn].rot90(-turn, (-2, -1)) for turn in range(4))
    torch.testing.assert_close(gradient, back[..., 2:-2, 2:-2])


def test_chunks_change_nothing():
    conv = ConvPool(1, 4)
    maps = torch.rand(CHUNK + 5, 1, 32, 32)
    expected = F.max_pool2d(F.relu(F.conv2d(maps, conv.weight, conv.bias, padding=1)), 2)
    torch.testing.assert_close(conv(maps), expected, rtol=1e-5, atol=1e-6)


def test_the_maximum_is_that_of_24_branches_each_with_its_relu():
    """As the original writes it: a siamese branch per copy, ReLU before the maximum."""
    net = build().eval()
    images = torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        copies = net.copies(images).unflatten(0, (3, 24))
        branches = [F.relu(net.branch(copies[:, copy])) for copy in range(24)]
        expected = net.head[2](torch.stack(branches, 2).amax(2))
        assert relative(net(images), expected) < 1e-5


def test_weights_start_within_the_root_of_the_fan_in():
    net = build()
    for layer, fan_in in ((net.branch[2], 16 * 9), (net.branch[4], 512), (net.head[2], 1024)):
        bound = 1 / math.sqrt(fan_in)
        assert 0.98 * bound < layer.weight.abs().max() <= bound
        assert 0.5 * bound < layer.bias.abs().max() <= bound


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_quarter_turns_change_nothing(quarter):
    net = build().eval()
    images = torch.rand(4, 1, 28, 28)
    turned = images.rot90(quarter, (-2, -1))
    with torch.no_grad():
        assert relative(net(turned), net(images)) < 1e-6
        plain = PlainCNN(net)
        assert relative(plain(turned), plain(images)) > 1e-2


@pytest.mark.parametrize("layer", range(3))
def test_maxima_over_copies_of_every_layer_are_invariant(layer):
    net = build().eval()
    images = torch.rand(4, 1, 28, 28)
    with torch.no_grad():
        maps, turned = (
            net.branch[: layer + 1](net.copies(i)) for i in (images, images.rot90(1, (-2, -1)))
        )
    assert relative(over_copies(turned), over_copies(maps)) < 1e-6
    assert relative(turned, maps) > 1e-2


def test_gradients_to_the_pixels_turn_with_the_image():
    net = build().eval()
    images = torch.rand(4, 1, 28, 28)
    gradients = []
    for turned in (images, images.rot90(1, (-2, -1))):
        pixels = turned.clone().requires_grad_()
        F.cross_entropy(net(pixels), torch.arange(4)).backward()
        gradients.append(pixels.grad)
    assert gradients[0].abs().amax((1, 2, 3)).min() > 0
    assert relative(gradients[1], gradients[0].rot90(1, (-2, -1))) < 1e-5


def blobs(degrees):
    """Smooth images (20, 1, 28, 28), turned counter-clockwise without any resampling."""
    generator = torch.Generator().manual_seed(0)
    radius, angle = torch.rand(2, 20, 4, 1, 1, generator=generator)
    radius, angle = 6 * radius, 2 * math.pi * angle + math.radians(degrees)
    steps = torch.arange(28.0) - 13.5
    x, y = steps - radius * angle.cos(), steps[:, None] + radius * angle.sin()
    return torch.exp(-(x**2 + y**2) / 12).sum(1, keepdim=True) / 4


def change(net, degrees):
    """Rms change of the logits under a turn, over their deviation among images."""
    before, after = net(blobs(0)), net(blobs(degrees))
    return ((after - before).square().mean() / before.var(0).mean()).sqrt().item()


@pytest.mark.parametrize("degrees", [15, 30, 45, 75, 105])
def test_turns_by_15_degrees_change_little(degrees):
    torch.manual_seed(0)
    net = build().eval()
    with torch.no_grad():
        assert change(net, degrees) < 0.15
        assert change(PlainCNN(net), degrees) > 0.25
