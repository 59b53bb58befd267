import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from rotgrid.attacks import predicted
from rotgrid.pictures import perturbed
from rotgrid.pictures.png import GAP

from linear import Linear

CLASSES, SIZE = 4, 6


@pytest.fixture
def model():
    return Linear(CLASSES, SIZE).eval()


@pytest.fixture
def images():
    return 0.4 + 0.2 * torch.rand(24, 1, SIZE, SIZE)


def distance_of(model, images, dual=1):
    """Of each image to the nearest hyperplane: L-inf, or L2 by the norm that is dual to it."""
    logits = model(images).detach()
    own = logits.argmax(1)
    weights = model.w.detach()
    slopes = (weights[own][:, None] - weights).norm(dual, dim=2)
    gaps = logits.gather(1, own[:, None]) - logits
    return (gaps / slopes.clamp(min=1e-9)).masked_fill(gaps == 0, torch.inf).amin(1)


def attacked(attack, model, images, labels, degrees=None):
    angles = torch.zeros(len(images)) if degrees is None else degrees
    return perturbed.attacked(attack, model, images, images, angles, labels)


@pytest.mark.parametrize(("attack", "dual", "near"), [("fmn", 1, 1.1), ("lbfgs", 2, 1.5)])
def test_the_nearest_image_lies_just_behind_the_boundary(attack, dual, near, model, images):
    """By the threat model of the attack."""
    labels = predicted(model, images)
    found = attacked(attack, model, images, labels)
    exact = distance_of(model, images, dual)
    assert (found.classes[:, 2] != labels).all()
    assert (found.distance >= exact - 1e-6).all()
    assert (found.distance <= near * exact + 1e-3).all()


def test_an_attack_that_searches_nothing_stops_at_the_first_eps_that_breaks(model, images):
    labels = predicted(model, images)
    found = attacked("fgsm", model, images, labels)
    for eps, distance, image, label in zip(
        distance_of(model, images), found.distance, images, labels, strict=True
    ):
        if distance.isinf():
            assert eps > max(perturbed.EPS) or float(eps) == pytest.approx(max(perturbed.EPS))
            continue
        assert any(float(distance) == pytest.approx(tried, abs=1e-6) for tried in perturbed.EPS)
        smaller = [tried for tried in perturbed.EPS if tried < distance - 1e-6]
        for tried in smaller:
            moved = perturbed.attack_named("fgsm")(model, image[None], label[None], eps=tried)
            assert predicted(model, moved) == label


def test_a_misclassified_image_is_not_attacked_and_one_out_of_reach_is_not_broken(model, images):
    labels = predicted(model, images)
    wrong = (labels + 1) % CLASSES
    found = attacked("fmn", model, images, torch.where(torch.arange(24) < 3, wrong, labels))
    assert (found.distance[:3] == 0).all()
    assert torch.equal(found.perturbed[:3], images[:3])
    summary = perturbed.summary(found)
    assert (summary["n"], summary["misclassified"], summary["reached"]) == (24, 3, 21)

    class Constant(nn.Module):
        def forward(self, x):
            return torch.tensor([1.0, 0.0]).expand(len(x), 2) + 0 * x.sum()

    never = attacked("fmn", Constant().eval(), images, torch.zeros(24, dtype=torch.long))
    assert never.distance.isinf().all()
    assert perturbed.summary(never)["median"] is None
    assert perturbed.picture(never, 0)[1]["distance"] is None
    assert perturbed.picture(never, 0)[1]["enlarged"] is None


def test_the_nearest_and_the_farthest_are_what_they_are_called(model, images):
    found = attacked("fmn", model, images, predicted(model, images))
    groups = perturbed.groups(found, 3)
    order = found.distance.argsort().tolist()
    assert groups["nearest"] == order[:3]
    assert groups["farthest"] == order[:-4:-1]
    labels = found.labels[groups["first"]].tolist()
    assert len(labels) == len(set(labels)) > 1
    few = perturbed.groups(attacked("fmn", model, images[:2], predicted(model, images[:2])), 3)
    assert not set(few["nearest"]) & set(few["farthest"])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_shows_the_perturbation_enlarged_around_grey(channels):
    model = nn.Sequential(nn.Flatten(), nn.Linear(channels * SIZE**2, CLASSES)).eval()
    images = 0.4 + 0.2 * torch.rand(8, channels, SIZE, SIZE)
    found = attacked("fmn", model, images, predicted(model, images), torch.full((8,), 30.0))
    png, words = perturbed.picture(found, 2)
    pixels = np.asarray(Image.open(io.BytesIO(png))).astype(float)
    assert pixels.shape == (SIZE, 4 * SIZE + 3 * GAP, channels + 1)
    assert [panel["shows"] for panel in words["panels"]] == [
        "upright", "rotated", "perturbed", "perturbation",
    ]  # fmt: skip
    shown = pixels[:, -SIZE:, :channels] / 255
    change = (found.perturbed[2] - found.rotated[2]).permute(1, 2, 0).numpy()
    expected = 0.5 + change * 0.5 / np.abs(change).max()
    assert np.abs(shown - expected).max() <= 0.5 / 255 + 1e-6
    assert words["enlarged"] == pytest.approx(0.5 / np.abs(change).max(), rel=1e-2)


def test_upright_images_are_shown_once(model, images):
    found = attacked("fmn", model, images, predicted(model, images))
    shows = [panel["shows"] for panel in perturbed.picture(found, 0)[1]["panels"]]
    assert shows == ["upright", "perturbed", "perturbation"]


def test_every_attack_to_choose_can_be_drawn_and_others_are_refused(model, images):
    assert {"fmn", "fgsm", "pgd", "square", "strong", "sign-noise"} <= set(perturbed.choices())
    labels = predicted(model, images[:3])
    for name in perturbed.choices():
        if name in ("square", "strong", "apgd"):  # long
            continue
        moved = perturbed.perturb(name, model, images[:3], labels)
        assert moved.shape == images[:3].shape
    for name in ("transfer", "class-means", "none", "predicted", "pdg"):
        with pytest.raises(ValueError, match=f"no attack '{name}' to draw; choose from noise"):
            perturbed.attack_named(name)
