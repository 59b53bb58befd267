import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rotgrid import data, models
from rotgrid.attacks.pgd import pgd_from
from rotgrid.attacks.spatial import (
    correct_under_all,
    draw_transforms,
    rotation_grid,
    spatial,
    spatial_grid,
    translation_grid,
    worst_transform,
)
from rotgrid.attacks.spatial_pgd import spatial_pgd_from, views
from rotgrid.rotation import draw_angles, draw_shifts, rotate, transform

from trained import stdcnn

N = 60
IDENTITY = torch.zeros(1, 3, dtype=torch.float64)


@pytest.fixture(scope="module")
def trained(digits):
    return stdcnn(digits)


@pytest.fixture(scope="module")
def test_set(digits):
    return data.pixels(digits.test_images[:N]), digits.test_labels[:N]


class Table(nn.Module):
    """Logits looked up by the column of the one lit pixel: planted behaviour under shifts."""

    def __init__(self, rows):
        super().__init__()
        self.rows = torch.tensor(rows)

    def forward(self, images):
        return self.rows[images.sum(2).flatten(1).argmax(1)]


def lit(column, size=5):
    image = torch.zeros(1, 1, size, size)
    image[..., size // 2, column] = 1
    return image


class OneTarget(nn.Module):
    """Class 1 for one image alone, up to rounding; class 0 for all others."""

    def __init__(self, target):
        super().__init__()
        self.target = target

    def forward(self, images):
        found = (images - self.target).abs().flatten(1).amax(1) < 1e-4
        return F.one_hot(found.long(), 2).float()


def right_at(model, images, labels, at):
    """Whether each image is classified correctly under the transform `at`, the plain way."""
    with torch.no_grad():
        return model(transform(images, at[..., 0], at[..., 1:])).argmax(1) == labels


def columns(transforms, n):
    return transforms.expand(n, *transforms.shape[-2:]).unbind(1)


# The sets.


@pytest.mark.parametrize(
    ("transforms", "number"),
    [
        (rotation_grid(0), 1),
        (rotation_grid(0.25), 3),
        (rotation_grid(30), 61),
        (rotation_grid(22.5), 47),
        (rotation_grid(179.5), 361),
        (rotation_grid(180), 360),
        (translation_grid(0), 1),
        (translation_grid(3), 49),
        (translation_grid(2.9), 25),
        (spatial_grid(), 775),
        (spatial_grid(0, 3), 25),
        (spatial_grid(30, 0), 31),
        (spatial_grid(180, 3), 750),
        (spatial_grid(0, 0), 1),
        (spatial_grid(0.1, 0.1), 775),
    ],
)
def test_grids_hold_each_transform_once_and_the_identity(transforms, number):
    assert transforms.shape == (number, 3)
    assert transforms.dtype == torch.float64
    distinct = {(degrees % 360, right, down) for degrees, right, down in transforms.tolist()}
    assert len(distinct) == number
    assert (0.0, 0.0, 0.0) in distinct


def test_grids_are_what_the_protocol_says():
    assert rotation_grid(22.5)[:, 0].tolist() == [-22.5, *range(-22, 23), 22.5]
    assert sorted(rotation_grid(180)[:, 0].tolist()) == list(range(-179, 181))
    assert not rotation_grid(30)[:, 1:].any()
    shifts = {tuple(row) for row in translation_grid(2).tolist()}
    assert shifts == {(0.0, r, d) for r in range(-2, 3) for d in range(-2, 3)}
    engstrom = {tuple(row) for row in spatial_grid().tolist()}
    steps = (-3, -1.5, 0, 1.5, 3)
    assert engstrom == {(a, r, d) for a in range(-30, 31, 2) for r in steps for d in steps}


def test_random_transforms_are_frozen_common_and_nested():
    drawn = draw_transforms(50, 10, 30, 3)
    assert drawn.shape == (50, 10, 3)
    assert (drawn.abs() <= torch.tensor([30, 3, 3])).all()
    assert torch.equal(draw_transforms(20, 4, 30, 3), drawn[:20, :4])
    torch.testing.assert_close(
        draw_transforms(50, 10, 180, 1), drawn * torch.tensor([6, 1 / 3, 1 / 3])
    )
    assert len(drawn[..., 0].unique()) == 500
    assert torch.equal(drawn[:, 0, 0], draw_angles(50, 30, "test"))
    assert torch.equal(drawn[:, 0, 1:], draw_shifts(50, 3, "test"))
    assert not draw_transforms(5, 3, 30, 0)[..., 1:].any()
    assert torch.equal(draw_transforms(5, 3, 0, 0), torch.zeros(5, 1, 3, dtype=torch.float64))


def test_impossible_ranges_are_refused():
    for make in (rotation_grid, spatial_grid, lambda rotation: draw_transforms(5, 3, rotation, 0)):
        for rotation in (-1, 181, math.nan):
            with pytest.raises(ValueError, match="not in \\[0, 180\\]"):
                make(rotation)
    for make in (translation_grid, lambda most: spatial_grid(30, most)):
        with pytest.raises(ValueError, match="negative"):
            make(-1)


# Who survives.

SETS = {
    "rotations": rotation_grid(25)[::6],
    "shifts": translation_grid(1),
    "both": spatial_grid(20, 1)[::62],
    "draws": draw_transforms(N, 8, 50, 1),
}


@pytest.mark.parametrize("name", SETS)
def test_survivors_are_right_under_every_transform(trained, test_set, name):
    images, labels = test_set
    right = torch.stack([right_at(trained, *test_set, at) for at in columns(SETS[name], N)])
    survived = correct_under_all(trained, images, labels, SETS[name])
    assert torch.equal(survived, right.all(0))
    assert 0 < survived.sum() < right.float().mean() * N  # worst < average: the case has both


@pytest.mark.parametrize("name", SETS)
def test_worst_is_no_better_than_average_and_more_transforms_are_no_easier(
    trained, test_set, name
):
    transforms = SETS[name]
    before = torch.ones(N, dtype=torch.bool)
    for k in (1, 2, 5, len(transforms[0]) if name == "draws" else len(transforms)):
        some = transforms[..., :k, :]
        survived = correct_under_all(trained, *test_set, some)
        shares = [right_at(trained, *test_set, at).float().mean() for at in columns(some, N)]
        assert survived.float().mean() <= torch.stack(shares).mean() + 1e-6
        assert not (survived & ~before).any()
        before = survived


def test_no_image_survives_that_is_wrong_as_it_is(trained, test_set):
    images, _ = test_set
    with torch.no_grad():
        wrong = (trained(images).argmax(1) + 1) % 10
    for transforms in (IDENTITY, rotation_grid(30), translation_grid(1), spatial_grid(0, 2)):
        assert not correct_under_all(trained, images, wrong, transforms).any()


def test_results_do_not_depend_on_the_batch_nor_on_the_order(trained, test_set):
    images, labels = test_set
    for transforms in (rotation_grid(40)[::10], SETS["draws"]):
        own = transforms.ndim == 3
        survived = correct_under_all(trained, images, labels, transforms)
        worst = worst_transform(trained, images, labels, transforms)
        turn = torch.arange(N - 1, -1, -7)
        some = (images[turn], labels[turn], transforms[turn] if own else transforms)
        assert torch.equal(correct_under_all(trained, *some), survived[turn])
        assert torch.equal(worst_transform(trained, *some), worst[turn])
        mixed = transforms[..., torch.randperm(transforms.shape[-2]), :]
        assert torch.equal(correct_under_all(trained, images, labels, mixed), survived)
        assert torch.equal(worst_transform(trained, images, labels, mixed), worst)


def test_more_images_than_a_batch(trained, test_set):
    images, labels = (torch.cat([values] * 5) for values in test_set)
    survived = correct_under_all(trained, images, labels, rotation_grid(40)[::20])
    assert torch.equal(
        survived, correct_under_all(trained, *test_set, rotation_grid(40)[::20]).repeat(5)
    )


def test_images_leave_once_they_are_broken(test_set):
    images, labels = test_set
    asked = []

    def never_right(pixels):
        asked.append(len(pixels))
        return F.one_hot((labels[:1].expand(len(pixels)) + 1) % 10, 10).float()

    assert not correct_under_all(
        never_right, images, labels[:1].expand(N), rotation_grid(30)
    ).any()
    assert sum(asked) == N


# Models of which the answer is known.


class QuarterSum(nn.Module):
    """Looks at all four quarter turns of an image at once."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(28 * 28, 10))

    def forward(self, images):
        turns = [images.rot90(quarter, (-2, -1)).flatten(1) for quarter in range(4)]
        return torch.stack(turns).double().sum(0) @ self.weight.double()


def test_an_invariant_model_never_breaks(test_set):
    images, _ = test_set
    model = QuarterSum()
    labels = model(images).argmax(1)
    quarters = torch.tensor([[0.0, 0, 0], [90, 0, 0], [180, 0, 0], [270, 0, 0]])
    assert correct_under_all(model, images, labels, quarters).all()
    assert not correct_under_all(model, images, labels, rotation_grid(30)).all()


def test_a_model_of_the_mean_brightness_never_breaks_while_the_digit_stays_in_the_frame():
    images = torch.zeros(40, 1, 28, 28)
    images[..., 4:24, 4:24] = (torch.rand(40, 1, 20, 20) * 255).round() / 256  # exact sums

    def by_brightness(pixels):
        classes = (pixels.flatten(1).sum(1) * 256).round().long() % 10
        return F.one_hot(classes, 10).float()

    labels = by_brightness(images).argmax(1)
    assert correct_under_all(by_brightness, images, labels, translation_grid(4)).all()
    assert not correct_under_all(by_brightness, images, labels, translation_grid(5)).any()


@pytest.mark.parametrize("degrees", [17, -30, 1])
def test_the_grid_finds_the_one_angle_that_breaks(test_set, degrees):
    images = test_set[0][:12]
    model = OneTarget(rotate(images[3:4], degrees))
    labels = torch.zeros(12, dtype=torch.long)
    survived = correct_under_all(model, images, labels, rotation_grid(30))
    assert (~survived).nonzero().tolist() == [[3]]
    worst = worst_transform(model, images, labels, rotation_grid(30))
    assert worst[3].tolist() == [degrees, 0, 0]
    assert correct_under_all(model, images, labels, rotation_grid(abs(degrees) - 1)).all()


def test_the_grid_finds_the_one_shift_that_breaks(test_set):
    images, _ = test_set
    model = OneTarget(images[5:6].roll((-1, 2), (-2, -1)))  # one up, two to the right
    labels = torch.zeros(N, dtype=torch.long)
    assert (~correct_under_all(model, images, labels, translation_grid(2))).nonzero().tolist() == [
        [5]
    ]
    worst = worst_transform(model, images, labels, translation_grid(2))
    assert worst[5].tolist() == [0, 2, -1]
    found = spatial(model, images, labels, translation_grid(2))
    assert torch.equal(found[5:6], model.target)
    assert correct_under_all(model, images, labels, translation_grid(1)).all()
    assert correct_under_all(model, images, labels, rotation_grid(30)).all()


def test_each_image_is_tried_under_its_own_transforms(test_set):
    images, _ = test_set
    model = OneTarget(rotate(images[3:4], 17.0))
    labels = torch.zeros(N, dtype=torch.long)
    each = torch.zeros(N, 2, 3, dtype=torch.float64)
    each[4, 1, 0] = 17
    assert correct_under_all(model, images, labels, each).all()
    each[3, 1, 0] = 17
    assert (~correct_under_all(model, images, labels, each)).nonzero().tolist() == [[3]]


def test_quarter_turns_do_not_matter_to_a_p4cnn_but_do_to_a_gcnn(test_set):
    images = test_set[0][:16]
    for name, variant, unchanged in (("p4cnn", "base", True), ("gcnn", "orbit", False)):
        torch.manual_seed(0)
        net = models.build(name, variant).eval()
        with torch.no_grad():
            labels = net(images).argmax(1)
        survived = []
        for quarter in range(4):
            transforms = IDENTITY.repeat(4, 1)
            transforms[:, 0] = torch.tensor([3, -10, 20, 41]) + 90 * quarter
            survived += [correct_under_all(net, images, labels, transforms)]
        assert all(torch.equal(survived[0], other) for other in survived) is unchanged
        assert 0 < survived[0].sum() < 16


# The worst transform.


def shifted_to(column):
    """The transform of an image lit in the middle of five columns."""
    return torch.tensor([0.0, column - 2, 0], dtype=torch.float64)


ANY_SHIFT = torch.stack([shifted_to(column) for column in range(5)])


@pytest.mark.parametrize(
    ("rows", "column"),
    [
        # a misclassified one, though a correct one has a higher cross-entropy
        ([[2.0, 1.9, 1.9], [9, 0, 0], [9, 0, 0], [0, 0.1, -9], [9, 0, 0]], 3),
        # of the misclassified the highest cross-entropy
        ([[0.0, 1, 0], [0, 3, 0], [9, 0, 0], [0, 2, 0], [2, 1.99, 1.99]], 1),
        # the same, with a correct one of higher cross-entropy tried first
        ([[2.0, 1.9, 1.9], [0, 0.1, -9], [9, 0, 0], [0, 0.2, -9], [9, 0, 0]], 3),
        # none is misclassified: the highest cross-entropy
        ([[9.0, 0, 0], [5, 4, 0], [9, 0, 0], [5, 4.5, 0], [8, 0, 0]], 3),
        # where float32 cross-entropy is 0 throughout
        ([[99.0, 0, 0], [99, 50, 0], [99, 0, 0], [99, 0, 0], [99, 67, 0]], 4),
        # of equals the first
        ([[0.0, 1, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]], 0),
    ],
)
def test_worst_is_misclassified_first_then_of_highest_loss(rows, column):
    image, label = lit(2), torch.tensor([0])
    worst = worst_transform(Table(rows), image, label, ANY_SHIFT)
    assert torch.equal(worst[0], shifted_to(column))
    assert torch.equal(spatial(Table(rows), image, label, ANY_SHIFT), lit(column))


@pytest.mark.parametrize("name", SETS)
def test_the_worst_view_of_an_image_breaks_exactly_those_that_do_not_survive(
    trained, test_set, name
):
    images, labels = test_set
    survived = correct_under_all(trained, images, labels, SETS[name])
    worst = worst_transform(trained, images, labels, SETS[name])
    assert torch.equal(right_at(trained, images, labels, worst), survived)
    found = spatial(trained, images, labels, SETS[name])
    assert found.amin() >= 0
    assert found.amax() <= 1
    assert torch.equal(found, transform(images, worst[:, 0], worst[:, 1:]))
    highest = losses(trained, found, labels)
    for at in columns(SETS[name], N):
        moved = transform(images, at[..., 0], at[..., 1:])
        comparable = survived | ~right_at(trained, images, labels, at)
        assert (losses(trained, moved, labels) <= highest + 1e-5)[comparable].all()


def losses(model, images, labels):
    with torch.no_grad():
        return F.cross_entropy(model(images), labels, reduction="none")


def test_interpolation_is_the_callers(trained, test_set):
    nearest = spatial(trained, *test_set, rotation_grid(30)[::6], interpolation="nearest")
    worst = worst_transform(trained, *test_set, rotation_grid(30)[::6], "nearest")
    assert torch.equal(nearest, rotate(test_set[0], worst[:, 0], "nearest"))
    survived = correct_under_all(trained, *test_set, rotation_grid(30)[::6], "nearest")
    with torch.no_grad():
        assert torch.equal(trained(nearest).argmax(1) == test_set[1], survived)


# Foolbox.


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize("degrees", [0.0, 12.0, -30.0])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (2.0, -3.0)])
def test_transforms_agree_with_foolbox(test_set, degrees, shift):
    import eagerpy
    from foolbox.attacks.spatial_attack_transformations import rotate_and_shift

    images = test_set[0][:10]
    theirs = rotate_and_shift(eagerpy.astensor(images), shift, degrees).raw
    ours = from_foolbox(degrees, *shift)
    torch.testing.assert_close(transform(images, ours[0], ours[1:]), theirs, atol=2e-5, rtol=0)


def from_foolbox(degrees, x, y):
    """Our transform for theirs: they shift before they turn, towards the left and up, and by
    13.5/14 of what they say (a pixel is 1/13.5 in their coordinates, they divide by 14)."""
    angle, unit = math.radians(degrees), 13.5 / 14
    right = -unit * (math.cos(angle) * x + math.sin(angle) * y)
    down = unit * (math.sin(angle) * x - math.cos(angle) * y)
    return torch.tensor([degrees, right, down], dtype=torch.float64)


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize(("rotation", "most"), [(30, 0), (0, 2), (10, 1)])
def test_survivors_equal_those_of_foolbox(trained, test_set, rotation, most):
    import foolbox

    images, labels = test_set
    theirs = foolbox.attacks.SpatialAttack(
        max_translation=most, num_translations=3, max_rotation=rotation, num_rotations=5
    )
    wrapped = foolbox.PyTorchModel(trained, bounds=(0, 1), device="cpu")
    broken = theirs(wrapped, images, labels)[2]
    transforms = torch.stack(
        [
            from_foolbox(degrees, x, y)
            for degrees in torch.linspace(-rotation, rotation, 5).tolist()
            for x in (-most, 0, most)
            for y in (-most, 0, most)
        ]
    )
    assert torch.equal(correct_under_all(trained, images, labels, transforms), ~broken)
    assert broken.any()
    assert not broken.all()


# The joint attack.


@pytest.fixture(scope="module")
def few_views(trained, test_set):
    images, labels = test_set[0][:40], test_set[1][:40]
    draws = draw_transforms(40, 3, 20, 0)
    return views(trained, images, labels, IDENTITY, draws), labels


def radius(eps):
    return torch.as_tensor(eps).expand(40).view(-1, 1, 1, 1)


def starts(n=40):
    return [torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(2)) * 2 - 1]


def test_views_are_the_worst_of_the_grid_and_the_draws(trained, test_set):
    images, labels = test_set[0][:30], test_set[1][:30]
    draws = draw_transforms(30, 10, 30, 2)
    found = views(trained, images, labels, rotation_grid(30)[::5], draws, "nearest")
    assert found.shape == (11, 30, 1, 28, 28)
    grid = rotation_grid(30)[::5]
    first = spatial(trained, images, labels, grid, interpolation="nearest")
    assert torch.equal(found[0], first)
    for view, at in zip(found[1:], draws.unbind(1), strict=True):
        assert torch.equal(view, transform(images, at[:, 0], at[:, 1:], "nearest"))


def test_around_one_view_the_joint_attack_is_pgd(trained, test_set):
    images, labels = test_set[0][:40], test_set[1][:40]
    expected = pgd_from(
        trained, images, labels, 0.1, 10, 0.1 / 30, "ce", starts(), stop_early=True
    )[1]
    found = spatial_pgd_from(trained, images[None], labels, radius(0.1), 10, starts())
    assert torch.equal(found, expected)
    assert 0 < found.sum() < 40


def test_at_eps_0_the_joint_attack_is_the_worst_of_the_views(trained, few_views):
    seen, labels = few_views
    with torch.no_grad():
        wrong = torch.stack([trained(view).argmax(1) != labels for view in seen])
    found = spatial_pgd_from(trained, seen, labels, radius(0.0), 3, starts())
    assert torch.equal(found, wrong.any(0))


def test_the_joint_attack_breaks_what_breaks_at_any_view(trained, few_views):
    seen, labels = few_views
    alone = [
        spatial_pgd_from(trained, view[None], labels, radius(0.05), 8, starts()) for view in seen
    ]
    together = spatial_pgd_from(trained, seen, labels, radius(0.05), 8, starts())
    assert torch.equal(together, torch.stack(alone).any(0))
    assert max(broken.sum() for broken in alone) < together.sum() < 40


def test_each_image_has_its_own_eps_and_start(trained, few_views):
    seen, labels = few_views
    eps = torch.linspace(0, 0.1, 40)
    together = spatial_pgd_from(trained, seen, labels, radius(eps), 5, starts())
    for i in range(0, 40, 9):
        one = slice(i, i + 1)
        alone = spatial_pgd_from(
            trained, seen[:, one], labels[one], eps[one].view(1, 1, 1, 1), 5, [starts()[0][one]]
        )
        assert alone.item() == together[i].item()


def test_the_joint_attack_climbs_either_loss(trained, few_views):
    """Logits times 1e4 leave cross-entropy without a gradient."""
    seen, labels = few_views

    def masked(pixels):
        return trained(pixels) * 1e4

    ce, margin = (
        spatial_pgd_from(masked, seen, labels, radius(0.08), 8, starts(), loss).sum()
        for loss in ("ce", "margin")
    )
    assert ce < margin


# Conduct.


@pytest.mark.parametrize("training", [True, False])
def test_the_model_and_the_images_are_left_as_they_were(test_set, training):
    images, labels = test_set[0][:8].clone(), test_set[1][:8]
    net = models.build("stdcnn").train(training)
    net.head[2].train(not training)  # a module with a mode of its own
    net.head[0].weight.requires_grad_(False)
    modes = [module.training for module in net.modules()]
    wanted = [parameter.requires_grad for parameter in net.parameters()]
    survived = correct_under_all(net, images, labels, rotation_grid(5))
    worst = worst_transform(net, images, labels, rotation_grid(5))
    seen = views(net, images, labels, rotation_grid(5), draw_transforms(8, 2, 5, 1))
    spatial_pgd_from(net, seen, labels, torch.full((8, 1, 1, 1), 0.1), 2, starts(8))
    assert [module.training for module in net.modules()] == modes
    assert [parameter.requires_grad for parameter in net.parameters()] == wanted
    assert torch.equal(images, test_set[0][:8])
    net.eval()  # dropout was off: the same once more
    assert torch.equal(correct_under_all(net, images, labels, rotation_grid(5)), survived)
    assert torch.equal(worst_transform(net, images, labels, rotation_grid(5)), worst)


def test_wrong_input_is_refused(trained, test_set):
    images, labels = test_set
    for run in (correct_under_all, worst_transform, spatial):
        with pytest.raises(ValueError, match="normalise in the model"):
            run(trained, images * 2 - 0.5, labels, IDENTITY)
        with pytest.raises(ValueError, match="60 images but 3 labels"):
            run(trained, images, labels[:3], IDENTITY)
        for shape in ((3,), (4, 2), (0, 3), (5, 4, 3), (N, 0, 3), (N, 4, 2), (1, 4, 3)):
            with pytest.raises(ValueError, match="transforms for 60 images"):
                run(trained, images, labels, torch.zeros(shape))


def test_logits_that_are_not_finite_are_an_error(test_set):
    def broken(pixels):
        return pixels.flatten(1)[:, :10] / 0 * 0

    for run in (correct_under_all, worst_transform, spatial):
        with pytest.raises(FloatingPointError):
            run(broken, *test_set, IDENTITY)


def test_no_images_is_no_error(trained):
    images, labels = torch.rand(0, 1, 28, 28), torch.zeros(0, dtype=torch.long)
    assert correct_under_all(trained, images, labels, rotation_grid(3)).shape == (0,)
    assert worst_transform(trained, images, labels, rotation_grid(3)).shape == (0, 3)
    assert spatial(trained, images, labels, rotation_grid(3)).shape == (0, 1, 28, 28)
    seen = views(trained, images, labels, rotation_grid(3), draw_transforms(0, 2, 3, 0))
    assert seen.shape == (3, 0, 1, 28, 28)
    none = torch.zeros(0, 1, 1, 1)
    assert spatial_pgd_from(trained, seen, labels, none, 3, [images]).shape == (0,)
