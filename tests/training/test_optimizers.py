import math

import pytest
import torch

from rotgrid import models
from rotgrid.spec import Trial
from rotgrid.spec.models import MODELS
from rotgrid.training import optimizers


def test_the_paper_recipe_is_the_lineage_repository_s():
    optimizer, scheduler = optimizers.build(models.build("gcnn"), Trial(model="gcnn"))
    assert isinstance(optimizer, torch.optim.SGD)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.01, 0.5, 0.0)
    assert scheduler.lr_lambdas[0](10_000) == 1.0


@pytest.mark.parametrize(
    ("model", "kind"), [("hnet", torch.optim.Adam), ("gcnn", torch.optim.SGD)]
)
def test_the_original_recipe_is_each_model_s_own(model, kind):
    trial = Trial(model=model, recipe="original", data="mnist5k")
    optimizer, _ = optimizers.build(models.build("stdcnn"), trial)
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["lr"] == MODELS[model].original.learning_rate


def test_milestones_divide_the_rate_by_ten():
    share = optimizers.schedule(MODELS["hnet"].original, steps=200)
    assert [share(step) for step in (0, 49, 50, 99, 100, 150, 199)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.001, 0.001]
    )


def test_an_exponential_schedule_falls_steadily():
    share = optimizers.schedule(MODELS["capsnet"].original, steps=10)
    assert [share(0), share(2_000), share(4_000)] == pytest.approx([1, 0.96, 0.96**2])


def test_a_schedule_ends_with_the_last_step():
    """Also where a batch has taken in the image left over."""
    trial = Trial(
        model="stdcnn", data="mnist5k", recipe="fast", epochs=2, train_size=33, batch_size=16
    )
    optimizer, scheduler = optimizers.build(models.build("stdcnn"), trial)
    for _ in range(2 * 2):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] < 1e-9


def test_one_cycle_rises_then_falls_to_zero():
    share = optimizers.one_cycle(100)
    values = [share(step) for step in range(101)]
    assert max(values) == share(25) == 1.0
    assert values[:26] == sorted(values[:26])
    assert values[25:] == sorted(values[25:], reverse=True)
    assert math.isclose(values[100], 0.0, abs_tol=1e-12)
