import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from rotgrid import models
from rotgrid.models.layers import ImageConv2d, convolve_image


@pytest.mark.parametrize(("size", "padding"), [(3, 0), (5, 2), (9, 0), (3, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_convolution_of_an_image_and_its_gradients_are_torch_s(size, padding, layout):
    torch.manual_seed(0)
    images = torch.rand(4, 1, 11, 12, dtype=torch.float64).contiguous(memory_format=layout)
    weight, bias = torch.randn(6, 1, size, size).double(), torch.randn(6).double()
    leaves = [x.detach().requires_grad_() for x in (images, weight, bias)]
    ours, theirs = (function(*leaves, padding=padding) for function in (convolve_image, F.conv2d))
    assert torch.equal(ours, theirs)
    direction = torch.randn_like(ours)
    for mine, other in zip(
        torch.autograd.grad(ours, leaves, direction, retain_graph=True),
        torch.autograd.grad(theirs, leaves, direction),
        strict=True,
    ):
        torch.testing.assert_close(mine, other)


def test_only_the_gradients_that_are_asked_for_are_made():
    layer = ImageConv2d(1, 4, 3)
    layer(torch.rand(2, 1, 8, 8)).sum().backward()
    assert layer.weight.grad is not None
    layer.requires_grad_(False)
    image = torch.rand(2, 1, 8, 8, requires_grad=True)
    layer(image).sum().backward()
    assert image.grad is not None


def test_the_layer_has_the_weights_of_an_ordinary_one():
    torch.manual_seed(0)
    ours = ImageConv2d(1, 4, 3)
    torch.manual_seed(0)
    theirs = nn.Conv2d(1, 4, 3)
    assert all(
        torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)
    )


def test_in_bfloat16_the_gradient_of_the_image_is_summed_in_float32():
    torch.manual_seed(0)
    weight, bias = torch.randn(16, 1, 3, 3), torch.zeros(16)
    image = torch.rand(2, 1, 12, 12, requires_grad=True)
    gradients = []
    for lowered in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=lowered):
            out = convolve_image(image, weight, bias)
        gradients += torch.autograd.grad(out.float().square().sum(), image)
    assert gradients[1].dtype == torch.float32
    error = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert error < 0.01


@pytest.mark.parametrize("model", ["stdcnn", "gcnn"])
def test_maps_and_their_gradients_are_channels_last(model):
    """torch computes all the same in either order, but a convolution between orders copies."""
    seen = []

    def noted(maps):
        if maps.ndim == 4:
            seen.append(maps.is_contiguous(memory_format=torch.channels_last))

    class Noting(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if func is torch.ops.aten.convolution.default:
                noted(args[0])
                noted(out)
            elif func is torch.ops.aten.convolution_backward.default:
                noted(args[0])
            return out

    net = models.build(model)
    with Noting():
        net(torch.rand(3, 1, 28, 28)).sum().backward()
    assert len(seen) == 3 * 4
    assert all(seen)
