"""Optimizers and the schedules of their learning rates, as recipes name them."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rotgrid.spec import Trial
from rotgrid.spec.recipes import Recipe


def build(
    model: nn.Module, trial: Trial
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """The optimizer of the trial's recipe, and the schedule of its learning rate per step."""
    recipe = trial.recipe_used()
    weights = list(model.parameters())
    device = weights[0].device
    on_gpu = device.type == "cuda"
    settings: dict[str, Any] = {
        "weight_decay": recipe.weight_decay,
        "fused": True,
        # A captured step reads the rate from the GPU.
        "lr": torch.tensor(trial.learning_rate, device=device) if on_gpu else trial.learning_rate,
    }
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(weights, momentum=recipe.momentum, **settings)
    else:
        kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
        betas = (recipe.momentum, 0.999)
        optimizer = kind(weights, betas=betas, capturable=on_gpu, **settings)
    rates = schedule(recipe, trial.steps())
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rates)


def rates_to(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Put learning rates that are tensors on the device, where `load_state_dict` leaves them."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"] = group["lr"].to(device)


def schedule(recipe: Recipe, steps: int) -> Callable[[int], float]:
    """Learning rate by step, as a share of its peak."""
    match recipe.schedule:
        case "constant":
            return lambda step: 1.0
        case "exponential":
            return lambda step: recipe.decay**step
        case "milestones":
            return lambda step: 0.1 ** sum(step >= share * steps for share in recipe.milestones)
        case "one-cycle":
            return one_cycle(steps)


def one_cycle(steps: int, rise: float = 0.25, first: float = 0.1) -> Callable[[int], float]:
    """A linear rise, then half a cosine to 0."""

    def share(step: int) -> float:
        progress = step / steps
        if progress < rise:
            return first + (1 - first) * progress / rise
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - rise) / (1 - rise))))

    return share
