import pytest
import torch

from rotgrid import attacks, data
from rotgrid.attacks.boundary import estimated_distances
from rotgrid.attacks.threats import THREATS

from trained import stdcnn


@pytest.mark.parametrize("threat", THREATS)
def test_the_estimate_is_exact_where_the_margin_is_linear(threat):
    weight = torch.randn(36, generator=torch.Generator().manual_seed(1))
    images = 0.5 + 0.1 * torch.rand(40, 1, 6, 6)
    labels = torch.ones(40).long()
    score = images.flatten(1) @ weight
    slope = THREATS[threat].slope(weight.view(1, 1, 6, 6))
    apart = torch.linspace(0, 0.3, 40)  # and so far from 0 and 1

    def linear(x):
        lead = x.flatten(1) @ weight - score + slope * apart
        return torch.stack([torch.zeros(40), lead], 1)

    found = estimated_distances(linear, images, labels, THREATS[threat])
    torch.testing.assert_close(found, apart, atol=1e-5, rtol=1e-4)


def test_it_is_nearer_to_what_pgd_finds_than_the_first_order(digits):
    """On the images that PGD breaks, at eps a step of 0.005 apart."""
    net = stdcnn(digits)
    images, labels = data.pixels(digits.test_images[:60]), digits.test_labels[:60]
    grid = [0.005 * k for k in range(1, 61)]
    survived = attacks.sweep(net, images, labels, attack="pgd", eps_grid=grid, steps=20)
    broken = torch.tensor([0.0, *grid])[survived.sum(0)]
    found = estimated_distances(net, images, labels)
    inputs = images.requires_grad_()
    logits = net(inputs)
    true, wrong = logits.gather(1, labels[:, None])[:, 0], logits.scatter(1, labels[:, None], -99)
    margin = true - wrong.amax(1)
    (gradient,) = torch.autograd.grad(margin.sum(), inputs)
    first_order = margin / gradient.abs().flatten(1).sum(1)
    counted = survived[0] & ~survived[-1]
    error, before = ((way - broken).abs()[counted].mean() for way in (found, first_order))
    assert error < 0.6 * before
