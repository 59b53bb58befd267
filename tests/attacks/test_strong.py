"""The ensemble, also on planted networks whose gradients say little."""

import pytest
import torch
from torch import nn

from rotgrid import attacks, data
from rotgrid.attacks.apgd import runs

from trained import perceptron

EPS = 0.1
STEPS = 20


class Quantised(nn.Module):
    """Pixels in steps of an eighth: no gradient anywhere."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net((8 * x).round() / 8)


class Detached(Quantised):
    """Gradients of the upper half of the image alone."""

    def forward(self, x):
        return self.net(torch.cat([x[:, :, :14], x[:, :, 14:].detach()], 2))


class Sines(Quantised):
    """Waves in the logits, too small to change a class and steep enough to hide the way."""

    def forward(self, x):
        return self.net(x) + 0.02 * torch.sin(2_000 * x.mean((1, 2, 3)))[:, None] * torch.arange(
            10
        )


class SawTeeth(Quantised):
    """Logits that fall toward every boundary and jump up in between: gradients point away."""

    def forward(self, x):
        logits = self.net(x)
        return 4 * (4 * logits).floor() / 16 + 0.25 * ((4 * logits).floor() - 4 * logits) / 4


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
def test_where_gradients_say_little_it_is_no_weaker_than_all_of_square(trained, test_set, planted):
    model, notes, grid = planted(trained), {}, (EPS / 2, EPS)
    strong = survivors(model, test_set, "strong", notes, grid, steps=STEPS)
    square = survivors(model, test_set, "square", grid=grid, steps=5_000)
    alone = attacks.predicted(model, attacks.strong(model, *test_set, eps=EPS, steps=STEPS))
    assert (strong <= square).all()
    assert ((alone == test_set[1]) <= square[1]).all()
    assert ((notes["no_gradient"][0] + notes["square_only"][0] > 0)) is (planted in (Quantised, Detached))


def test_it_says_how_many_images_have_no_gradient_or_only_square_broke(trained, test_set):
    clean = attacks.predicted(trained, test_set[0]) == test_set[1]
    quantised, detached, ordinary = {}, {}, {}
    survivors(Quantised(trained), test_set, "strong", quantised, steps=STEPS)
    survivors(Detached(trained), test_set, "strong", detached, steps=STEPS)
    survivors(trained, test_set, "strong", ordinary, steps=STEPS)
    right = attacks.predicted(Quantised(trained), test_set[0]) == test_set[1]
    assert quantised["no_gradient"] == right.sum()
    assert 0 < quantised["square_only"] <= right.sum()
    assert detached["no_gradient"] == 0 < detached["square_only"] <= clean.sum()
    assert ordinary == {"no_gradient": 0, "square_only": 0}


def test_without_a_sign_square_has_no_more_queries(trained, test_set):
    asked = []

    def counted(x):
        asked.append(len(x))
        return trained(x)

    attacks.strong(counted, *test_set, eps=0.02, steps=20)
    assert len(asked) < 20 * (1 + 1 + 9 + 10) + 60


def test_every_target_has_a_start_of_its_own():
    targets = torch.tensor([[1, 2, 3], [4, 5, 6]])
    offsets = list(torch.arange(5.0))
    fresh = [(t.tolist(), o.item()) for t, o in runs(targets, offsets, fresh=True)]
    assert fresh == [([1, 4], 0), ([2, 5], 1), ([3, 6], 2), ([1, 4], 3), ([2, 5], 4)]
    common = [(t.tolist(), o.item()) for t, o in runs(targets, offsets[:2], fresh=False)]
    assert common == [(t, o) for t in ([1, 4], [2, 5], [3, 6]) for o in (0, 1)]
