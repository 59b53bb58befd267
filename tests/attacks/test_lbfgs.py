import pytest
import scipy.optimize
import torch

from rotgrid import attacks, data
from rotgrid.attacks import linf
from rotgrid.attacks.fmn import distances as fmn_distances
from rotgrid.attacks.lbfgs import (
    MEMORY,
    begin,
    distances,
    kept_or_shortened,
    lbfgs,
    lbfgs_from,
    look,
    nearest_class,
    objective,
    proposed,
    recursion,
)

from linear import Halves, Linear


@pytest.fixture(scope="module")
def test_set(digits):
    return data.pixels(digits.test_images[:40]), digits.test_labels[:40]


@torch.no_grad()
def predicted(model, images):
    return model(images).argmax(1)


def exact_distances(normals, gaps, images):
    """Of the hyperplanes that gap + normal . r = 0: the shortest r is the normal times a number,
    which is found by bisection, as far as the box lets each pixel go."""
    flat = images.flatten(1)[:, None]
    low, high = torch.zeros_like(gaps), torch.full_like(gaps, 20.0)
    for _ in range(50):
        middle = (low + high) / 2
        moved = (flat + middle[..., None] * normals).clamp(0, 1) - flat
        crossed = (moved * normals).sum(2) > gaps
        low, high = torch.where(crossed, low, middle), torch.where(crossed, middle, high)
    return torch.where(crossed.any() & (high < 20), moved.norm(dim=2), torch.inf)


@pytest.mark.parametrize("spread", [0.2, 1.0])
def test_the_distance_of_two_classes_is_exact(spread):
    """With the spread of 1 many pixels meet the faces of the box on the way."""
    model = Halves()
    images = 0.5 + spread * (torch.rand(48, 1, 6, 6) - 0.5)
    with torch.no_grad():
        scores = model(images)[:, 1]
    normals = -scores.sign()[:, None, None] * model.w.detach()
    exact = exact_distances(normals, scores.abs()[:, None], images)[:, 0]
    found = distances(model, images, (scores > 0).long())
    assert (found >= exact - 1e-5).all()
    torch.testing.assert_close(found, exact, rtol=0.01, atol=1e-4)


def test_of_many_classes_it_finds_the_nearest():
    """Where logits are so steep that a third class hardly counts at the boundary of two."""
    model = Linear(10)
    model.w.data *= 1e3
    model.b.data *= 1e3
    images = 0.5 + 0.2 * (torch.rand(48, 1, 6, 6) - 0.5)
    logits, labels = model(images).detach(), predicted(model, images)
    normals = (model.w[None] - model.w[labels][:, None]).detach()
    exact = exact_distances(normals, logits.gather(1, labels[:, None]) - logits, images)
    exact = exact.scatter(1, labels[:, None], torch.inf).amin(1)
    found = distances(model, images, labels)
    assert (found >= exact - 1e-5).all()
    assert (found <= 1.02 * exact).float().mean() > 0.9


def test_the_distance_is_that_of_the_image_found_and_eps_cuts_it_off(trained, test_set):
    images, labels = test_set
    found, distance = lbfgs_from(trained, images, labels, 5)
    torch.testing.assert_close((found - images).flatten(1).norm(dim=1), distance)
    assert (predicted(trained, found) != labels).all()
    assert found.amin() >= 0
    assert found.amax() <= 1
    assert torch.equal(distances(trained, images, labels, steps=5), distance)
    wrong = predicted(trained, images) != labels
    assert wrong.any()
    assert torch.equal(distance == 0, wrong)
    eps = distance.median().item()
    near = lbfgs(trained, images, labels, eps=eps, steps=5)
    far = distance > eps + 1e-6
    assert torch.equal(near[far], images[far])
    assert torch.equal(near[~far], found[~far])
    survived = attacks.sweep(
        trained, images, labels, attack="lbfgs", eps_grid=[0.0, eps], threat="l2", steps=5
    )
    assert torch.equal(survived, torch.stack([~wrong, far]))


def test_it_goes_about_as_near_as_fmn(trained, test_set):
    images, labels = test_set
    right = predicted(trained, images) == labels
    images, labels = images[right], labels[right]
    ratio = distances(trained, images, labels) / fmn_distances(
        trained, images, labels, steps=200, threat="l2"
    )
    assert ratio.median() < 1.02
    assert ratio.quantile(0.9) < 1.2


def test_its_minima_are_those_of_scipy(trained, test_set):
    """At the c that each image begins with, toward the same class."""
    images, labels = (each[:10] for each in test_set)
    with linf.frozen(trained):
        target, c = nearest_class(trained, images, labels)
        state = begin(trained, images, labels, target)
        for _ in range(40):
            tried, step = proposed(state, images, c)
            new = look(trained, tried, labels, target)
            state = kept_or_shortened(state, tried, new, step, images, c)
        ours = objective(state.point, state.entropy, images, c)
        theirs = [
            minimum_of_scipy(trained, *(each[at : at + 1] for each in (images, labels, target, c)))
            for at in range(10)
        ]
    assert (state.point != images).any()
    torch.testing.assert_close(ours, images.new_tensor(theirs), rtol=0.01, atol=1e-3)


def minimum_of_scipy(model, image, label, target, c):
    def value_and_slope(flat):
        point = torch.tensor(flat, dtype=image.dtype).view_as(image)
        entropy, gradient, _ = look(model, point, label, target)
        slope = 2 * (point - image).flatten() + c * gradient[0]
        return objective(point, entropy, image, c).item(), slope.double().numpy()

    start, bounds = image.flatten().double().numpy(), [(0, 1)] * image.numel()
    return scipy.optimize.fmin_l_bfgs_b(value_and_slope, start, bounds=bounds, m=10)[1]


def test_the_recursion_is_the_update_of_a_dense_matrix():
    """Nocedal and Wright 2006, equation 6.17, from the scaled identity of equation 7.20."""
    curvature = torch.randn(7, 7, dtype=torch.double)
    identity = torch.eye(7, dtype=torch.double)
    curvature = curvature @ curvature.T + identity
    steps = torch.randn(MEMORY, 1, 7, dtype=torch.double)
    steps[0] = 0  # where there was none
    bends = steps @ curvature
    gradient = torch.randn(1, 7, dtype=torch.double)
    s, y = steps[-1, 0], bends[-1, 0]
    inverse = (s @ y) / (y @ y) * identity
    for s, y in zip(steps[1:, 0], bends[1:, 0], strict=True):
        update = identity - torch.outer(s, y) / (s @ y)
        inverse = update @ inverse @ update.T + torch.outer(s, s) / (s @ y)
    expected = gradient @ inverse.T
    torch.testing.assert_close(recursion(gradient, steps, bends), expected)
    none = torch.zeros_like(steps)
    torch.testing.assert_close(recursion(gradient, none, none), gradient / 2)


def test_what_happens_to_an_image_does_not_depend_on_the_batch():
    model, images = Linear(10, 28).double(), torch.rand(30, 1, 28, 28).double()
    labels = predicted(model, images)
    whole = lbfgs(model, images, labels, steps=5)
    parts = [lbfgs(model, images[at], labels[at], steps=5) for at in torch.arange(30).split(7)]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-4, rtol=0)
    assert distances(model, images, labels, steps=5).isfinite().all()
    assert len(lbfgs(model, images[:0], labels[:0])) == 0


def test_a_network_without_a_boundary_has_no_distance():
    model = Halves()
    model.w.data *= 0
    model.b.data += 5
    images = torch.rand(4, 1, 6, 6)
    assert distances(model, images, torch.ones(4).long(), steps=3).isinf().all()
    assert torch.equal(lbfgs(model, images, torch.ones(4).long(), steps=3), images)
