import functools
import math

import pytest
import torch
from torch import nn

from rotgrid import attacks, data, models
from rotgrid.attacks.linf import frozen, objective_of

from linear import Folding, Halves
from trained import stdcnn

MEANS = torch.rand(10, 1, 28, 28, generator=torch.Generator().manual_seed(0))
ATTACKS = {
    "noise": attacks.noise,
    "sign-noise": attacks.sign_noise,
    "class-means": functools.partial(attacks.class_means, means=MEANS),
    "fgsm": attacks.fgsm,
    "bim": attacks.bim,
    "pgd": attacks.pgd,
    "apgd": attacks.apgd,
    "square": attacks.square,
    "fmn": attacks.fmn,
    "strong": attacks.strong,
}
QUICK = {
    "class-means": {"means": MEANS},
    "pgd": {"steps": 8},
    "apgd": {"steps": 8},
    "square": {"steps": 60},
    "fmn": {"steps": 10},
    "strong": {"steps": 4},
}
"""Settings of short runs of each attack."""
SEARCHING = ("pgd", "apgd", "square", "strong")
RANDOM = ("noise", "sign-noise", *SEARCHING)


@pytest.fixture
def linear():
    return Halves()


@pytest.fixture
def points(linear):
    """Points away from the faces of the box, so that the box does not bind; their labels."""
    images = 0.4 + 0.2 * torch.rand(64, 1, 6, 6)
    return images, linear(images).argmax(1)


@pytest.fixture(scope="module")
def trained(digits):
    return stdcnn(digits)


@pytest.fixture(scope="module")
def test_set(digits):
    return data.pixels(digits.test_images[:80]), digits.test_labels[:80]


def margins(linear, images):
    """Distance of each image to the hyperplane in L-inf: |w.x + b| / ||w||_1."""
    return (linear(images)[:, 1].abs() / linear.w.abs().sum()).detach()


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
def test_linear_model_is_attacked_optimally(linear, points, attack):
    images, labels = points
    eps = 0.05
    adversarial = ATTACKS[attack](linear, images, labels, eps=eps)
    toward = 1 - 2 * labels.float()  # raise class 1 where the label is 0, and the reverse
    best = images + eps * (toward[:, None] * linear.w.detach().sign()).view_as(images)
    torch.testing.assert_close(adversarial, best, atol=1e-6, rtol=0)


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
def test_a_linear_model_breaks_exactly_at_its_margin(linear, points, attack):
    images, labels = points
    distance = margins(linear, images)
    for factor, correct in ((0.99, True), (1.01, False)):
        for i in range(8):
            eps = (distance[i] * factor).item()
            one = (images[i : i + 1], labels[i : i + 1])
            moved = ATTACKS[attack](linear, *one, eps=eps)
            assert (linear(moved).argmax(1) == one[1]).item() is correct


def test_sweep_over_a_linear_model_is_a_threshold_on_the_margin(linear, points):
    images, labels = points
    grid = [0.0, 0.005, 0.02, 0.05, 0.1]
    expected = margins(linear, images)[None] > torch.tensor(grid)[:, None]
    for attack in ("fgsm", "pgd"):
        found = attacks.sweep(linear, images, labels, attack=attack, eps_grid=grid)
        assert torch.equal(found, expected)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("eps", [0.01, 0.3])
def test_ball_and_box_hold_for_every_image(trained, test_set, attack, eps):
    images, labels = test_set
    moved = ATTACKS[attack](trained, images, labels, eps=eps, **QUICK.get(attack, {}))
    assert (moved - images).abs().max() <= eps + 1e-6
    assert moved.amin() >= 0
    assert moved.amax() <= 1
    assert torch.isfinite(moved).all()


@pytest.mark.parametrize("attack", ATTACKS)
def test_eps_0_is_the_identity(trained, test_set, attack):
    images, labels = test_set
    settings = seeded(attack)
    assert torch.equal(ATTACKS[attack](trained, images, labels, eps=0.0, **settings), images)
    found = attacks.sweep(trained, images, labels, attack=attack, eps_grid=[0.0], **settings)
    assert torch.equal(found[0], attacks.predicted(trained, images) == labels)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(test_set, attack, training):
    images, labels = test_set[0][:8].clone(), test_set[1][:8]
    net = models.build("stdcnn").train(training)
    net.head[2].train(not training)  # a module with a mode of its own
    net.head[0].weight.requires_grad_(False)
    net(images).sum().backward()
    before = [p.grad.clone() if p.grad is not None else None for p in net.parameters()]
    modes = [m.training for m in net.modules()]
    wanted = [p.requires_grad for p in net.parameters()]
    settings = QUICK.get(attack, {})
    ATTACKS[attack](net, images, labels, eps=0.1, **settings)
    attacks.sweep(net, images, labels, attack=attack, eps_grid=[0.1], **settings)
    assert [m.training for m in net.modules()] == modes
    assert [p.requires_grad for p in net.parameters()] == wanted
    for parameter, gradient in zip(net.parameters(), before, strict=True):
        assert (parameter.grad is None) == (gradient is None)
        assert gradient is None or torch.equal(parameter.grad, gradient)
    assert not images.requires_grad
    assert torch.equal(images, test_set[0][:8])


def test_the_model_is_restored_after_an_error():
    net = models.build("stdcnn")
    with pytest.raises(RuntimeError, match="boom"), frozen(net):
        raise RuntimeError("boom")
    assert net.training
    assert all(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_filters_that_are_built_in_evaluation_mode_are_those_of_the_weights(training, test_set):
    net, images = Folding().train(training), test_set[0][:8]
    with torch.no_grad():
        expected = net(images)
        with frozen(net):
            assert torch.equal(net(images), expected)
        net.w += 0.1
        net.train(training)
        with frozen(net), frozen(net):
            found = net(images)
    assert net.training == training
    assert hasattr(net, "filters") is not training
    assert torch.equal(found, net(images))


def test_modes_that_differ_by_module_are_restored():
    net = models.build("stdcnn")
    dropped = next(m for m in net.modules() if isinstance(m, nn.Dropout)).eval()
    with frozen(net):
        assert not any(m.training for m in net.modules())
    assert [m for m in net.modules() if not m.training] == [dropped]


def test_dropout_is_off_inside_the_attack(test_set):
    net = models.build("stdcnn").train()
    images, labels = test_set
    torch.testing.assert_close(
        attacks.fgsm(net, images, labels, eps=0.1),
        attacks.fgsm(net.eval(), images, labels, eps=0.1),
        rtol=0,
        atol=0,
    )


def foolbox_attack(trained, images, labels, attack, eps):
    import foolbox

    wrapped = foolbox.PyTorchModel(trained, bounds=(0, 1), device="cpu")
    return attack(wrapped, images, labels, epsilons=eps)[1]


def test_fgsm_equals_foolbox(trained, test_set):
    import foolbox

    images, labels = test_set
    theirs = foolbox_attack(trained, images, labels, foolbox.attacks.FGSM(), 0.1)
    assert torch.equal(attacks.fgsm(trained, images, labels, eps=0.1), theirs)


def test_pgd_equals_foolbox_from_the_same_start(trained, test_set):
    import foolbox

    images, labels = test_set
    eps, steps = 0.1, 10
    theirs_attack = foolbox.attacks.LinfPGD(abs_stepsize=eps / 30, steps=steps, random_start=False)
    theirs = foolbox_attack(trained, images, labels, theirs_attack, eps)
    ours = attacks.pgd(trained, images, labels, eps=eps, steps=steps)
    end_is_wrong = attacks.predicted(trained, theirs) != labels
    never_broken = attacks.predicted(trained, ours) == labels
    same = end_is_wrong | never_broken  # else ours keeps an earlier success that theirs lost
    assert same.float().mean() > 0.95
    torch.testing.assert_close(ours[same], theirs[same], atol=1e-6, rtol=0)
    assert not (attacks.predicted(trained, ours) == labels)[end_is_wrong].any()


def test_pgd_is_no_weaker_than_fgsm_and_noise_is_the_weakest(trained, test_set):
    images, labels = test_set
    grid = [0.02, 0.05, 0.1, 0.2]
    robust = {
        attack: attacks.sweep(trained, images, labels, attack=attack, eps_grid=grid).sum(1)
        for attack in ("noise", "sign-noise", "fgsm", "pgd")
    }
    assert (robust["pgd"] <= robust["fgsm"]).all()
    assert (robust["fgsm"] <= robust["sign-noise"]).all()
    assert (robust["fgsm"] <= robust["noise"]).all()
    assert robust["pgd"][-1] < 0.5 * len(labels) < robust["noise"][-1]


@pytest.mark.parametrize("attack", ATTACKS)
def test_sweep_equals_the_attack_at_each_eps(trained, test_set, attack):
    images, labels = test_set
    grid = [0.05, 0.0, 0.2]
    found = attacks.sweep(trained, images, labels, attack=attack, eps_grid=grid, **seeded(attack))
    clean = attacks.predicted(trained, images) == labels
    for eps, row in zip(grid, found, strict=True):
        moved = ATTACKS[attack](trained, images, labels, eps=eps, **seeded(attack))
        alone = clean & (attacks.predicted(trained, moved) == labels)
        assert (row != alone).sum() <= (attack in SEARCHING)  # an image that breaks below only


def seeded(attack):
    settings = dict(QUICK.get(attack, {}))
    if attack in RANDOM:
        settings["generator"] = torch.Generator().manual_seed(5)
    if attack in ("noise", "sign-noise", "pgd", "apgd"):
        settings["restarts"] = 2
    return settings


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_row_of_a_sweep_does_not_depend_on_the_others(trained, test_set, attack):
    """But for the images of attacks that search which break at a small eps and not at a larger."""
    images, labels = test_set
    run = functools.partial(attacks.sweep, trained, images, labels, attack=attack)
    alone = run(eps_grid=[0.1], **seeded(attack))
    among = run(eps_grid=[0.3, 0.1, 0.05], **seeded(attack))
    assert (alone[0] != among[1]).sum() <= (attack in SEARCHING)


@pytest.mark.parametrize("attack", SEARCHING)
def test_the_curve_of_a_searching_attack_falls_for_every_image(trained, test_set, attack):
    grid = [0.0, 0.03, 0.06, 0.1, 0.15, 0.3]
    found = attacks.sweep(trained, *test_set, attack=attack, eps_grid=grid, **seeded(attack))
    assert (found[1:] <= found[:-1]).all()
    assert 0 < found[2].sum() < len(test_set[1])


@pytest.mark.parametrize("attack", ATTACKS)
def test_searches_say_how_much_of_what_they_take_for_granted_was_checked(
    trained, test_set, attack
):
    grid, notes, counts = [0.3, 0.02, 0.0, 0.04, 0.02], {}, ("search_checked", "search_missed")
    run = functools.partial(attacks.sweep, trained, *test_set, attack=attack)
    noted = run(eps_grid=grid, notes=notes, **seeded(attack))
    assert torch.equal(noted, run(eps_grid=grid, **seeded(attack)))
    assert {*counts} & {*notes} == ({*counts} if attack in SEARCHING else set())
    for checked, missed in zip(*(notes.get(name, []) for name in counts), strict=True):
        assert 0 <= missed <= checked <= len(test_set[1])
    if attack in SEARCHING:
        (first, second, zero, _, again), missed = notes["search_checked"], notes["search_missed"]
        assert (zero, missed) == (0, [0] * 5)
        assert second == again
        assert first == 0  # nothing is above it


def test_images_already_wrong_count_as_errors(trained, test_set):
    images, _ = test_set
    wrong = (attacks.predicted(trained, images) + 1) % 10
    for attack in ("none", *ATTACKS):
        settings = QUICK.get(attack, {})
        found = attacks.sweep(
            trained, images, wrong, attack=attack, eps_grid=[0.0, 0.1], **settings
        )
        assert not found.any()


def test_success_is_any_iterate():
    """A model that is wrong only near the middle of the path still counts as broken."""

    class Trap(nn.Module):
        def forward(self, images):
            x = images.flatten(1)[:, 0]
            inside = (x > 0.52) & (x < 0.58)
            return torch.stack([x * 0 + inside.float() * 10 + x, 5 - x], 1)

    image, label = torch.full((1, 1, 1, 1), 0.5), torch.tensor([1])
    moved = attacks.pgd(Trap(), image, label, eps=0.3, steps=40)
    assert Trap()(moved).argmax(1).item() == 0
    found = attacks.sweep(Trap(), image, label, attack="pgd", eps_grid=[0.3])
    assert not found.item()


def test_restarts_help_and_later_ones_only_see_survivors(trained, test_set):
    images, labels = test_set
    generator = torch.Generator().manual_seed(1)
    robust = [
        attacks.sweep(
            trained, images, labels, attack="pgd", eps_grid=[0.07], steps=4, restarts=restarts,
            generator=generator.manual_seed(1),
        ).sum()
        for restarts in (1, 6)
    ]  # fmt: skip
    assert robust[1] <= robust[0]


class Step(nn.Module):
    """Class 1 from a first pixel of 0.55 on, without a gradient."""

    def forward(self, images):
        x = images.flatten(1)[:, 0]
        return torch.stack([0.5 + 0 * x, (x > 0.55).to(x) + 0 * x], 1)


@pytest.mark.parametrize("attack", ["pgd", "apgd", "square", "transfer"])
def test_0_steps_are_one_look_at_each_start(attack):
    images, labels = torch.full((40, 1, 1, 1), 0.5), torch.zeros(40, dtype=torch.long)
    source = {"source": Step()} if attack == "transfer" else {}
    run = functools.partial(
        attacks.sweep, Step(), images, labels, attack=attack, eps_grid=[0.0, 0.04, 0.1], steps=0,
    )  # fmt: skip
    one, many = (
        run(restarts=n, generator=torch.Generator().manual_seed(1), **source) for n in (1, 20)
    )
    assert one[:2].all()
    assert many[:2].all()
    assert (many[2] <= one[2]).all()
    assert not many[2].any()


@pytest.mark.parametrize("attack", ["fmn-pgd", "spatial-pgd"])
def test_0_steps_of_what_has_looked_elsewhere_before(trained, test_set, attack):
    images, labels = test_set
    settings = {"views": images[None]} if attack == "spatial-pgd" else {}
    found = attacks.sweep(
        trained, images, labels, attack=attack, eps_grid=[0.0, 0.1], steps=0,
        generator=torch.Generator().manual_seed(1), **settings,
    )  # fmt: skip
    assert torch.equal(found[0], attacks.predicted(trained, images) == labels)
    assert (found[1] <= found[0]).all()


@pytest.mark.parametrize("attack", ["noise", "sign-noise", "pgd", "apgd", "square"])
@pytest.mark.parametrize("restarts", [0, -1])
def test_no_restarts_are_refused(trained, test_set, attack, restarts):
    settings = {"restarts": restarts, "generator": torch.Generator()}
    with pytest.raises(ValueError, match=f"restarts {restarts}: at least 1"):
        ATTACKS[attack](trained, *test_set, eps=0.1, **settings)
    with pytest.raises(ValueError, match=f"restarts {restarts}: at least 1"):
        attacks.sweep(trained, *test_set, attack=attack, eps_grid=[0.1], **settings)


@pytest.mark.parametrize(
    ("attack", "steps"),
    [("pgd", 0), ("apgd", 0), ("fmn", 0), ("strong", 0), ("square", -1), ("pgd", -3)],
)
def test_steps_that_try_nothing_are_refused(trained, test_set, attack, steps):
    """Of PGD and APGD from the image itself."""
    with pytest.raises(ValueError, match=f"steps {steps}: at least "):
        ATTACKS[attack](trained, *test_set, eps=0.1, steps=steps)
    with pytest.raises(ValueError, match=f"steps {steps}: at least "):
        attacks.sweep(trained, *test_set, attack=attack, eps_grid=[0.1], steps=steps)


def test_noise_moves_no_global_generator_and_notices_what_is_not_finite(trained, test_set):
    state = torch.random.get_rng_state()
    for attack in ("noise", "sign-noise"):
        moved = ATTACKS[attack](trained, *test_set, eps=0.1, restarts=2)
        assert torch.equal(moved, ATTACKS[attack](trained, *test_set, eps=0.1, restarts=2))
        with pytest.raises(FloatingPointError):
            ATTACKS[attack](lambda x: trained(x) / 0 * 0, *test_set, eps=0.1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_margin_loss_sees_through_saturated_cross_entropy(trained, test_set):
    """A planted mask: logits times 1e4 leave cross-entropy without a gradient."""
    images, labels = test_set

    def masked(x):
        return trained(x) * 1e4

    robust = {
        loss: attacks.sweep(
            masked, images, labels, attack="pgd", eps_grid=[0.2], loss=loss
        ).float().mean()
        for loss in ("ce", "margin")
    }  # fmt: skip
    assert robust["ce"] > robust["margin"] + 0.2


def test_losses_in_closed_form():
    logits = torch.tensor([[1.0, 3.0, 2.0]])
    margin = objective_of(logits, torch.tensor([0]), "margin")
    assert margin.item() == pytest.approx(2.0)
    assert objective_of(logits, torch.tensor([1]), "margin").item() == pytest.approx(-1.0)
    expected = math.log(sum(math.exp(x) for x in (1, 3, 2))) - 1
    assert objective_of(logits, torch.tensor([0]), "ce").item() == pytest.approx(expected)
    with pytest.raises(ValueError, match="neither ce nor margin"):
        objective_of(logits, torch.tensor([0]), "dlr")


@pytest.mark.parametrize("attack", ATTACKS)
def test_wrong_input_is_refused(trained, test_set, attack):
    images, labels = test_set
    run = ATTACKS[attack]
    with pytest.raises(ValueError, match="normalise in the model"):
        run(trained, images * 2 - 0.5, labels, eps=0.1)
    with pytest.raises(ValueError, match=r"eps 8 is not in \[0, 1\]"):
        run(trained, images, labels, eps=8)
    with pytest.raises(ValueError, match="80 images but 3 labels"):
        run(trained, images, labels[:3], eps=0.1)
    with pytest.raises(ValueError, match="uint8"):
        run(trained, (images * 255).byte(), labels, eps=0.1)


def test_unknown_attacks_and_settings_are_refused(trained, test_set):
    with pytest.raises(ValueError, match=r"no attack 'pdg'; choose from none, noise, .* pgd"):
        attacks.sweep(trained, *test_set, attack="pdg", eps_grid=[0.1])
    with pytest.raises(TypeError, match="steps"):
        attacks.sweep(trained, *test_set, attack="fgsm", eps_grid=[0.1], steps=3)


def test_numbers_that_are_not_finite_are_an_error(test_set):
    images, labels = test_set

    def broken(x):
        return x.flatten(1)[:, :10] / 0 * 0

    with pytest.raises(FloatingPointError):
        attacks.fgsm(broken, images, labels, eps=0.1)
    with pytest.raises(FloatingPointError):
        attacks.sweep(broken, images, labels, attack="none", eps_grid=[0.0])


def test_no_images_is_no_error(trained):
    images, labels = torch.rand(0, 1, 28, 28), torch.zeros(0, dtype=torch.long)
    for attack in ("none", *ATTACKS):
        settings = QUICK.get(attack, {})
        found = attacks.sweep(trained, images, labels, attack=attack, eps_grid=[0.1], **settings)
        assert found.shape == (1, 0)


def test_pgd_below_what_fmn_found_is_no_weaker_than_either(trained, test_set):
    grid = [0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2]
    run = functools.partial(attacks.sweep, trained, *test_set, eps_grid=grid)
    both, pgd, fmn = run(attack="fmn-pgd"), run(attack="pgd"), run(attack="fmn", steps=50)
    assert (both <= fmn).all()
    assert (both & ~pgd).float().mean() <= 0.005
    assert both.sum() < min(pgd.sum(), fmn.sum()) + 1


@pytest.mark.parametrize("attack", ["fgsm", "bim", "pgd"])
def test_an_attack_on_the_predicted_label_repairs_errors_and_the_true_one_does_not(
    trained, test_set, attack
):
    images, labels = test_set
    run = functools.partial(attacks.sweep, trained, images, labels, attack=attack)
    clean = attacks.predicted(trained, images) == labels
    assert not clean.all()
    grid = [0.0, 0.1]
    true, guessed = run(eps_grid=grid), run(eps_grid=grid, label_rule="predicted")
    assert torch.equal(true[:, clean], guessed[:, clean])
    assert not true[:, ~clean].any()
    assert not guessed[0, ~clean].any()
    assert guessed[1, ~clean].any()


def test_the_ensemble_is_no_weaker_than_any_of_its_members_on_any_image(trained, test_set):
    images, labels = test_set
    run = functools.partial(attacks.sweep, trained, images, labels, eps_grid=[0.03, 0.06])
    strong = run(attack="strong", steps=20)
    members = [
        run(attack="fmn", steps=20),
        run(attack="apgd", steps=20),
        run(attack="apgd", steps=20, loss="dlr"),
        run(attack="square", steps=200),
    ]
    for member in members:
        assert (strong <= member).all()
    assert (strong < members[-1]).any()


def test_transfer_shows_the_images_made_on_one_network_to_another(trained, test_set):
    images, labels = test_set
    other = models.build("stdcnn", seed=4)
    run = functools.partial(attacks.sweep, eps_grid=[0.1], steps=20)
    white_box = run(trained, images, labels, attack="pgd")
    itself = run(trained, images, labels, attack="transfer", source=trained)
    foreign = run(trained, images, labels, attack="transfer", source=other)
    assert torch.equal(itself, white_box)
    assert foreign.sum() > white_box.sum()


def test_an_attack_turns_with_the_image_of_an_invariant_network(test_set):
    net = models.build("p4cnn", seed=1)
    images, labels = torch.rand(20, 1, 28, 28).double(), test_set[1][:20]  # a black ground ties
    net.double()
    turned = attacks.fgsm(net, images.rot90(1, (-2, -1)), labels, eps=0.1)
    straight = attacks.fgsm(net, images, labels, eps=0.1).rot90(1, (-2, -1))
    assert ((turned - straight).abs() < 1e-6).float().mean() > 0.999
