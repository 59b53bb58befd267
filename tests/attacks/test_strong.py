"""The ensemble, also on planted networks whose gradients say little."""

import pytest
import torch

from rotgrid import attacks, data
from rotgrid.attacks.apgd import apgd_from, runs
from rotgrid.attacks.dispatch import module_of
from rotgrid.attacks.linf import input_gradient
from rotgrid.attacks.square import square_from
from rotgrid.attacks.strong import FAR, QUERIES, SPOTS, needs_square, without_gradient

from planted import Detached, Quantised, SawTeeth, Sines
from trained import perceptron

EPS = 0.1
STEPS = 20


PLANTED = [Quantised, Detached, Sines, SawTeeth]


@pytest.fixture(scope="module")
def trained(digits):
    return perceptron(digits).requires_grad_(False)


@pytest.fixture(scope="module")
def test_set(digits):
    return data.pixels(digits.test_images[:40]), digits.test_labels[:40]


def survivors(model, test_set, attack, notes=None, grid=(EPS,), **settings):
    return attacks.sweep(model, *test_set, attack=attack, eps_grid=grid, notes=notes, **settings)


@pytest.mark.parametrize("planted", PLANTED)
def test_where_gradients_say_little_it_is_no_weaker_than_all_of_square(
    trained, test_set, planted, monkeypatch
):
    monkeypatch.setattr(module_of("strong"), "QUERIES", 1_500)
    model, notes, grid = planted(trained), {}, (EPS / 2, EPS)
    strong = survivors(model, test_set, "strong", notes, grid, steps=STEPS)
    square = survivors(model, test_set, "square", grid=grid, steps=1_500)
    alone = attacks.predicted(model, attacks.strong(model, *test_set, eps=EPS, steps=STEPS))
    assert (strong <= square).all()
    assert ((alone == test_set[1]) <= square[1]).all()
    signs = notes["no_gradient"][0] + notes["square_only"][0]
    assert (signs > 0) is (planted is not Sines)  # whose gradients are true, if useless


@pytest.mark.parametrize("scale", [2.0**14, 2.0**-14])
def test_a_certain_network_is_broken_as_an_uncertain_one(trained, test_set, scale):
    """Of a certain one the cross-entropy has no gradient in single precision; margins have."""
    notes, grid = {}, (EPS / 4, EPS / 2, EPS)

    def scaled(images):
        return trained(images) * scale

    gradient = input_gradient(scaled, *test_set, "ce")[1]
    assert (gradient == 0).flatten(1).all(1).any() == (scale > 1)
    expected = survivors(trained, test_set, "strong", grid=grid, steps=STEPS)
    found = survivors(scaled, test_set, "strong", notes, grid, steps=STEPS)
    assert 5 < expected[0].sum() < 38
    assert ((found ^ expected).sum(1) <= 1).all()
    assert notes["no_gradient"] == [0, 0, 0]


def test_it_says_how_many_images_have_no_gradient_or_only_square_broke(trained, test_set):
    clean = attacks.predicted(trained, test_set[0]) == test_set[1]
    quantised, detached, ordinary = {}, {}, {}
    survivors(Quantised(trained), test_set, "strong", quantised, steps=STEPS)
    survivors(Detached(trained), test_set, "strong", detached, steps=STEPS)
    survivors(trained, test_set, "strong", ordinary, steps=STEPS)
    right = attacks.predicted(Quantised(trained), test_set[0]) == test_set[1]
    assert quantised["no_gradient"] == [right.sum()]
    assert 0 < quantised["square_only"][0] <= right.sum()
    assert detached["no_gradient"] == [clean.sum()]
    assert 0 < detached["square_only"][0] <= clean.sum()
    assert ordinary["no_gradient"] == ordinary["square_only"] == [0]


@pytest.mark.parametrize("planted", [Quantised, Detached])
def test_a_gradient_that_is_not_the_slope_is_none(trained, test_set, planted):
    assert without_gradient(planted(trained), *test_set).all()
    assert not without_gradient(trained, *test_set).any()
    one = without_gradient(planted(trained), *(part[:1] for part in test_set))
    assert one.all()


def test_an_image_alone_gets_all_of_square_where_its_gradient_is_false(
    trained, test_set, monkeypatch
):
    """None that Square broke with few queries says so of the model."""
    monkeypatch.setattr(module_of("strong"), "QUERIES", 1_500)
    model = Detached(trained)
    few, all_ = (survivors(model, test_set, "square", steps=n)[0] for n in (10 * STEPS, 1_500))
    ways = (survivors(model, test_set, attack)[0] for attack in ("fmn", "apgd"))
    only = (few & ~all_ & torch.stack([*ways]).all(0)).nonzero().squeeze(1).tolist()
    assert only
    for image in only:
        alone = tuple(part[image : image + 1] for part in test_set)
        assert not survivors(model, alone, "strong", steps=STEPS).any()


class DarkQuantised(Quantised):
    """No gradient at images that are nearly black, an ordinary one at all others."""

    def forward(self, x):
        dark = x.mean((1, 2, 3), keepdim=True) < 0.02
        return self.net(torch.where(dark, (8 * x).round() / 8, x))


def test_an_image_without_a_gradient_brings_all_of_square_upon_itself_alone(
    trained, test_set, monkeypatch
):
    images = torch.cat([torch.zeros(1, 1, 28, 28), test_set[0][:10]])
    model, notes, searched = DarkQuantised(trained), {}, []

    def spy(model, x, labels, eps, steps, *rest):
        if steps == QUERIES:
            searched.append(x)
        return square_from(model, x, labels, eps, steps, *rest)

    monkeypatch.setattr(module_of("strong"), "square_from", spy)
    case = images, attacks.predicted(model, images)
    survivors(model, case, "strong", notes, (0.002, 0.01), steps=STEPS)
    assert notes["no_gradient"] == [1, 1]
    assert notes["square_only"] == [0, 0]
    searched = torch.cat(searched)
    assert len(searched)
    assert not searched.any()


def test_what_square_breaks_alone_is_said_of_the_model():
    some, none = torch.tensor([True, False]), torch.tensor([False, False])
    assert needs_square(some, none).tolist() == [True, False]
    assert needs_square(none, some).tolist() == [True, True]
    assert not needs_square(none, none).any()


def test_without_a_sign_square_has_no_more_queries(trained, test_set):
    asked = []

    def counted(x):
        asked.append(len(x))
        return trained(x)

    attacks.strong(counted, *test_set, eps=0.02, steps=20)
    assert len(asked) < 20 * (1 + 1 + 9 + 10) + 60 + 3 * SPOTS


def test_far_images_are_spared_steps_unless_fmn_misleads(trained, test_set, monkeypatch):
    """Here it says of every image that the boundary is at 1, of which APGD finds that it is not;
    inf says nothing, and then no image is far."""
    found, efforts = {}, {}
    for said in (1.0, torch.inf):
        steps = efforts[said] = set()

        def spy(model, x, labels, eps, effort, loss, *rest, steps=steps, **more):
            steps.add((loss, effort))
            return apgd_from(model, x, labels, eps, effort, loss, *rest, **more)

        def lie(case, steps, said=said):
            return torch.full((len(case.chosen),), said)

        monkeypatch.setattr(module_of("strong"), "apgd_from", spy)
        monkeypatch.setattr(module_of("strong"), "minimal_distances", lie)
        found[said] = survivors(trained, test_set, "strong", grid=(EPS / 2, EPS), steps=STEPS)
    assert efforts[torch.inf] == {("ce", STEPS), ("dlr", STEPS)} | {("dlr", STEPS // FAR)}
    assert efforts[1.0] == {("ce", STEPS), ("dlr", STEPS // FAR), ("dlr", STEPS)}
    assert torch.equal(found[1.0], found[torch.inf])


def test_every_target_has_a_start_of_its_own():
    targets = torch.tensor([[1, 2, 3], [4, 5, 6]])
    offsets = list(torch.arange(5.0))
    fresh = [(t.tolist(), o.item()) for t, o in runs(targets, offsets, fresh=True)]
    assert fresh == [([1, 4], 0), ([2, 5], 1), ([3, 6], 2), ([1, 4], 3), ([2, 5], 4)]
    common = [(t.tolist(), o.item()) for t, o in runs(targets, offsets[:2], fresh=False)]
    assert common == [(t, o) for t in ([1, 4], [2, 5], [3, 6]) for o in (0, 1)]
