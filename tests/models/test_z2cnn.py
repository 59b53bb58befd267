import pytest
import torch
from torch import nn

from rotgrid.models import z2cnn

from golden import relative


def test_parameter_count_is_the_papers():
    assert sum(p.numel() for p in z2cnn.build().parameters()) == 21_750


def test_dropout_follows_layers_1_3_4_5_and_6():
    net = z2cnn.build()
    sizes = []
    net.dropout.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape))
    net(torch.rand(2, 1, 28, 28))
    assert [tuple(size) for size in sizes] == [(2, 20, n, n) for n in (26, 10, 8, 6, 4)]
    assert net.dropout.p == 0.3


def test_layers_are_convolution_batch_norm_and_relu():
    layer = z2cnn.build().layer2.double()
    maps = torch.randn(8, 20, 9, 9, dtype=torch.float64)
    convolved = nn.functional.conv2d(maps, layer.conv.weight)
    deviation, mean = torch.std_mean(convolved, (0, 2, 3), correction=0, keepdim=True)
    expected = (convolved - mean) / (deviation.square() + 2e-5).sqrt()
    assert relative(layer(maps), expected.relu()) < 1e-12


def test_weights_start_as_in_chainer():
    net = z2cnn.build()
    for convolution in (net.layer2.conv, net.layer6.conv, net.top):
        fan_in = convolution.weight[0].numel()
        assert convolution.weight.std().item() == pytest.approx(fan_in**-0.5, rel=0.1)
        assert not convolution.bias.any()


def test_layers_do_not_turn_with_the_image():
    net = z2cnn.build().eval()
    images = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        maps, turned = (net.layer1(net.normalize(x)) for x in (images, images.rot90(1, (2, 3))))
    assert maps.shape == (2, 20, 26, 26)
    assert relative(turned, maps.rot90(1, (2, 3))) > 0.1


def test_unknown_variant():
    with pytest.raises(KeyError):
        z2cnn.build("p4")
