import torch

from rotgrid.attacks import class_means
from rotgrid.attacks.class_means import means_of, nearest


def test_an_image_moves_toward_the_nearest_other_class():
    means = torch.tensor([0.0, 0.5, 0.6])[:, None, None, None].expand(3, 1, 2, 2)
    assert nearest(means).tolist() == [1, 2, 1]
    images, labels = torch.full((3, 1, 2, 2), 0.5), torch.tensor([0, 1, 2])
    moved = class_means(torch.nn.Identity(), images, labels, eps=0.1, means=means)
    torch.testing.assert_close(moved[:, 0, 0, 0], torch.tensor([0.6, 0.6, 0.4]))


def test_it_breaks_a_classifier_by_means_at_half_the_distance():
    means = torch.stack([torch.full((1, 2, 2), 0.2), torch.full((1, 2, 2), 0.6)])

    def nearest_mean(images):
        return -torch.cdist(images.flatten(1), means.flatten(1))

    images, labels = means.clone(), torch.tensor([0, 1])
    for eps, broken in ((0.19, False), (0.21, True)):
        moved = class_means(nearest_mean, images, labels, eps=eps, means=means)
        assert ((nearest_mean(moved).argmax(1) != labels) == broken).all()


def test_the_means_are_those_of_each_class():
    images, labels = torch.rand(30, 1, 2, 2), torch.arange(30) % 3
    torch.testing.assert_close(means_of(images, labels, 3)[1], images[1::3].mean(0))
