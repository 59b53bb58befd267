"""Can the robustness of a trained network be believed? Checks against masked gradients.

A network can resist gradient attacks because it is robust, or because its gradients are useless:
saturated, cut off, random. The signs are known (Athalye et al. 2018, section 3.1; Carlini et al.
2019, section 5): more effort changes the result, one step beats many, noise or a search without
gradients beats both. Each check is a number with a limit; above it, the accuracy of this network
under gradient attacks says nothing.
"""

import copy
import functools
import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rotgrid.attacks import fgsm, predicted, sweep
from rotgrid.attacks.linf import frozen, in_batches, indices, input_gradient
from rotgrid.models.layers import without_cached_filters
from rotgrid.spec.attacks import AttackName

SEED = 20191
"""Of all random starts here; other ones than those of the rows."""
DRAWS = 50
"""Of uniform and of sign noise each."""
QUERIES = 5000
FMN_STEPS = 100
SOME = 64
"""Images of the checks that need no more."""

CHECKS: dict[str, str] = {
    "repeat": "largest difference of logits between two passes, and in another order of images",
    "float64": "share of images whose fate under FGSM changes in float64",
    "zero-gradient": "share of images with no gradient at all",
    "fgsm-not-pgd": "share of images that one step breaks and PGD does not",
    "rising-with-eps": "greatest rise of accuracy under PGD when eps doubles",
    "large-eps": "accuracy under PGD at eps 0.5 and 1, where any image can become grey",
    "twice-the-steps": "accuracy that FMN takes with 200 steps and not with 100",
    "twice-the-restarts": "accuracy that PGD with twice the restarts takes",
    "margin-not-ce": "share of images that PGD breaks on the margin and not on cross-entropy",
    "noise-not-gradients": "share of images that random noise breaks and no gradient attack does",
    "square-not-gradients": "share of images that a search without gradients breaks and no "
    "gradient attack does",
}
"""What each check measures."""

LIMITS = {
    "repeat": 1e-4,
    "float64": 0.02,
    "zero-gradient": 0.001,
    "fgsm-not-pgd": 0.005,
    "rising-with-eps": 0.003,
    "large-eps": 0.01,
    "twice-the-steps": 0.01,
    "twice-the-restarts": 0.01,
    "margin-not-ce": 0.02,
    "noise-not-gradients": 0.002,
    "square-not-gradients": 0.002,
}
"""The largest value that passes; where it is less than one image, one image passes."""
AFTER_TRAINING = {"large-eps": 0.11}
"""Limits of networks trained with an adversary: they may be left with chance, and a point."""


class Check(NamedTuple):
    """One number, and the largest that passes."""

    check: str
    value: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the number is within its limit; NaN is not."""
        return self.value <= self.limit


class Diagnosis(NamedTuple):
    """What the checks found."""

    checks: list[Check]
    survived: Tensor
    """bool (n,): whether each image is still correct after everything that was tried."""


def measure(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 40,
    restarts: int = 1,
    adversary: bool = False,
) -> Diagnosis:
    """All checks on a network, in evaluation mode; it is left as it was.

    Args:
        model: logits from pixels in [0, 1].
        images: (n, 1, height, width), a few hundred, as rotated for the test.
        labels: (n,) true labels.
        eps: where PGD is compared with other attacks, in pixel units.
        steps: of PGD, the attack that is checked.
        restarts: of PGD.
        adversary: whether the network was trained with one, which changes some limits.
    """
    settings = {"steps": steps, "restarts": restarts}

    everything = torch.ones(len(images), dtype=torch.bool, device=images.device)
    survivors = functools.partial(survivors_among, model, images, labels, everything)

    def accuracy(radius: float) -> float:
        return share(survivors(radius, "pgd", **settings))

    with frozen(model):
        pgd = survivors(eps, "pgd", **settings)
        margin = survivors(eps, "pgd", **settings, loss="margin")
        again = survivors(eps, "pgd", **settings | {"restarts": 2 * max(1, restarts)})
        short, fmn = (survivors(eps, "fmn", steps=k * FMN_STEPS) for k in (1, 2))
        left = pgd & margin & again & fmn
        noisy = survivors_of_noise(model, images, labels, left, eps)
        squared = survivors_among(model, images, labels, left, eps, "square", steps=QUERIES)
        rates = [accuracy(eps / 2), share(pgd), accuracy(min(2 * eps, 1.0))]
        values = {
            "repeat": unsteadiness(model, images),
            "float64": precision(model, images, eps),
            "zero-gradient": zero_gradients(model, images, labels),
            "fgsm-not-pgd": share(pgd & ~survivors(eps, "fgsm")),
            "rising-with-eps": max(b - a for a, b in itertools.pairwise(rates)),
            "large-eps": max(accuracy(radius) for radius in (0.5, 1.0)),
            "twice-the-steps": share(short) - share(fmn),
            "twice-the-restarts": share(pgd) - share(again),
            "margin-not-ce": share(pgd & ~margin),
            "noise-not-gradients": share(left & ~noisy),
            "square-not-gradients": share(left & ~squared),
        }
    return Diagnosis(checks_of(values, len(images), adversary), noisy & squared)


def checks_of(values: Mapping[str, float], n: int, adversary: bool) -> list[Check]:
    """The checks of n images, each with its limit."""
    limits = LIMITS | (AFTER_TRAINING if adversary else {})
    image = 1 / max(1, n)
    return [
        Check(name, values[name], limits[name] if name == "repeat" else max(limits[name], image))
        for name in CHECKS
    ]


def seeded() -> torch.Generator:
    """The same draws for every attack."""
    return torch.Generator().manual_seed(SEED)


def share(which: Tensor) -> float:
    """The share of images, in [0, 1]; 0 of none."""
    return which.float().mean().item() if len(which) else 0.0


def survivors_among(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    among: Tensor,
    eps: float,
    attack: AttackName,
    **settings: Any,  # noqa: ANN401
) -> Tensor:
    """Which of the images `among` survive an attack: bool (n,)."""
    starts: dict[str, Any] = {} if attack in ("fgsm", "fmn") else {"generator": seeded()}
    result = among.clone()
    result[among] = sweep(
        model, images[among], labels[among], attack=attack, eps_grid=[eps], **starts, **settings
    )[0]
    return result


def survivors_of_noise(
    model: nn.Module, images: Tensor, labels: Tensor, among: Tensor, eps: float
) -> Tensor:
    """Which of the images `among` survive all draws of noise: bool (n,)."""
    uniform = survivors_among(model, images, labels, among, eps, "noise", restarts=DRAWS)
    return survivors_among(model, images, labels, uniform, eps, "sign-noise", restarts=DRAWS)


def unsteadiness(model: nn.Module, images: Tensor) -> float:
    """Largest change of a logit on repeat or in reverse order, relative to the largest logit."""
    some = images[:SOME]
    with torch.no_grad():
        once, again, reverse = model(some), model(some), model(some.flip(0)).flip(0)
    largest = once.abs().max().clamp(min=1e-12)
    return (torch.maximum((once - again).abs(), (once - reverse).abs()).max() / largest).item()


def zero_gradients(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images whose gradient of the cross-entropy is exactly zero everywhere."""

    def zero(at: Tensor) -> Tensor:
        return (input_gradient(model, images[at], labels[at], "ce")[1] == 0).flatten(1).all(1)

    return share(in_batches(zero, indices(images), torch.bool))


def precision(model: nn.Module, images: Tensor, eps: float) -> float:
    """Share of some images whose class after FGSM on the predicted label changes in float64."""
    some = images[:SOME]
    label = predicted(model, some)
    exact = without_cached_filters(copy.deepcopy(model)).double()
    single = predicted(model, fgsm(model, some, label, eps=eps)) == label
    double = predicted(exact, fgsm(exact, some.double(), label, eps=eps)) == label
    return share(single != double)
