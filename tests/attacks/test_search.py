import itertools

import torch

from rotgrid.attacks.search import first_order, search

GRID = [0.3, 0.0, 0.1, 0.2, 0.05, 0.1]


class Attack:
    """Breaks image i from its own distance on, and counts how often it is asked."""

    def __init__(self, distances, early=False):
        self.distances, self.asked, self.early = distances, [], early

    def __call__(self, at, eps):
        self.asked += list(zip(at.tolist(), eps.tolist(), strict=True))
        broken = self.distances[at] <= eps
        found = self.distances[at] if self.early else eps
        return torch.where(broken, found, torch.inf)


def truth(distances):
    return torch.tensor(GRID)[:, None] < distances[None]


def test_the_search_finds_where_each_image_breaks_whatever_the_guess():
    torch.manual_seed(0)
    distances = torch.cat([torch.rand(300) * 0.4, torch.tensor([0.1, torch.inf, 1e-9])])
    for guess in (torch.zeros(303), torch.ones(303), distances, torch.rand(303)):
        for early in (False, True):
            assert torch.equal(search(Attack(distances, early), GRID, guess), truth(distances))


def test_a_right_guess_costs_one_success_and_one_failure():
    distances = torch.tensor([0.07, 0.15, 0.25])
    attack = Attack(distances)
    search(attack, GRID, distances)
    assert len(attack.asked) == 2 * len(distances)


def test_a_wrong_guess_costs_logarithmically_in_the_grid():
    levels = [k / 64 for k in range(1, 64)]
    for distance, guess in itertools.product((0.01, 0.3, 0.5, 0.98, 2.0), (0.0, 0.4, 1.0)):
        attack = Attack(torch.tensor([distance]))
        search(attack, levels, torch.tensor([guess]))
        assert len(attack.asked) <= 14  # of 63


def test_images_known_to_be_broken_are_attacked_only_below():
    distances = torch.tensor([0.07, 0.07])
    attack = Attack(distances)
    found = search(attack, GRID, distances, torch.tensor([0.08, torch.inf]))
    assert torch.equal(found, truth(distances))
    assert all(eps < 0.1 for image, eps in attack.asked if image == 0)


def test_eps_0_is_never_attacked():
    attack = Attack(torch.tensor([0.01, 1.0]))
    search(attack, GRID, torch.tensor([0.0, 0.0]))
    assert all(eps > 0 for _, eps in attack.asked)


def test_what_is_taken_for_granted_is_bounded_by_the_exceptions():
    """An attack that fails at a large eps where a smaller one succeeds: the smaller may be missed,
    and no image is ever called broken that was not."""

    def gap(at, eps):
        return torch.where((eps > 0.04) & (eps < 0.15), eps, torch.inf)

    for guess in (0.0, 0.1, 0.3):
        found = search(gap, GRID, torch.tensor([guess]))[:, 0].tolist()
        assert found in ([True] * 6, [False, True, False, False, False, False])


def test_a_success_found_nearer_than_asked_counts_there():
    def near(at, eps):
        return torch.full_like(eps, 0.05).where(eps > 0.25, torch.inf)

    found = search(near, GRID, torch.tensor([0.3]))[:, 0].tolist()
    assert found == [False, True, False, False, False, False]


def test_a_success_beyond_its_eps_by_rounding_ends_the_search():
    def coarse(at, eps):
        return torch.where(eps > 0.15, eps + 1e-3, torch.inf)

    found = search(coarse, GRID, torch.tensor([0.3]))[:, 0].tolist()
    assert found == [False, True, True, False, True, True]


def test_nothing_to_search():
    assert search(Attack(torch.zeros(0)), GRID, torch.zeros(0)).shape == (6, 0)
    assert search(Attack(torch.ones(2)), [], torch.ones(2)).shape == (0, 2)


def test_the_first_order_distance_is_exact_for_a_linear_model():
    torch.manual_seed(1)
    weight = torch.randn(3, 36)

    def linear(images):
        return images.flatten(1) @ weight.T

    images = torch.rand(40, 1, 6, 6)
    labels = linear(images).argmax(1)
    logits = linear(images).sort(1, descending=True)
    apart = (weight[logits.indices[:, 0]] - weight[logits.indices[:, 1]]).abs().sum(1)
    expected = (logits.values[:, 0] - logits.values[:, 1]) / apart
    torch.testing.assert_close(first_order(linear, images, labels), expected)
