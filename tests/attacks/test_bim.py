import pytest
import torch

from rotgrid import models
from rotgrid.attacks import bim
from rotgrid.attacks.bim import steps_for


@pytest.mark.parametrize(("levels", "steps"), [(0, 0), (2, 3), (8, 10), (16, 20), (32, 36)])
def test_the_number_of_steps_is_the_published_one(levels, steps):
    assert steps_for(levels / 255) == steps


def test_each_step_moves_a_pixel_by_one_level_and_equals_foolbox():
    import foolbox

    net = models.build("stdcnn", seed=0).eval()
    images, labels = torch.rand(20, 1, 28, 28), torch.randint(10, (20,))
    eps = 8 / 255
    moved = bim(net, images, labels, eps=eps)
    assert (moved - images).abs().max() <= eps + 1e-6
    attack = foolbox.attacks.LinfBasicIterativeAttack(
        abs_stepsize=1 / 255, steps=10, random_start=False
    )
    wrapped = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    theirs = attack(wrapped, images, labels, epsilons=eps)[1]
    end_is_wrong = net(theirs).argmax(1) != labels
    ours_is_right = net(moved).argmax(1) == labels
    same = end_is_wrong | ours_is_right  # else ours keeps a success that theirs lost again
    assert same.float().mean() > 0.9
    torch.testing.assert_close(moved[same], theirs[same], atol=1e-6, rtol=0)
