import copy

import pytest
import torch
from torch import nn

from rotgrid import models
from rotgrid.attacks.apgd import (
    Ascent,
    advance,
    apgd,
    apgd_from,
    begin,
    cross_entropy,
    halve_where_stuck,
    halving_steps,
    targeted_dlr,
    wrong_classes,
)
from rotgrid.attacks.pgd import pgd
from rotgrid.attacks.starts import uniform_offsets

from linear import Linear

LOSSES = ["ce", "dlr"]


class Peak(nn.Module):
    """Images of two pixels: class 0 only where the first is within 0.002 of the second."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def forward(self, images):
        x, peak = images.flatten(1).unbind(1)
        self.asked.append(x.detach().clone())
        return torch.stack([0.002 - (x - peak.detach()).abs(), 0 * x], 1)


@torch.no_grad()
def predicted(model, images):
    return model(images).argmax(1)


def radius(images, eps):
    return images.new_full((len(images), 1, 1, 1), eps)


def starts(images, count=1):
    generator = torch.Generator().manual_seed(7)
    return [uniform_offsets(images, generator) for _ in range(count)]


def linear_case(classes):
    """Points away from the faces of the box; of each other class its L-inf distance."""
    model = Linear(classes)
    images = 0.4 + 0.2 * torch.rand(48, 1, 6, 6)
    logits = model(images).detach()
    labels = logits.argmax(1)
    slopes = (model.w[None] - model.w[labels][:, None]).detach()
    distances = (logits.amax(1, keepdim=True) - logits) / slopes.abs().sum(2)
    distances[torch.arange(48), labels] = torch.inf
    return model, images, labels, slopes, distances


@pytest.mark.parametrize(
    ("classes", "loss"), [(2, "ce"), (2, "dlr"), (3, "dlr"), (4, "dlr"), (10, "dlr")]
)
def test_a_linear_model_breaks_exactly_at_its_margin(classes, loss):
    model, images, labels, _, distances = linear_case(classes)
    margin = distances.amin(1)[:, None, None, None]
    for factor in (0.99, 1.01):
        found, broken = apgd_from(model, images, labels, margin * factor, 30, loss, starts(images))
        assert (broken == (factor > 1)).all()
        assert torch.equal(predicted(model, found) != labels, broken)


@pytest.mark.parametrize(("classes", "loss"), [(2, "ce"), (2, "dlr"), (3, "dlr")])
def test_a_robust_point_of_a_linear_model_moves_to_the_optimum(classes, loss):
    """Of the last run, which attacks the least likely class."""
    model, images, labels, slopes, distances = linear_case(classes)
    eps = 0.9 * distances.amin(1)[:, None, None, None]
    found, _ = apgd_from(model, images, labels, eps, 5, loss, starts(images))
    least = model(images).argmin(1)
    best = images + eps * slopes[torch.arange(48), least].sign().view_as(images)
    torch.testing.assert_close(found, best, atol=1e-6, rtol=0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("eps", [0.01, 0.1, 0.3, 1.0])
def test_ball_and_box_hold_and_broken_means_misclassified(trained, test_set, loss, eps):
    images, labels = test_set
    found, broken = apgd_from(
        trained, images, labels, radius(images, eps), 5, loss, starts(images, 2)
    )
    assert (found - images).abs().max() <= eps + 1e-6
    assert found.amin() >= 0
    assert found.amax() <= 1
    assert torch.isfinite(found).all()
    assert torch.equal(predicted(trained, found) != labels, broken)


@pytest.mark.parametrize("loss", LOSSES)
def test_eps_0_is_the_identity(trained, test_set, loss):
    images, labels = test_set
    generator = torch.Generator().manual_seed(3)
    moved = apgd(trained, images, labels, eps=0.0, steps=5, loss=loss, generator=generator)
    assert torch.equal(moved, images)


@pytest.mark.parametrize("loss", LOSSES)
def test_images_already_wrong_are_broken_and_stay(trained, test_set, loss):
    images, _ = test_set
    wrong = (predicted(trained, images) + 1) % 10
    wrong[::2] = predicted(trained, images)[::2]
    found, broken = apgd_from(
        trained, images, wrong, radius(images, 0.05), 3, loss, starts(images)
    )
    assert broken[1::2].all()
    assert torch.equal(found[1::2], images[1::2])
    assert not torch.equal(found[::2], images[::2])


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(test_set, training):
    images, labels = test_set[0][:8].clone(), test_set[1][:8]
    net = models.build("stdcnn").train(training)
    net.head[0].weight.requires_grad_(False)
    wanted = [p.requires_grad for p in net.parameters()]
    apgd(net, images, labels, eps=0.1, steps=2, loss="dlr")
    assert all(m.training is training for m in net.modules())
    assert [p.requires_grad for p in net.parameters()] == wanted
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(images, test_set[0][:8])


@pytest.mark.parametrize("loss", LOSSES)
def test_an_image_does_not_depend_on_the_others(trained, test_set, loss):
    """In float64, where the noise of other batch sizes flips no sign."""
    net = copy.deepcopy(trained).double()
    images, labels = test_set[0].double(), test_set[1]
    offsets = starts(images, 2)
    eps = torch.linspace(0, 0.2, len(images), dtype=torch.float64)[:, None, None, None]
    found, broken = apgd_from(net, images, labels, eps, 6, loss, offsets)
    some = torch.randperm(len(images))[:25]
    picked = [offset[some] for offset in offsets]
    alone = apgd_from(net, images[some], labels[some], eps[some], 6, loss, picked)
    assert broken.any()
    assert not broken.all()
    assert torch.equal(alone[1], broken[some])
    torch.testing.assert_close(alone[0], found[some], atol=1e-9, rtol=0)


@pytest.mark.parametrize("loss", LOSSES)
def test_eps_per_image_equals_a_call_per_eps(trained, test_set, loss):
    net, images, labels = copy.deepcopy(trained).double(), test_set[0].double(), test_set[1]
    eps = radius(images, 0.05)
    eps[::2] = 0.12
    mixed, _ = apgd_from(net, images, labels, eps, 8, loss, [torch.zeros_like(images)])
    for value, rows in ((0.12, slice(0, None, 2)), (0.05, slice(1, None, 2))):
        alone = apgd(net, images, labels, eps=value, steps=8, loss=loss)
        torch.testing.assert_close(mixed[rows], alone[rows], atol=1e-9, rtol=0)


def test_first_iterates_in_closed_form():
    """Step 2 eps, clipped to the ball before the momentum of 0.75."""
    model = Peak()
    image = torch.tensor([0.5, 0.55]).view(1, 1, 1, 2)
    apgd(model, image, torch.tensor([1]), eps=0.2, steps=20)  # the first 4 of one size
    logits_of, clean, *iterates = torch.cat(model.asked[:6]).tolist()
    assert logits_of == clean == 0.5
    # 0.7 is the edge of the ball; 0.45 = 0.7 + 0.75 (0.3 - 0.7) + 0.25 (0.7 - 0.5);
    # 0.575 = 0.45 + 0.75 (0.7 - 0.45) + 0.25 (0.45 - 0.7)
    assert iterates == pytest.approx([0.5, 0.7, 0.45, 0.575])


def test_the_best_point_and_the_rises_are_followed():
    """Distances to the peak along the iterates above: 0.05, 0.15, 0.1, 0.025."""
    model, image, label = Peak(), torch.tensor([0.5, 0.55]).view(1, 1, 1, 2), torch.tensor([1])
    for loss in (cross_entropy, targeted_dlr):
        case = (image, label, label - 1, radius(image, 0.2), torch.zeros_like(image))
        ascent = begin(model, *case, loss)
        for step, (point, best, rises) in enumerate(
            [(0.5, 0.5, 0), (0.7, 0.5, 0), (0.45, 0.5, 1), (0.575, 0.575, 2)]
        ):
            ascent = advance(model, ascent, loss, 1 if step == 1 else 0.75) if step else ascent
            assert ascent.point[0, 0, 0, 0].item() == pytest.approx(point)
            assert ascent.best[0, 0, 0, 0].item() == pytest.approx(best)
            assert ascent.best_gradient[0, 0, 0, 0].sign() == (1 if best < 0.55 else -1)
            assert ascent.rises.item() == rises


def test_starts_are_scaled_to_the_edge_of_the_ball():
    model = Peak()
    image = torch.tensor([0.5, 1.0]).view(1, 1, 1, 2)
    offset = torch.tensor([-0.3, 0.1]).view(1, 1, 1, 2)
    apgd_from(model, image, torch.tensor([1]), radius(image, 0.2), 0, "ce", [offset])
    assert torch.cat(model.asked).tolist() == pytest.approx([0.5, 0.3])


def test_checkpoints_are_those_of_the_paper():
    assert halving_steps(100) == {22: 22, 41: 19, 57: 16, 70: 13, 80: 10, 87: 7, 93: 6, 99: 6}
    assert list(halving_steps(1_000)) == [220, 410, 570, 700, 800, 870, 930, 990]
    assert halving_steps(3) == {1: 1, 2: 1, 3: 1}
    assert halving_steps(0) == {}


def test_the_step_is_halved_under_either_condition():
    """Rises 17 of 22 exceed 0.75; a best loss that stands still halves unless it just did."""
    rises = torch.tensor([17, 16, 22, 22, 22])
    halved = torch.tensor([True, False, False, True, False])
    best_loss = torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0])
    pixels, row = torch.arange(5.0)[:, None, None, None], torch.zeros(5)
    ascent = Ascent(
        pixels, row, row, pixels, step_size=torch.ones(5, 1, 1, 1), before=pixels, point=pixels,
        wrong=halved, loss=row, gradient=pixels, best=-pixels, best_loss=best_loss,
        best_gradient=10 + pixels, rises=rises, checked_loss=row, halved=halved,
    )  # fmt: skip
    after = halve_where_stuck(ascent, 22)
    assert after.halved.tolist() == [False, True, True, False, False]
    assert after.step_size.flatten().tolist() == [1, 0.5, 0.5, 1, 1]
    assert after.point.flatten().tolist() == [0, -1, -2, 3, 4]
    assert after.gradient.flatten().tolist() == [0, 11, 12, 3, 4]
    assert torch.equal(after.checked_loss, best_loss)
    assert not after.rises.any()


def test_shrinking_steps_find_a_peak_that_fixed_steps_jump_over():
    peaks = torch.linspace(0.31, 0.69, 40)
    images = torch.stack([torch.full((40,), 0.5), peaks], 1).view(40, 1, 1, 2)
    labels = torch.ones(40, dtype=torch.long)
    moved = {
        attack: attack(Peak(), images, labels, eps=0.2, steps=100, loss="ce")
        for attack in (pgd, apgd)
    }
    still_correct = {a: (predicted(Peak(), x) == labels).float().mean() for a, x in moved.items()}
    assert still_correct[apgd] == 0
    assert still_correct[pgd] > 0.2


def test_dlr_in_closed_form():
    logits = torch.tensor([[4.0, 3.0, 2.0, 1.0, 0.0]]).repeat(3, 1)
    labels, targets = torch.tensor([0, 0, 3]), torch.tensor([1, 4, 0])
    ratio = targeted_dlr(logits, labels, targets)
    assert ratio.tolist() == pytest.approx([-1 / 2.5, -4 / 2.5, 3 / 2.5])
    torch.testing.assert_close(targeted_dlr(logits * 1e4 + 7, labels, targets), ratio)
    equal = targeted_dlr(torch.ones(1, 10), torch.tensor([0]), torch.tensor([1]))
    assert equal.tolist() == [0]
    few = targeted_dlr(logits[:, :3], torch.tensor([0, 0, 2]), torch.tensor([1, 2, 1]))
    assert few.tolist() == [-1, -2, 1]


def test_targets_are_the_wrong_classes_by_falling_logit():
    logits = torch.tensor([[3.0, 9.0, 5.0, 5.0], [0.0, 1.0, 2.0, 3.0]])
    order = wrong_classes(nn.Identity(), logits, torch.tensor([1, 0]))
    assert order.tolist() == [[2, 3, 0], [3, 2, 1]]
    assert wrong_classes(nn.Identity(), torch.rand(2, 30), torch.tensor([1, 0])).shape == (2, 9)


def test_dlr_sees_through_saturated_cross_entropy(trained, test_set):
    """A planted mask: logits times 1e4 leave cross-entropy without a gradient."""
    images, labels = test_set

    def masked(x):
        return trained(x) * 1e4

    eps, start = radius(images, 0.2), [torch.zeros_like(images)]
    right = predicted(trained, images) == labels
    broken = {
        name: apgd_from(model, images, labels, eps, 15, loss, start)[1]
        for name, model, loss in (
            ("ce", masked, "ce"), ("dlr", masked, "dlr"), ("unmasked", trained, "dlr"),
        )
    }  # fmt: skip
    assert broken["ce"][right].float().mean() < 0.2
    assert broken["dlr"][right].float().mean() > 0.9
    assert torch.equal(broken["dlr"], broken["unmasked"])


def test_the_least_likely_target_is_attacked_too():
    """A planted decoy: eight likely classes pull down and never win, the ninth wins upward."""

    def decoy(images):
        up = images.flatten(1) - 0.5
        return torch.cat([1 + 0 * up, *[0.5 - 2 * up] * 8, 20 * up - 2.5], 1)

    image, label = torch.full((1, 1, 1, 1), 0.5), torch.tensor([0])
    for weaker in (
        pgd(decoy, image, label, eps=0.2, loss="margin"),
        apgd(decoy, image, label, eps=0.2, loss="ce"),
    ):
        assert predicted(decoy, weaker).item() == 0
    assert predicted(decoy, apgd(decoy, image, label, eps=0.2, loss="dlr")).item() == 9


def test_apgd_is_no_weaker_than_pgd_and_dlr_no_weaker_than_ce(trained, test_set):
    images, labels = test_set
    robust = [
        (predicted(trained, attack(trained, images, labels, eps=0.08, **settings)) == labels).sum()
        for attack, settings in (
            (apgd, {"steps": 20, "loss": "dlr"}),
            (apgd, {"steps": 20}),
            (pgd, {"steps": 20}),
        )
    ]
    assert 0 < robust[0] <= robust[1] <= robust[2] < len(labels)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_later_restart_finds_what_has_no_gradient(loss):
    """A plateau is class 0: only a start on it finds it; the start alone is enough."""

    def plateau(images):
        x = images.flatten(1)[:, 0]
        return torch.stack([(x > 0.6).to(x) + 0 * x, 0.5 + 0 * x], 1)

    images, labels = torch.full((2, 1, 1, 1), 0.5), torch.ones(2, dtype=torch.long)
    eps = torch.tensor([0.2, 0.05]).view(2, 1, 1, 1)
    down, up = -torch.ones_like(images), torch.ones_like(images)
    assert not apgd_from(plateau, images, labels, eps, 4, loss, [down])[1].any()
    found, broken = apgd_from(plateau, images, labels, eps, 4, loss, [down, up])
    assert broken.tolist() == [True, False]
    assert found[0].item() == pytest.approx(0.7)


def test_only_a_generator_makes_the_first_start_random(trained, test_set):
    images, labels = test_set[0][:16], test_set[1][:16]

    def run(seed=None):
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return apgd(trained, images, labels, eps=0.05, steps=3, generator=generator)

    assert torch.equal(run(), run())
    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run())
    from_image = apgd_from(
        trained, images, labels, radius(images, 0.05), 3, "ce", [torch.zeros_like(images)]
    )
    assert torch.equal(run(), from_image[0])


def test_wrong_input_is_refused(trained, test_set):
    images, labels = test_set
    with pytest.raises(ValueError, match="normalise in the model"):
        apgd(trained, images * 2 - 0.5, labels, eps=0.1)
    with pytest.raises(ValueError, match="loss 'margin' is neither ce nor dlr"):
        apgd(trained, images, labels, eps=0.1, loss="margin")


def test_numbers_that_are_not_finite_are_an_error(test_set):
    images, labels = test_set

    def nowhere(x):
        return x.flatten(1)[:, :10] / 0 * 0

    def steep(x):  # finite logits, infinite gradient where a pixel is 0
        return x.flatten(1)[:, :10].sqrt()

    with pytest.raises(FloatingPointError):
        apgd(nowhere, images, labels, eps=0.1)
    with pytest.raises(FloatingPointError):
        apgd(steep, images, torch.zeros_like(labels), eps=0.1)


@pytest.mark.parametrize("loss", LOSSES)
def test_no_images_is_no_error(trained, loss):
    images, labels = torch.rand(0, 1, 28, 28), torch.zeros(0, dtype=torch.long)
    assert apgd(trained, images, labels, eps=0.1, loss=loss).shape == images.shape
