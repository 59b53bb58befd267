import copy
import math

import pytest
import torch
from torch import nn

from rotgrid.attacks.boundary import boundary_radius
from rotgrid.attacks.fmn import OVERSHOOT, distances, fmn, fmn_from
from rotgrid.attacks.pgd import pgd
from rotgrid.attacks.threats import LINF

from linear import Linear


@torch.no_grad()
def predicted(model, images):
    return model(images).argmax(1)


def exact_distances(model, images, labels):
    """By bisection: how far all pixels must go, as far as the box lets them, toward a class."""
    logits = model(images).detach()
    slopes = (model.w[None] - model.w[labels][:, None]).detach()
    toward = slopes.sign()[:, :, None].unflatten(3, images.shape[-2:])
    low, high = torch.zeros_like(logits), torch.ones_like(logits)
    for _ in range(30):
        middle = (low + high) / 2
        moved = (images[:, None] + middle[..., None, None, None] * toward).clamp(0, 1)
        change = ((moved - images[:, None]).flatten(2) * slopes).sum(2)
        crossed = logits + change > logits.gather(1, labels[:, None])
        low, high = torch.where(crossed, low, middle), torch.where(crossed, middle, high)
    return high.scatter(1, labels[:, None], torch.inf)


@pytest.mark.parametrize("spread", [0.2, 1.0])
def test_the_distance_of_a_linear_model_is_exact(spread):
    """With the spread of 1 many pixels meet the faces of the box on the way."""
    model = Linear(2)
    images = 0.5 + spread * (torch.rand(64, 1, 6, 6) - 0.5)
    labels = predicted(model, images)
    exact = exact_distances(model, images, labels).amin(1)
    found = distances(model, images, labels, steps=30)
    assert (found >= exact - 1e-6).all()
    torch.testing.assert_close(found, exact, rtol=2e-3, atol=1e-5)


def test_of_many_classes_it_finds_the_nearest():
    model = Linear(10)
    images = 0.5 + 0.2 * (torch.rand(64, 1, 6, 6) - 0.5)
    labels = predicted(model, images)
    exact = exact_distances(model, images, labels).amin(1)
    found = distances(model, images, labels, steps=50)
    assert (found >= exact - 1e-6).all()
    assert (found <= 1.02 * exact).float().mean() > 0.9


def test_the_distance_is_that_of_the_image_found(trained, test_set):
    images, labels = test_set
    found, distance = fmn_from(trained, images, labels, 20)
    assert torch.equal((found - images).abs().flatten(1).amax(1), distance)
    assert (predicted(trained, found) != labels).all()
    assert found.amin() >= 0
    assert found.amax() <= 1
    assert torch.equal(distances(trained, images, labels, steps=20), distance)
    wrong = predicted(trained, images) != labels
    assert wrong.any()
    assert torch.equal(distance == 0, wrong)
    assert torch.equal(found[wrong], images[wrong])
    assert (distance[~wrong] < 0.5).all()


def test_it_returns_what_is_found_within_eps_and_else_the_image(trained, test_set):
    images, labels = test_set
    found, distance = fmn_from(trained, images, labels, 20)
    eps = distance.median().item()
    adversarial = fmn(trained, images, labels, eps=eps, steps=20)
    near = distance <= eps
    assert 10 < near.sum() < 50
    assert torch.equal(adversarial[near], found[near])
    assert torch.equal(adversarial[~near], images[~near])
    assert torch.equal(fmn(trained, images, labels, eps=0.0, steps=20), images)
    assert torch.equal(fmn(trained, images, labels, steps=20), found)


@pytest.mark.parametrize("steps", [0, 10])
def test_where_nothing_is_found_the_distance_is_infinite(steps):
    """No gradient, and no other class anywhere."""
    images, labels = torch.rand(4, 1, 6, 6), torch.tensor([2, 2, 0, 2])

    def constant(x):
        return x.flatten(1)[:, :3] * 0 + torch.tensor([1.0, 2.0, 3.0])

    found, distance = fmn_from(constant, images, labels, steps)
    assert torch.equal(found, images)
    assert distance.tolist() == [torch.inf, torch.inf, 0, torch.inf]


def test_the_runner_up_is_not_always_the_nearest_class():
    """The margin alone leads to class 1, high but flat; class 2 is a little lower, and near."""

    class Trap(nn.Module):
        def forward(self, images):
            x = images.flatten(1)
            first, second = x[:, 0], x[:, 1]
            return torch.stack([0 * first, 3 * first - 3, 30 * second - 3.5], 1)

    image, label = torch.zeros(1, 1, 1, 2), torch.tensor([0])
    found, distance = fmn_from(Trap(), image, label, 30)
    assert predicted(Trap(), found).item() == 2
    assert distance.item() == pytest.approx(3.5 / 30, rel=1e-2)


def test_a_success_on_the_way_counts():
    """A model that is wrong only in a narrow band, which later steps leave."""

    class Band(nn.Module):
        def forward(self, images):
            x = images.flatten(1)[:, 0]
            inside = (x > 0.74) & (x < 0.76)
            return torch.stack([0 * x, 4 * x - 3 + 10 * inside.float() - 0.5], 1)

    image, label = torch.full((1, 1, 1, 1), 0.5), torch.tensor([0])
    calls = []

    def spied(x):
        calls.append(x.detach().clone())
        return Band()(x)

    found, distance = fmn_from(spied, image, label, 20)
    tried = torch.cat(calls).flatten()
    wrong = Band()(torch.cat(calls)).argmax(1) == 1
    assert wrong.any()
    assert distance.item() == (tried[wrong] - 0.5).abs().min().item()
    assert Band()(found).argmax(1).item() == 1


@pytest.mark.parametrize(
    ("start", "current", "expected"),
    [
        ((0.1, 0.1), (0.1, 0.1), 1.05 * 2.2 / 3),
        ((0.4, 0.4), (0.9, 0.9), 0.5 - 1.05 * 0.2 / 3),  # beyond the boundary, and back
        ((0.9, 0.2), (1.0, 0.4), 0.2 + 1.05 * 0.1),  # the first pixel has met the box
    ],
)
def test_the_radius_goes_five_percent_beyond_the_boundary(start, current, expected):
    """The boundary is 2 a + b = 2.5."""
    start, current = (torch.tensor(pixels).view(1, 1, 1, 2) for pixels in (start, current))
    slope = torch.tensor([2.0, 1.0])
    score = current.flatten(1) @ slope - 2.5
    _, gain = LINF.within_box(slope.view(1, 1, 1, 2), current, start)
    radius = boundary_radius(LINF.size(current - start), gain, score, OVERSHOOT)
    assert radius.item() == pytest.approx(expected, abs=1e-6)


def test_after_a_success_the_ball_is_smaller_by_gamma(trained, test_set):
    images, labels = test_set
    asked = []

    def spied(x):
        asked.append(x.detach().clone())
        return trained(x)

    steps = 20
    _, distance = fmn_from(spied, images, labels, steps)
    best = torch.full((60,), torch.inf)
    for step, points in enumerate(asked):
        moved = (points - images).abs().flatten(1).amax(1)
        share = 0.01 + 0.99 * (1 + math.cos(math.pi * (step - 1) / steps)) / 2
        assert (moved <= (1 - 0.05 * share) * best + 1e-6).all()
        best = torch.where(predicted(trained, points) != labels, moved.minimum(best), best)
    assert torch.equal(best, distance)


def test_results_do_not_depend_on_the_other_images(trained, test_set):
    net, images, labels = copy.deepcopy(trained).double(), test_set[0].double(), test_set[1]
    found, distance = fmn_from(net, images, labels, 20)
    at = torch.randperm(60)[:25]
    some, some_distance = fmn_from(net, images[at], labels[at], 20)
    torch.testing.assert_close(some_distance, distance[at], atol=1e-10, rtol=0)
    torch.testing.assert_close(some, found[at], atol=1e-10, rtol=0)


def test_no_pgd_breaks_an_image_much_nearer(trained, test_set):
    images, labels = test_set
    distance = distances(trained, images, labels, steps=50)
    clean = distance > 0
    broken = 0
    for i in clean.nonzero().squeeze(1)[:20].tolist():
        one = (images[i : i + 1], labels[i : i + 1])
        moved = pgd(trained, *one, eps=0.97 * distance[i].item(), steps=40, loss="margin")
        broken += (predicted(trained, moved) != one[1]).item()
    assert broken <= 1


def foolbox_distances(model, images, labels, steps):
    import foolbox

    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    found = foolbox.attacks.LInfFMNAttack(steps=steps)(wrapped, images, labels, epsilons=None)[1]
    assert (predicted(model, found) != labels).all()
    return (found - images).abs().flatten(1).amax(1)


def test_it_agrees_with_foolbox_where_that_converges():
    model = Linear(2).eval()
    images = 0.5 + 0.2 * (torch.rand(32, 1, 6, 6) - 0.5)
    labels = predicted(model, images)
    theirs = foolbox_distances(model, images, labels, 300)
    ours = distances(model, images, labels, steps=30)
    torch.testing.assert_close(ours, theirs, rtol=0.01, atol=1e-4)


def test_it_is_tighter_than_foolbox_at_the_same_steps(trained, test_set):
    images, labels = test_set
    clean = predicted(trained, images) == labels
    images, labels = images[clean], labels[clean]
    theirs = foolbox_distances(trained, images, labels, 30)
    ours = distances(trained, images, labels, steps=30)
    assert (ours <= 1.01 * theirs).float().mean() > 0.95
    assert ours.mean() < 0.95 * theirs.mean()


def test_dropout_is_off(trained, test_set):
    dropping = nn.Sequential(trained, nn.Dropout(0.5)).train()
    found = distances(dropping, *test_set, steps=5)
    assert torch.equal(found, distances(trained, *test_set, steps=5))


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(trained, test_set, training):
    net = copy.deepcopy(trained).train(training)
    net[1].weight.requires_grad_(False)
    before = test_set[0].clone()
    fmn(net, *test_set, steps=3)
    assert all(module.training is training for module in net.modules())
    assert [p.requires_grad for p in net.parameters()] == [False, True, True, True]
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(test_set[0], before)


def test_wrong_input_and_numbers_that_are_not_finite_are_refused(trained, test_set):
    images, labels = test_set
    for run in (fmn, distances):
        with pytest.raises(ValueError, match="normalise in the model"):
            run(trained, images * 2, labels)
        with pytest.raises(ValueError, match="60 images but 3 labels"):
            run(trained, images, labels[:3])
        with pytest.raises(FloatingPointError):
            run(lambda x: trained(x) / 0 * 0, images, labels, steps=3)
    with pytest.raises(ValueError, match=r"eps 8 is not in \[0, 1\]"):
        fmn(trained, images, labels, eps=8)


def test_no_images_is_no_error(trained):
    images, labels = torch.rand(0, 1, 28, 28), torch.zeros(0, dtype=torch.long)
    found, distance = fmn_from(trained, images, labels, 3)
    assert found.shape == images.shape
    assert distance.shape == (0,)
