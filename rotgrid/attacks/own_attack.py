"""Attacks of the user's own: called as written, and held to the threat model.

An own attack is `attack(model, images, labels, *, eps, ...) -> images`. It is told those of eps,
threat, steps, restarts, loss and generator that its signature names, and returns images that lie
in [0, 1] and within eps (L-inf, or L2 with `threat: l2`; pixel units) of those it was given. The
model is in evaluation mode, and its parameters want no gradient; its mode is put back, and other
changes of it are refused.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from rotgrid.attacks.case import Case, survival_at_each_eps
from rotgrid.attacks.linf import TOLERANCE, Model, frozen
from rotgrid.attacks.networks import network_of
from rotgrid.attacks.threats import LINF, THREATS, Threat
from rotgrid.device import settings_kept
from rotgrid.models.own_network import load_own
from rotgrid.spec.entries import settings_named
from rotgrid.spec.loading import described, place_of

Attack = Callable[..., Tensor]
SEED = 20192
"""Of torch's own random numbers, which an attack may draw: each batch begins with it."""


class OwnAttackError(ValueError):
    """An own attack raised, or returned what is no adversarial image; the message says where."""


def survival_of(name: str, digest: str) -> Callable[..., Tensor]:
    """What `rotgrid.attacks.dispatch` calls for an own attack: at each eps by itself."""
    attack = load_own(name, digest)

    def survival(case: Case, **settings: Any) -> Tensor:  # noqa: ANN401
        def moves(at: Tensor) -> Callable[[float], Tensor]:
            return lambda eps: perturbed(
                name, attack, *case.batch(at), eps=eps, threat=case.threat, **settings
            )

        return survival_at_each_eps(case, moves)

    survival.__signature__ = inspect.signature(attack)  # type: ignore[attr-defined]
    return survival


def perturbed(
    name: str,
    attack: Attack,
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    threat: Threat = LINF,
    **settings: Any,  # noqa: ANN401
) -> Tensor:
    """The images as an own attack makes them.

    Raises:
        OwnAttackError: it raises, returns anything but images in the ball and in [0, 1], or
            changes what it is given; the network has its weights again.
    """
    before, true = images.clone(), labels.clone()
    numbers = numbers_of(model)
    weights = {key: value.clone() for key, value in numbers.items()}
    if "threat" in settings_named(attack):
        settings["threat"] = next(name for name, ball in THREATS.items() if ball is threat)
    try:
        with frozen(model), settings_kept(), torch.enable_grad():
            torch.manual_seed(SEED)
            found = attack(model, images, labels, eps=eps, **settings)
    except (Exception, SystemExit) as error:
        raise OwnAttackError(f"{name}: {described(error)}") from error
    if wrong := fault(found, before, eps, threat):
        raise OwnAttackError(f"{place_of(attack)}: {name} at eps {eps:g} {wrong}")
    if not (torch.equal(images, before) and torch.equal(labels, true)):
        what = "labels" if torch.equal(images, before) else "images"
        raise OwnAttackError(
            f"{place_of(attack)}: {name} changes the {what} it is given: clone them"
        )
    if changed := put_back(numbers, weights):
        raise OwnAttackError(
            f"{place_of(attack)}: {name} changes {changed} of the network: attack a copy of it"
        )
    return found.detach().to(before)


def numbers_of(model: Model) -> dict[str, Tensor]:
    """Weights and statistics of a network, themselves; what counts batches is none."""
    state = network_of(model).state_dict()
    return {key: value for key, value in state.items() if value.is_floating_point()}


@torch.no_grad()
def put_back(numbers: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> str:
    """Give tensors the values they had; the name of one that had others, if any."""
    changed = [key for key, value in numbers.items() if not torch.equal(value, before[key])]
    for key in changed:
        numbers[key].copy_(before[key])
    return changed[0] if changed else ""


def fault(found: object, images: Tensor, eps: float, threat: Threat = LINF) -> str:
    """What is wrong with adversarial images, or nothing."""
    if not isinstance(found, Tensor):
        return f"returns a {type(found).__name__}, not a tensor of images"
    if found.shape != images.shape:
        return f"returns {tuple(found.shape)} for images of {tuple(images.shape)}"
    if not found.is_floating_point() or not torch.isfinite(found).all():
        return "returns numbers that are not finite floats"
    if not len(images):
        return ""
    low, high = found.amin().item(), found.amax().item()
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        return f"returns pixels in [{low:.4g}, {high:.4g}], outside of [0, 1]: clamp(0, 1)"
    most = threat.size(found.detach() - images).amax().item()
    if most > eps + TOLERANCE * max(1, eps):
        return f"leaves the ball: moves by {most:.4g} ({threat.label}), and eps is {eps:g}"
    return ""
