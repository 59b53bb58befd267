"""Attacks in the Euclidean ball, and what holds for the balls of every threat model."""

import foolbox
import pytest
import torch

from rotgrid import attacks
from rotgrid.attacks import square_l2
from rotgrid.attacks.fmn import distances
from rotgrid.attacks.threats import L2, LINF, THREATS

from linear import Halves, Linear

EPS = 1.2
L2_ATTACKS = {
    "noise": {},
    "fgsm": {},
    "pgd": {"steps": 10, "restarts": 2},
    "apgd": {"steps": 10, "restarts": 2},
    "square": {"steps": 60},
    "fmn": {"steps": 20},
    "strong": {"steps": 10},
}


@torch.no_grad()
def wrong(model, images, labels):
    return model(images).argmax(1) != labels


def run(attack, model, images, labels):
    random = {} if attack == "fgsm" else {"generator": torch.Generator().manual_seed(5)}
    way = getattr(attacks, attack)
    return way(model, images, labels, eps=EPS, threat="l2", **random, **L2_ATTACKS[attack])


@pytest.mark.parametrize("threat", THREATS.values(), ids=THREATS)
@pytest.mark.parametrize("eps", [0.0, 0.3, 4.0])
def test_what_is_projected_lies_in_ball_and_box_and_stays_there(threat, eps):
    images = torch.rand(50, 3, 6, 6).round()
    far = images + 3 * torch.randn(images.shape)
    near = threat.project(far, images, eps)
    assert near.amin() >= 0
    assert near.amax() <= 1
    assert (threat.size(near - images) <= eps + 1e-6).all()
    assert torch.equal(threat.project(near, images, eps), near)
    radii = torch.full((50, 1, 1, 1), eps)
    torch.testing.assert_close(threat.project(far, images, radii), near)


@pytest.mark.parametrize("threat", THREATS.values(), ids=THREATS)
def test_the_steepest_perturbation_of_length_1_gains_the_slope(threat):
    """As no other one of that length does (Hoelder's inequality)."""
    gradient = torch.randn(40, 1, 5, 5)
    best = threat.steepest(gradient)
    torch.testing.assert_close(threat.size(best), torch.ones(40))
    torch.testing.assert_close((best * gradient).sum((1, 2, 3)), threat.slope(gradient))
    other = threat.offsets(gradient, torch.Generator().manual_seed(0))
    assert (threat.size(other) <= 1).all()
    assert ((other * gradient).sum((1, 2, 3)) < threat.slope(gradient)).all()
    assert not threat.steepest(torch.zeros_like(gradient)).any()
    small = threat.steepest(1e-30 * gradient.double())
    torch.testing.assert_close(small, best.double(), check_dtype=False)
    assert torch.allclose(threat.steepest(1e-30 * gradient), best, atol=1e-6)


def test_starts_are_uniform_in_the_euclidean_ball():
    """The share within a radius r is r^d: in 3 dimensions half of it lies beyond 0.79."""
    drawn = L2.offsets(torch.zeros(20_000, 3, 1, 1), torch.Generator().manual_seed(0))
    radius = L2.size(drawn)
    assert radius.amax() <= 1
    for share in (0.1, 0.5, 0.9):
        within = (radius**3 < share).float().mean()
        assert within.item() == pytest.approx(share, abs=0.015)
    assert drawn.mean((0, 2, 3)).abs().amax() < 0.02


@pytest.mark.parametrize("attack", L2_ATTACKS)
def test_attacks_leave_neither_ball_nor_box_and_success_is_within_eps(attack, trained, test_set):
    images, labels = test_set
    found = run(attack, trained, images, labels)
    assert found.amin() >= 0
    assert found.amax() <= 1
    moved = (found - images).flatten(1).norm(dim=1)
    assert (moved <= EPS + 2e-6).all()
    assert LINF.size(found - images).amax() > 0.15
    clean, broken = wrong(trained, images, labels), wrong(trained, found, labels)
    survived = attacks.sweep(
        trained, images, labels, attack=attack, eps_grid=[EPS], threat="l2",
        **L2_ATTACKS[attack],
    )[0]  # fmt: skip
    assert clean.any()
    assert not survived[clean].any()
    if attack not in ("noise", "square"):  # these hardly break this network
        assert 0 < survived.sum() < (~clean).sum()
    if attack in ("fgsm", "fmn"):  # nothing is drawn
        assert torch.equal(survived, ~broken)


@pytest.mark.parametrize("attack", ["pgd", "apgd", "fmn", "fmn-pgd"])
def test_a_hyperplane_is_reached_at_its_euclidean_distance(attack):
    """|w.x + b| / |w|, where the box stays out of the way."""
    model = Halves()
    images = 0.5 + 0.1 * (torch.rand(40, 1, 6, 6) - 0.5)
    labels = (~wrong(model, images, torch.zeros(40).long())).logical_not().long()
    with torch.no_grad():
        exact = model(images)[:, 1].abs() / model.w.norm()
    grid = (exact.median() * torch.tensor([0.5, 0.98, 1.02, 1.5])).tolist()
    settings = {} if attack == "fmn" else {"steps": 40}
    found = attacks.sweep(
        model, images, labels, attack=attack, eps_grid=grid, threat="l2", **settings
    )
    expected = exact > torch.tensor(grid)[:, None]
    far = (exact / torch.tensor(grid)[:, None] - 1).abs() > 0.06
    assert far.sum() > 140
    assert torch.equal(found[far], expected[far])


def test_fmn_finds_the_nearest_of_many_hyperplanes():
    model = Linear(10)
    images = 0.5 + 0.1 * (torch.rand(64, 1, 6, 6) - 0.5)
    with torch.no_grad():
        logits = model(images)
        labels = logits.argmax(1)
        gaps = logits.gather(1, labels[:, None]) - logits
        exact = gaps / (model.w[labels][:, None] - model.w[None]).norm(dim=2).clamp(min=1e-9)
    exact = exact.scatter(1, labels[:, None], torch.inf).amin(1)
    found = distances(model, images, labels, steps=40, threat="l2")
    assert (found >= exact - 1e-5).all()
    assert (found <= 1.02 * exact).float().mean() > 0.9


@pytest.mark.parametrize("attack", [name for name in L2_ATTACKS if name != "square"])
def test_more_eps_never_saves_an_image(attack, trained, test_set):
    grid = [0.0, 0.4, 0.8, 1.2, 2.0]
    survived = attacks.sweep(
        trained, *test_set, attack=attack, eps_grid=grid, threat="l2", **L2_ATTACKS[attack]
    )
    assert torch.equal(survived[0], ~wrong(trained, *test_set))
    if attack not in ("noise", "fgsm"):  # measured at each eps by itself
        assert (survived[1:] <= survived[:-1]).all()
    if attack != "noise":  # hardly breaks this network
        assert survived[-1].sum() < survived[0].sum()


@pytest.mark.parametrize("attack", [name for name in L2_ATTACKS if name != "noise"])
def test_what_happens_to_an_image_does_not_depend_on_the_batch(attack, test_set):
    images, labels = test_set
    model = Linear(10, 28).double()
    images = images.double()
    labels = torch.where(wrong(model, images, labels), model(images).argmax(1), labels)
    settings = L2_ATTACKS[attack] | ({"restarts": 1} if attack in ("pgd", "apgd") else {})
    way = getattr(attacks, attack)
    whole = way(model, images, labels, eps=EPS, threat="l2", **settings)
    parts = [
        way(model, images[at], labels[at], eps=EPS, threat="l2", **settings)
        for at in torch.arange(60).split(17)
    ]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_pgd_is_foolboxs(trained, test_set):
    """Which keeps the last iterate, where ours keeps the latest misclassified one."""
    images, labels = test_set
    images, labels = (each[~wrong(trained, *test_set)] for each in (images, labels))
    theirs = foolbox.attacks.L2PGD(rel_stepsize=1 / 30, steps=20, random_start=False)
    model = foolbox.PyTorchModel(trained, bounds=(0, 1))
    _, expected, success = theirs(model, images, labels, epsilons=EPS)
    ours = attacks.pgd(trained, images, labels, eps=EPS, steps=20, threat="l2")
    kept = wrong(trained, expected, labels) | ~wrong(trained, ours, labels)
    torch.testing.assert_close(ours[kept], expected[kept], atol=2e-5, rtol=0)
    assert (wrong(trained, ours, labels) >= success).all()
    assert 0 < success.sum() < len(images)


def test_fgsm_is_foolboxs_and_fmn_goes_as_near_as_its_ddn(trained, test_set):
    images, labels = (each[~wrong(trained, *test_set)] for each in (*test_set,))
    model = foolbox.PyTorchModel(trained, bounds=(0, 1))
    step = foolbox.attacks.L2FastGradientAttack(random_start=False)
    _, expected, _ = step(model, images, labels, epsilons=EPS)
    ours = attacks.fgsm(trained, images, labels, eps=EPS, threat="l2")
    torch.testing.assert_close(ours, expected, atol=2e-5, rtol=0)
    _, far, found = foolbox.attacks.DDNAttack(steps=50)(model, images, labels, epsilons=None)
    assert found.all()
    ratio = distances(trained, images, labels, steps=50, threat="l2") / L2.size(far - images)
    assert ratio.median() <= 1
    assert ratio.quantile(0.9) < 1.05


def test_a_square_query_moves_length_from_one_window_to_the_other():
    images = torch.full((4, 3, 12, 12), 0.5)
    eps = torch.full((4, 1, 1, 1), 0.3)
    generator = torch.Generator().manual_seed(1)
    signs, uniform = square_l2.draw(images.shape, 30, generator)
    start = square_l2.start(signs, 12, 12).expand_as(images)
    torch.testing.assert_close(square_l2.squared(start)[0].flatten(), torch.full((3,), 36.0))
    moved = square_l2.within_ball(start, images, eps) - images
    for query in square_l2.queries_of(uniform, [9, 3, 4] * 10, 12, 12):
        torch.testing.assert_close(square_l2.two_bumps(3).norm(), torch.tensor(1.0))
        after = square_l2.with_moved_length(moved, eps, query)
        torch.testing.assert_close(L2.size(after), L2.size(moved), atol=1e-5, rtol=0)
        changed = (after != moved).any(0).any(0).nonzero()
        assert query.filled[0].stop - query.filled[0].start in (3, 5, 9)
        outside = torch.ones(12, 12, dtype=torch.bool)
        outside[query.filled] = outside[query.emptied] = False
        assert not outside[changed[:, 0], changed[:, 1]].any()
        assert changed.numel()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"attack": "bim"}, "threat 'l2' of bim: choose from linf$"),
        ({"attack": "pgd", "threat": "l1"}, "threat 'l1': choose from linf, l2"),
        ({"attack": "pgd", "eps_grid": [-1.0]}, "eps -1 is no length from 0"),
        ({"attack": "pgd", "threat": "linf"}, r"eps 3 is not in \[0, 1\]"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    images, labels = torch.rand(2, 1, 6, 6), torch.zeros(2).long()
    settings = {"eps_grid": [3.0], "threat": "l2", **call}
    with pytest.raises(ValueError, match=message):
        attacks.sweep(Halves(), images, labels, **settings)
