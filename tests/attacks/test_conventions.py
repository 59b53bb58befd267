"""FGSM and PGD clipped and run by convention: what must not differ, and what does."""

import copy
from math import nan

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rotgrid import attacks, data, models
from rotgrid.attacks import conventions, linf
from rotgrid.attacks.threats import LINF
from rotgrid.spec import Probe
from rotgrid.spec.attacks import ATTACKS, CONVENTIONS
from rotgrid.spec.datasets import MNIST_SHAPE
from rotgrid.spec.models import MODELS

import trained
from linear import Folding, Halves

WAYS = {
    "fgsm": {},
    "pgd": {"steps": 5},
    "pgd at the image": {"steps": 4, "generator": None},
    "pgd on the margin": {"steps": 3, "restarts": 3, "loss": "margin"},
    "pgd of no step": {"steps": 0, "restarts": 2},
}
EPS = [0.0, 0.03, 0.06, 0.1]


@pytest.fixture(scope="module")
def test_set(digits):
    return data.pixels(digits.test_images[:120]), digits.test_labels[:120]


@pytest.fixture(scope="module")
def net(digits):
    return trained.perceptron(digits)


def settings_of(way):
    """Each time from the same starts."""
    start = {} if way == "fgsm" else {"generator": torch.Generator().manual_seed(5)}
    return {"attack": way.split()[0], **start, **WAYS[way]}


def sweep(net, images, labels, way="fgsm", eps_grid=EPS, shape=MNIST_SHAPE, **choices):
    chosen = settings_of(way) if way in WAYS else {"attack": way}
    return conventions.sweep(
        net, images, labels, eps_grid=eps_grid, shape=shape, **chosen, **choices
    )


def batch_norm(digits):
    """A small network with batch norm and dropout."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 5, stride=3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Dropout(0.4), nn.Linear(256, 10),
    )  # fmt: skip
    return trained.briefly(net, digits)


@pytest.fixture(scope="module")
def normed(digits):
    return batch_norm(digits)


@pytest.mark.parametrize("rule", ["true", "predicted"])
@pytest.mark.parametrize("way", WAYS)
def test_without_a_convention_the_plain_loops_are_the_usual_attacks(net, test_set, way, rule):
    """But that a search draws other starts for images that were misclassified already."""
    plain = sweep(net, *test_set, way, label_rule=rule)
    random = settings_of(way).get("generator") is not None
    same = attacks.predicted(net, test_set[0]) == test_set[1] if random else slice(None)
    for eps, survived in zip(EPS, plain, strict=True):
        usual = settings_of(way)
        expected = attacks.sweep(net, *test_set, eps_grid=[eps], label_rule=rule, **usual)
        assert torch.equal(survived[same], expected[0][same])
    assert plain[1].any()
    assert not plain[-1].all()


def test_every_attack_that_reads_the_conventions_has_a_loop(net, test_set):
    reading = {name for name, attack in ATTACKS.items() if set(CONVENTIONS) & set(attack.reads)}
    assert reading == set(conventions.LOOPS)
    for name in reading:
        assert Probe(attack=name, mode="train").by_convention()
        assert not Probe(attack=name).by_convention()
    clean = sweep(net, *test_set, "none", [0.0])[0]
    assert torch.equal(clean, attacks.predicted(net, test_set[0]) == test_set[1])


@pytest.mark.parametrize("way", WAYS)
def test_a_range_of_all_pixels_is_no_other_convention(net, test_set, way):
    """Of standardised images with mean 0 and deviation 1."""
    pixels = MNIST_SHAPE._replace(mean=(0.0,), std=(1.0,))
    normalised = sweep(net, *test_set, way, shape=pixels, clip="normalised")
    assert torch.equal(normalised, sweep(net, *test_set, way, clip="pixel"))


def test_clipping_does_nothing_where_no_pixel_comes_near_the_ends(net, test_set):
    images = 0.3 + 0.4 * test_set[0]
    for way in WAYS:
        found = [sweep(net, images, test_set[1], way, clip=c) for c in ("none", "pixel")]
        assert torch.equal(*found)


@given(st.integers(0, 100), st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_on_a_linear_network_an_attack_without_clipping_is_exact_and_the_strongest(seed, eps):
    """And clipping to [0, 1] leaves every image that it leaves."""
    torch.manual_seed(seed)
    net, images = Halves(), torch.rand(30, 1, 6, 6)
    logits = net(images)
    labels = logits.argmax(1)
    expected = linf.margins(logits, labels) + eps * net.w.abs().sum() < 0
    near = (linf.margins(logits, labels) + eps * net.w.abs().sum()).abs() < 1e-4
    (free,), (kept,) = (
        sweep(net, images, labels, eps_grid=[eps], clip=clip) for clip in ("none", "pixel")
    )
    assert (free == expected)[~near].all()
    assert (free <= kept)[~near].all()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("clip", ["pixel", "none", "normalised"])
def test_what_is_attacked_lies_in_its_ball_and_box(normed, test_set, way, clip, monkeypatch):
    seen = []
    kept = conventions.classes_of
    monkeypatch.setattr(
        conventions, "classes_of", lambda batch, x: seen.append((batch, x)) or kept(batch, x)
    )
    sweep(normed, *test_set, way, [0.1], clip=clip)
    low, high = {"pixel": (0, 1), "none": (-1, 2), "normalised": (0.1307, 0.4388)}[clip]
    moved = [(batch, x) for batch, x in seen if not torch.equal(x, batch.images)]
    assert moved
    for batch, images in moved:
        assert images.amin() >= low - linf.TOLERANCE
        assert images.amax() <= high + linf.TOLERANCE
        inside = LINF.size(images - batch.images).amax() <= 0.1 + linf.TOLERANCE
        assert inside == (clip != "normalised")


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("way", WAYS)
def test_no_attack_repairs_an_error_and_eps_0_breaks_nothing(normed, test_set, way, mode):
    (clean,) = sweep(normed, *test_set, "none", [0.0], mode=mode)
    found = sweep(normed, *test_set, way, mode=mode)
    assert torch.equal(found[0], clean)
    assert (found <= clean).all()
    assert found[-1].sum() < clean.sum()


def test_the_mode_does_nothing_to_a_network_without_statistics_and_dropout(net, test_set):
    for way in WAYS:
        found = [sweep(net, *test_set, way, mode=mode) for mode in ("eval", "train")]
        assert torch.equal(*found)


class Centred(nn.Sequential):
    """Class 1 if the image is brighter than the mean of what batch norm has seen."""

    def __init__(self):
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(1, affine=False), nn.Flatten())

    def forward(self, images):
        score = super().forward(images)
        return torch.cat([0 * score, score], 1)


def test_by_hand_batch_norm_judges_images_by_those_beside_them():
    """Grey values 0.1 to 0.4; running mean 0, variance 1: all are class 1, in training mode the
    brighter half."""
    net = Centred().eval()
    images = torch.tensor([0.1, 0.2, 0.3, 0.4]).view(-1, 1, 1, 1).expand(-1, 1, 6, 6).clone()
    labels = torch.ones(4, dtype=torch.long)
    for mode, expected in (("eval", [True] * 4), ("train", [False, False, True, True])):
        (found,) = sweep(net, images, labels, "none", [0.0], mode=mode)
        assert found.tolist() == expected


def test_batches_are_of_a_fixed_size_in_test_order(normed, test_set, monkeypatch):
    """Whatever the attack batch, and whatever comes after: 100 images, then the next."""
    images, labels = test_set
    whole = sweep(normed, images, labels, "pgd", mode="train")
    monkeypatch.setitem(linf.ATTACK_BATCH, "cpu", 7)
    assert torch.equal(sweep(normed, images, labels, "pgd", mode="train"), whole)
    fgsm = sweep(normed, images, labels, mode="train")
    assert torch.equal(sweep(normed, images[:100], labels[:100], mode="train"), fgsm[:, :100])
    assert not torch.equal(sweep(normed, images[:60], labels[:60], mode="train"), fgsm[:, :60])


def test_an_image_that_would_be_alone_joins_the_batch_before(test_set):
    """Batch norm of vectors takes no batch of one."""
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784), nn.Linear(784, 10))
    images, labels = test_set
    found = sweep(net, images[:101], labels[:101], mode="train")
    assert found.shape == (len(EPS), 101)
    assert sweep(net, images[:0], labels[:0], mode="train").shape == (len(EPS), 0)


def test_an_eps_measured_alone_is_the_same_among_others(normed, test_set):
    for way in WAYS:
        together = sweep(normed, *test_set, way, mode="train")
        alone = [sweep(normed, *test_set, way, [eps], mode="train")[0] for eps in EPS]
        assert torch.equal(together, torch.stack(alone))


@pytest.mark.parametrize("name", MODELS)
def test_every_network_is_left_as_it_was_and_measured_again_alike(name, test_set):
    net = models.build(name, seed=1)
    net.train()
    next(net.children()).eval()
    images, labels = (each[:6] for each in test_set)
    modes = [module.training for module in net.modules()]
    before = copy.deepcopy(dict([*net.named_parameters(), *net.named_buffers()]))
    wanted = [parameter.requires_grad for parameter in net.parameters()]
    state = torch.get_rng_state()
    found = [sweep(net, images, labels, eps_grid=[0.05], mode="train") for _ in range(2)]
    assert torch.equal(*found)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in net.modules()] == modes
    assert [parameter.requires_grad for parameter in net.parameters()] == wanted
    after = dict([*net.named_parameters(), *net.named_buffers()])
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_network_is_left_as_it_was_where_an_attack_fails(normed, test_set):
    broken = copy.deepcopy(normed)
    broken.append(nn.Identity()).eval()
    broken[-1].register_forward_hook(lambda net, args, out: out * (nan if net.training else 1))
    before = copy.deepcopy(broken.state_dict())
    with pytest.raises(FloatingPointError):
        sweep(broken, *test_set, mode="train")
    assert not any(module.training for module in broken.modules())
    assert all(torch.equal(value, before[key]) for key, value in broken.state_dict().items())


def test_a_function_around_a_network_is_put_into_its_mode(normed, test_set):
    found = [
        sweep(model, *test_set, mode="train") for model in (normed, lambda images: normed(images))
    ]
    assert torch.equal(*found)
    assert not normed.training


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"clip": "pixels"}, "clip 'pixels'; choose from pixel, none, normalised"),
        ({"mode": "training"}, "mode 'training'; choose from eval, train"),
        ({"attack": "strong"}, "no plain loop of 'strong'; choose from none, fgsm, pgd"),
        ({"attack": "pgd", "steps": -1}, "steps -1"),
        ({"eps_grid": [2]}, "eps 2 is not in"),
    ],
)
def test_wrong_choices_are_refused(net, test_set, choices, message):
    asked = {"attack": "fgsm", "eps_grid": [0.1], "shape": MNIST_SHAPE, **choices}
    with pytest.raises(ValueError, match=message):
        conventions.sweep(net, *test_set, **asked)


@pytest.mark.parametrize("training", [True, False])
def test_a_network_that_builds_its_filters_in_evaluation_mode_runs_in_either(training, test_set):
    net, (images, labels) = Folding().train(training), test_set
    found = [
        sweep(net, images[:20], labels[:20], clip="none", mode=mode) for mode in ("eval", "train")
    ]
    assert torch.equal(*found)
    assert net.training == training
    assert hasattr(net, "filters") is not training
