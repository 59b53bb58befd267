import torch

from rotgrid import models


def test_the_layers_are_those_of_the_published_network():
    shapes = [tuple(p.shape) for p in models.build("madrycnn").parameters() if p.ndim > 1]
    assert shapes == [(32, 1, 5, 5), (64, 32, 5, 5), (1024, 3136), (10, 1024)]


def test_weights_start_as_a_cut_normal_distribution_and_biases_at_a_tenth():
    net = models.build("madrycnn")
    for parameter in net.parameters():
        if parameter.ndim == 1:
            assert (parameter == 0.1).all()
        else:
            assert parameter.abs().max() <= 0.2
            torch.testing.assert_close(parameter.std().item(), 0.088, atol=0.006, rtol=0)


def test_pixels_are_not_standardised():
    net = models.build("madrycnn")
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(net.normalize(images), images)
