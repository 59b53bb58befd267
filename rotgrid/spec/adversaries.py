"""The adversaries: what attacks the training images, an entry each."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from rotgrid.spec.entries import Entries, OwnFunction


class Adversary(NamedTuple):
    """All that is known of an adversary where nothing is trained."""

    label: str
    """What readers are shown."""
    run: str
    """`module:function` in `rotgrid.training`: (model, images, labels, *, ...) -> images, with
    those of eps, steps, step_size, offsets and noise that its signature names. Empty for an own
    one."""
    passes_per_image: Callable[[int], tuple[int, int, int]]
    """For each image and the recipe's `adversary_steps`: how often it is trained on, how many
    gradients and how many forward passes the adversary takes."""


OURS: dict[str, Adversary] = {
    "none": Adversary(
        "No adversarial training", "adversarial:unperturbed", lambda steps: (1, 0, 0)
    ),
    "fgsm": Adversary("Trained with FGSM", "adversarial:fgsm_unchecked", lambda steps: (1, 1, 0)),
    "fgsm-mix": Adversary(
        "Trained with FGSM and clean images",
        "adversarial:fgsm_unchecked",
        lambda steps: (2, 1, 0),
    ),
    "fgsm-rs": Adversary(
        "Trained with FGSM from random starts",
        "adversarial:fgsm_from_random",
        lambda steps: (1, 1, 0),
    ),
    "n-fgsm": Adversary(
        "Trained with N-FGSM", "adversarial:fgsm_from_noise", lambda steps: (1, 1, 0)
    ),
    "pgd": Adversary(
        "Trained with PGD", "adversarial:pgd_from_random", lambda steps: (1, steps, 1)
    ),
    "trades": Adversary(
        "Trained with TRADES", "adversarial:most_divergent", lambda steps: (2, steps, 1)
    ),
    "cusp": Adversary(
        "Trained with CuSP", "adversarial:pgd_from_random", lambda steps: (1, steps, 1)
    ),
}


def own_adversary(name: str) -> Adversary:
    """What holds for every own adversary."""
    return Adversary(f"Trained with {name}", "", lambda steps: (1, steps, 1))


ADVERSARIES = Entries(OURS, own_adversary)

if TYPE_CHECKING:
    AdversaryName: TypeAlias = str
else:
    AdversaryName = Literal[tuple(ADVERSARIES)] | OwnFunction
