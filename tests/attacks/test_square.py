import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rotgrid import data
from rotgrid.attacks.pgd import pgd
from rotgrid.attacks.square import draw_squares, search, side, square, square_from, squares_of

from linear import Halves
from trained import perceptron


class Counted(nn.Module):
    """A model that keeps what it was asked."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.asked = []

    def forward(self, images):
        self.asked.append(images.clone())
        return self.model(images)


@pytest.fixture(scope="module")
def trained(digits):
    """In float64 a search has no ties by rounding."""
    return perceptron(digits).double()


@pytest.fixture(scope="module")
def test_set(digits):
    images = data.pixels(digits.test_images[:60]).double()
    return images, digits.test_labels[:60]


@torch.no_grad()
def predicted(model, images):
    return model(images).argmax(1)


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


def drawn(steps, generator):
    stripes, uniform = draw_squares(28, steps, generator)
    return stripes, squares_of(uniform, 28, 28)


def radii(images, eps=0.1):
    return images.new_full((len(images), 1, 1, 1), eps)


@torch.no_grad()
def by_the_book(model, image, label, eps, stripes, squares):
    """Algorithm 1 for one image, the square added and the sum clipped, as the original does."""

    def margin_of(point):
        logits = model(point[None])[0]
        return logits[label] - logits[torch.arange(len(logits)) != label].max()

    def clipped(point):
        return torch.min(torch.max(point, image - eps), image + eps).clamp(0, 1)

    best = clipped(image + eps * (2 * stripes.double() - 1))
    least = margin_of(best)
    for end, rows, columns in squares:
        if least < 0:
            return best, True
        step = torch.zeros_like(image)
        step[:, rows, columns] = 2 * eps * (2 * end - 1)
        proposed = clipped(best + step)
        if (margin := margin_of(proposed)) < least:
            best, least = proposed, margin
    return best, bool(least < 0)


def test_every_image_is_searched_as_the_paper_says(trained, test_set):
    images, labels = test_set
    eps = torch.linspace(0.02, 0.2, 60, dtype=torch.float64)
    found, broken = square_from(
        trained, images, labels, eps[:, None, None, None], 120, 1, seeded()
    )
    stripes, squares = drawn(120, seeded())
    clean = predicted(trained, images) == labels
    assert 5 < broken[clean].sum() < clean.sum() - 5
    for i in clean.nonzero().squeeze(1)[::2].tolist():
        best, wrong = by_the_book(trained, images[i], labels[i], eps[i], stripes, squares)
        assert broken[i] == wrong
        torch.testing.assert_close(found[i], best, atol=1e-12, rtol=0)


def test_a_linear_model_breaks_exactly_at_its_margin():
    """Squares become pixels, and then the search ends at the optimum."""
    model = Halves()
    images = 0.4 + 0.2 * torch.rand(64, 1, 6, 6)
    score = model(images)[:, 1].detach()
    labels = (score > 0).long()
    distance = (score.abs() / model.w.abs().sum()).detach()[:, None, None, None]
    inside, broken = square_from(model, images, labels, 0.99 * distance, 1500, 1, seeded())
    assert not broken.any()
    toward = (1.0 - 2 * labels)[:, None] * model.w.detach().sign()
    best = images + 0.99 * distance * toward.view_as(images)
    torch.testing.assert_close(inside, best, atol=1e-6, rtol=0)
    assert square_from(model, images, labels, 1.01 * distance, 1500, 1, seeded())[1].all()


def test_sizes_follow_the_schedule_stretched_over_the_queries():
    after = [0, 10, 11, 50, 51, 200, 201, 500, 501, 1000, 1001, 2000, 2001, 4000, 4001, 6001, 8001]
    sides = [25, 25, 18, 18, 13, 13, 9, 9, 6, 6, 4, 4, 3, 3, 2, 2, 1]
    assert [side(step, 10_000, 784) for step in after] == sides
    assert [side(step, 2_500, 784) for step in range(2_500)] == [
        side(4 * step, 10_000, 784) for step in range(2_500)
    ]


def test_squares_reach_every_pixel_and_stay_within_the_image():
    _, squares = drawn(4000, seeded())
    hits = torch.zeros(2, 28, 28)
    for step, (end, rows, columns) in enumerate(squares):
        assert rows.stop - rows.start == columns.stop - columns.start == side(step, 4000, 784)
        assert min(rows.start, columns.start) >= 0
        assert max(rows.stop, columns.stop) <= 28
        hits[end, rows, columns] += 1
    assert hits.amin() > 0


@pytest.mark.parametrize("eps", [0.01, 0.1, 0.3, 1.0])
def test_ball_and_box_hold_for_every_image(trained, test_set, eps):
    images, labels = (test_set[0].float(), test_set[1])
    moved = square(copy.deepcopy(trained).float(), images, labels, eps=eps, steps=60, restarts=2)
    assert (moved - images).abs().max() <= eps + 1e-6
    assert moved.amin() >= 0
    assert moved.amax() <= 1
    assert torch.isfinite(moved).all()


def test_eps_0_is_the_identity_and_costs_no_queries(trained, test_set):
    model = Counted(trained)
    assert torch.equal(square(model, *test_set, eps=0.0, steps=500), test_set[0])
    assert len(model.asked) == 3  # an image for its logits, the images, the stripes


def test_broken_means_misclassified_within_the_ball(trained, test_set):
    images, labels = test_set
    found, broken = square_from(trained, images, labels, radii(images), 150, 2, seeded())
    assert torch.equal(predicted(trained, found) != labels, broken)
    assert (found - images).abs().amax() <= 0.1 + 1e-6
    wrong = predicted(trained, images) != labels
    assert wrong.any()
    assert broken[wrong].all()
    assert torch.equal(found[wrong], images[wrong])
    assert 0 < (broken & ~wrong).sum() < (~wrong).sum()
    same = square(trained, images, labels, eps=0.1, steps=150, restarts=2, generator=seeded())
    assert torch.equal(found, same)


def test_results_do_not_depend_on_the_other_images(trained, test_set):
    images, labels = test_set
    eps = radii(images) * torch.linspace(0.5, 1.5, 60, dtype=torch.float64)[:, None, None, None]
    found, broken = square_from(trained, images, labels, eps, 150, 2, seeded())
    at = torch.randperm(60)[:25]
    some, some_broken = square_from(trained, images[at], labels[at], eps[at], 150, 2, seeded())
    assert torch.equal(some_broken, broken[at])
    torch.testing.assert_close(some, found[at], atol=1e-12, rtol=0)
    i = (~broken).nonzero()[0, 0]
    alone = square(
        trained, images[i : i + 1], labels[i : i + 1], eps=eps[i].item(), steps=150, restarts=2,
        generator=seeded(),
    )  # fmt: skip
    torch.testing.assert_close(alone[0], found[i], atol=1e-12, rtol=0)


def test_the_generator_moves_on_by_the_same_amount_whatever_is_broken(trained, test_set):
    states = []
    for eps in (0.0, 1.0):
        generator = seeded()
        square(trained, *test_set, eps=eps, steps=30, restarts=2, generator=generator)
        states.append(generator.get_state())
    assert torch.equal(*states)


def test_an_image_leaves_the_batch_once_it_is_broken(trained, test_set):
    model = Counted(trained)
    images, labels = test_set
    _, broken = square_from(model, images, labels, radii(images, 0.15), 150, 1, seeded())
    left = (predicted(trained, images) == labels).sum()
    assert len(model.asked[1]) == left
    for points in model.asked[1:]:
        assert len(points) <= left
        at = torch.cdist(points.flatten(1), images.flatten(1), p=torch.inf).argmin(1)
        left = left - (predicted(trained, points) != labels[at]).sum()
    assert left == (~broken).sum()


def test_more_queries_never_raise_the_margin(trained, test_set):
    images, labels = test_set
    ends = torch.stack([(images - 0.03).clamp(min=0), (images + 0.03).clamp(max=1)])
    stripes, squares = drawn(90, seeded())
    before = torch.full((60,), torch.inf)
    for count in (0, 30, 60, 90):
        found, broken = search(trained, ends, labels, stripes, squares[:count])
        logits = trained(found).detach()
        true = F.one_hot(labels, 10).bool()
        margin = logits[true] - logits.masked_fill(true, -torch.inf).amax(1)
        assert torch.equal(broken, margin < 0)
        assert (margin <= before).all()
        before = margin


def test_a_square_that_changes_no_margin_is_not_kept(test_set):
    images, labels = test_set

    def constant(x):
        return x.flatten(1)[:, :10] * 0 + F.one_hot(labels[: len(x)], 10)

    found = square(constant, images, labels, eps=0.1, steps=20, generator=seeded())
    stripes, _ = drawn(20, seeded())
    start = (images + 0.1 * (2 * stripes.double() - 1)).clamp(0, 1)
    torch.testing.assert_close(found, start, atol=1e-12, rtol=0)


def test_it_needs_no_gradient(trained, test_set):
    """Rounded pixels leave PGD without a gradient."""
    images, labels = test_set

    def rounded(x):
        return trained((x * 8).round() / 8)

    clean = predicted(rounded, images) == labels
    ascended = pgd(rounded, images, labels, eps=0.15, steps=10, loss="margin")
    assert torch.equal(predicted(rounded, ascended) == labels, clean)
    found = square(rounded, images, labels, eps=0.15, steps=200)
    assert (predicted(rounded, found) == labels).sum() < 0.6 * clean.sum()


def test_restarts_add_to_what_the_first_search_breaks(trained, test_set):
    images, labels = test_set
    broken = [
        square_from(trained, images, labels, radii(images), 30, restarts, seeded())[1]
        for restarts in (1, 5)
    ]
    assert (broken[0] <= broken[1]).all()
    assert broken[0].sum() < broken[1].sum()


def test_dropout_is_off(trained, test_set):
    images, labels = test_set
    dropping = nn.Sequential(trained, nn.Dropout(0.5)).train()
    found, broken = square_from(dropping, images, labels, radii(images), 20, 1, seeded())
    expected, expected_broken = square_from(
        trained, images, labels, radii(images), 20, 1, seeded()
    )
    assert torch.equal(broken, expected_broken)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(trained, test_set, training):
    net = copy.deepcopy(trained).train(training)
    net[1].weight.requires_grad_(False)
    before = test_set[0].clone()
    square(net, *test_set, eps=0.1, steps=5)
    assert all(module.training is training for module in net.modules())
    assert [p.requires_grad for p in net.parameters()] == [False, True, True, True]
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(test_set[0], before)


def test_wrong_input_and_numbers_that_are_not_finite_are_refused(trained, test_set):
    images, labels = test_set
    with pytest.raises(ValueError, match="normalise in the model"):
        square(trained, images * 2, labels, eps=0.1)
    with pytest.raises(ValueError, match=r"eps 8 is not in \[0, 1\]"):
        square(trained, images, labels, eps=8)
    with pytest.raises(FloatingPointError):
        square(lambda x: trained(x) / 0 * 0, images, labels, eps=0.1, steps=3)


def test_no_images_is_no_error(trained):
    images, labels = torch.rand(0, 1, 28, 28).double(), torch.zeros(0, dtype=torch.long)
    found, broken = square_from(trained, images, labels, radii(images), 5, 2, None)
    assert found.shape == images.shape
    assert broken.shape == (0,)
