"""Robust accuracy over a grid of eps, for any attack, sharing what the eps have in common."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rotgrid.attacks import own_attack
from rotgrid.attacks.case import Case, Notes
from rotgrid.attacks.checks import checked
from rotgrid.attacks.linf import Model, finite_logits, frozen, in_batches, indices
from rotgrid.attacks.threats import THREATS
from rotgrid.spec import entry_named
from rotgrid.spec.attacks import ATTACKS, AttackName
from rotgrid.spec.entries import function_at, is_own
from rotgrid.spec.vocabulary import LabelRule, ThreatName


@checked
def sweep(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    attack: AttackName,
    eps_grid: Sequence[float],
    label_rule: LabelRule = "true",
    threat: ThreatName = "linf",
    attack_digest: str = "",
    notes: Notes | None = None,
    **settings: Any,  # noqa: ANN401  # they differ by attack
) -> Tensor:
    """Whether each image is still classified correctly at each eps: bool (len(eps_grid), n).

    Images that are wrong without attack are errors at every eps and are not attacked, unless the
    `label_rule` is `predicted`: then a misclassified image is attacked by its predicted label, and
    counts as correct where the attack moves it to its true class, as in some published code. eps
    is the radius of a ball of `rotgrid.attacks.threats`, `linf` or `l2`.

    FGSM, noise, the iterative method and own attacks (of version `attack_digest`, if given) are
    measured at each eps by itself, and their curves need not fall. Attacks that search (`pgd`,
    `apgd`, `square`, `strong`) find the eps at which each image breaks
    (`rotgrid.attacks.eps_search`); random starts are the same directions at every eps. `settings`
    are those of the attack (`steps`, `restarts`, `loss`, `generator`, ...).

    Into `notes` go numbers of images at each eps. Attacks that search: of those that count as
    correct only because a larger eps failed, how many were attacked directly (`search_checked`)
    and how many of them broke (`search_missed`). `strong`, the same numbers at every eps: how many
    have no gradient or a false one (`no_gradient`) and how many Square broke alone at any eps
    (`square_only`); above 0, gradient attacks may flatter the model.

    Raises:
        ValueError: an argument or a setting has the wrong type, shape or range, or steps and
            restarts try nothing but the image itself.
        TypeError: a setting that the attack does not have.
    """
    survival = survival_under(attack, attack_digest)
    require_rule(attack, label_rule)
    require_threat(attack, threat)
    with frozen(model):
        classes = predicted(model, images)
        correct = classes == labels
        result = correct.repeat(len(eps_grid), 1)
        chosen = correct.nonzero().squeeze(1)
        notes, ball = {} if notes is None else notes, THREATS[threat]
        case = Case(model, images, labels, chosen, eps_grid, notes, ball)
        result[:, chosen] = survival(case, **settings)
        if label_rule == "predicted":
            wrong = (~correct).nonzero().squeeze(1)
            perturb = module_of(attack).perturb
            for row, eps in enumerate(eps_grid):
                moved = perturb(model, images[wrong], classes[wrong], eps, **settings)
                result[row, wrong] = predicted(model, moved) == labels[wrong]
    return result


def predicted(model: Model, images: Tensor) -> Tensor:
    """The class of each image, in evaluation mode.

    Raises:
        FloatingPointError: logits are not finite; their argmax would be silent garbage.
    """

    def classes(at: Tensor) -> Tensor:
        return finite_logits(model, images[at]).argmax(1)

    with frozen(model):
        return in_batches(classes, indices(images), torch.long)


def survival_under(attack: AttackName, digest: str = "") -> Callable[..., Tensor]:
    """The `survival` function of an attack: call it with a `Case` and settings that it names.

    Raises:
        ValueError: there is no such attack, or it does not move pixels.
    """
    if is_own(attack):
        return own_attack.survival_of(attack, digest)
    entry = entry_named(attack, ATTACKS)
    if entry is None or not entry.run:
        choices = [name for name, entry in ATTACKS.items() if entry.run]
        raise ValueError(f"no attack {attack!r}; choose from {', '.join(choices)}")
    return function_at("rotgrid.attacks", entry.run)


def module_of(attack: AttackName) -> Any:  # noqa: ANN401  # a module
    """The module of an attack."""
    return importlib.import_module(survival_under(attack).__module__)


def require_rule(attack: AttackName, label_rule: LabelRule) -> None:
    """Refuse label rules that an attack does not have.

    Raises:
        ValueError: it is unknown, or `predicted` where the attack takes the true label.
    """
    rules = ATTACKS[attack].label_rules
    if label_rule not in rules:
        raise ValueError(f"label_rule {label_rule!r} of {attack}: choose from {', '.join(rules)}")


def require_threat(attack: AttackName, threat: ThreatName) -> None:
    """Refuse threat models that an attack does not have.

    Raises:
        ValueError: it has others.
    """
    threats = ATTACKS[attack].threats
    if threat not in threats:
        raise ValueError(f"threat {threat!r} of {attack}: choose from {', '.join(threats)}")
