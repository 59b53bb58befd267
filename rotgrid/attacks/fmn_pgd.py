"""FMN, and PGD below what it found."""

import torch
from torch import Tensor

from rotgrid.attacks.case import Case
from rotgrid.attacks.fmn import minimal_distances
from rotgrid.attacks.linf import Loss
from rotgrid.attacks.pgd import survival as pgd_survival
from rotgrid.spec.attacks import FMN_STEPS


def survival(
    case: Case,
    *,
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
    loss: Loss = "ce",
    generator: torch.Generator | None = None,
) -> Tensor:
    """FMN once, and `pgd` just below what it found: stronger than `pgd` alone, and cheaper."""
    return pgd_survival(
        case,
        steps=steps,
        step_size=step_size,
        restarts=restarts,
        loss=loss,
        generator=generator,
        known_distances=minimal_distances(case, FMN_STEPS),
        once_more=True,
    )
