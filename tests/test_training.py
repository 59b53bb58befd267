import math

import pytest
import torch
from torch import nn

from rotgrid import attacks, models, results, training
from rotgrid.recipes import ORIGINALS, RECIPES
from rotgrid.spec import Trial
from rotgrid.training import DivergedError, fit


def trained(trial, digits, checkpoint_in=None):
    net = models.build(trial.model, trial.variant, trial.seed)
    return net, fit(net, digits, trial, checkpoint_in)


def same_weights(one, other):
    a, b = one.state_dict(), other.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


def without_seconds(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


@pytest.mark.parametrize("model", ["stdcnn", "gcnn"])
def test_it_learns(model, digits):
    trial = Trial(model=model, data="mnist5k", recipe="fast", train_size=1_000, epochs=3)
    net, rows = trained(trial, digits)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["train_loss"] < 1.2 < rows[0]["train_loss"]
    assert rows[-1]["val_n_correct"] > 0.75 * rows[-1]["val_n"]
    assert rows[-1]["val_n"] == 500
    assert not net.training


def test_32_images_are_learned_by_heart(digits):
    trial = Trial(
        model="stdcnn", data="mnist5k", train_size=32, batch_size=8, epochs=60, learning_rate=0.05
    )
    _, rows = trained(trial, digits)
    assert rows[-1]["train_loss"] < 0.4


@pytest.mark.parametrize("adversary", ["none", "fgsm", "fgsm-mix", "pgd"])
def test_the_same_trial_gives_the_same_weights(adversary, quick_trial, digits):
    trial = quick_trial.model_copy(
        update={"adversary": adversary, "adversary_eps": 0.1, "train_size": 128}
    )
    (one, rows), (other, again) = trained(trial, digits), trained(trial, digits)
    assert same_weights(one, other)
    assert without_seconds(rows) == without_seconds(again)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"train_rotation": 31.0},
        {"interpolation": "nearest"},
        {"train_size": 299},
        {"batch_size": 32},
        {"learning_rate": 1e-3},
        {"adversary": "fgsm", "adversary_eps": 0.1},
    ],
)
def test_every_setting_reaches_the_training(change, quick_trial, digits):
    changed = Trial(**{**quick_trial.model_dump(), **change})
    assert not same_weights(trained(quick_trial, digits)[0], trained(changed, digits)[0])


@pytest.mark.parametrize(
    ("recipe", "adversary"), [("paper", "none"), ("fast", "none"), ("fast", "pgd")]
)
def test_a_resumed_training_is_bit_identical(recipe, adversary, digits, tmp_path, monkeypatch):
    trial = Trial(
        model="gcnn", data="mnist5k", recipe=recipe, train_size=64, epochs=3, train_rotation=30,
        adversary=adversary, adversary_eps=0.1, batch_size=32,
    )  # fmt: skip
    straight, rows = trained(trial, digits)
    real, calls = training.train_epoch, []

    def dies_in_the_third_epoch(*args):
        calls.append(args[-1])
        if calls == [1, 2, 3]:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(training, "train_epoch", dies_in_the_third_epoch)
    with pytest.raises(KeyboardInterrupt):
        trained(trial, digits, tmp_path)
    resumed, resumed_rows = trained(trial, digits, tmp_path)
    assert calls == [1, 2, 3, 3]
    assert same_weights(straight, resumed)
    assert without_seconds(rows) == without_seconds(resumed_rows)


def test_checkpoints_are_readable_with_weights_only(quick_trial, digits, tmp_path):
    trained(quick_trial, digits, tmp_path)
    (name,) = results.names(tmp_path, "checkpoints", ".pt")
    state = torch.load(tmp_path / name, weights_only=True)
    assert set(state) == {"model", "optimizer", "scheduler", "rows"}


@pytest.mark.parametrize("rate", [1e6, 30.0])
def test_divergence_ends_the_training(rate, quick_trial, digits):
    wild = quick_trial.model_copy(update={"learning_rate": rate})
    with pytest.raises(DivergedError, match="mean training loss"):
        trained(wild, digits)


def test_nan_is_divergence(quick_trial, digits):
    class Nan(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, images):
            return images.flatten(1)[:, :10] * self.weight * torch.nan

    with pytest.raises(DivergedError, match="nan in epoch 1"):
        fit(Nan(), digits, quick_trial)


def test_adversarial_losses(digits, monkeypatch):
    """Each adversary shows the model what its definition says."""
    from rotgrid.data import pixels

    images, labels = pixels(digits.train_images[:20]), digits.train_labels[:20]
    net = models.build("stdcnn").eval()
    adversarial = attacks.fgsm(net, images, labels, eps=0.1)
    clean_loss = nn.functional.cross_entropy(net(images), labels)
    fgsm_loss = nn.functional.cross_entropy(net(adversarial), labels)

    def loss(adversary, eps=0.1):
        trial = Trial(model="stdcnn", adversary=adversary, adversary_eps=0.1)
        generator = torch.Generator().manual_seed(0)
        return training.adversarial_loss(net, images, labels, trial, eps, generator)

    torch.testing.assert_close(loss("none"), clean_loss)
    torch.testing.assert_close(loss("fgsm"), fgsm_loss)
    torch.testing.assert_close(loss("fgsm-mix"), (clean_loss + fgsm_loss) / 2)
    assert loss("pgd") > clean_loss
    torch.testing.assert_close(loss("pgd", eps=0.0), clean_loss)


def test_adversarial_training_helps_against_its_adversary(digits):
    common = {
        "model": "stdcnn",
        "data": "mnist5k",
        "recipe": "fast",
        "epochs": 3,
        "batch_size": 32,
    }
    robust = {}
    for adversary in ("none", "fgsm"):
        trial = Trial(**common, adversary=adversary, adversary_eps=0.1)
        net, _ = trained(trial, digits)
        images, labels = digits.test_images[:300].float() / 255, digits.test_labels[:300]
        correct = attacks.sweep(net, images, labels, attack="fgsm", eps_grid=[0.1])
        robust[adversary] = correct.float().mean().item()
    assert robust["fgsm"] > robust["none"] + 0.05


def test_the_eps_of_the_adversary_grows_as_the_recipe_says(monkeypatch):
    recipe = RECIPES["fast"].model_copy(update={"adversary_warmup": 0.5})
    monkeypatch.setitem(RECIPES, "fast", recipe)
    trial = Trial(model="gcnn", recipe="fast", epochs=4, adversary="fgsm", adversary_eps=0.2)
    found = [training.warm_eps(trial, at) for at in (0.0, 1.0, 2.0, 3.9)]
    assert found == pytest.approx([0.0, 0.1, 0.2, 0.2])
    steady = Trial(model="gcnn", recipe="paper", adversary="fgsm", adversary_eps=0.2)
    assert training.warm_eps(steady, 0.0) == 0.2


def test_the_paper_recipe_is_the_lineage_repository_s():
    optimizer, scheduler = training.optimiser(models.build("gcnn"), Trial(model="gcnn"))
    assert isinstance(optimizer, torch.optim.SGD)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.01, 0.5, 0.0)
    assert scheduler.lr_lambdas[0](10_000) == 1.0


@pytest.mark.parametrize(
    ("model", "kind"), [("hnet", torch.optim.Adam), ("gcnn", torch.optim.SGD)]
)
def test_the_original_recipe_is_each_model_s_own(model, kind):
    trial = Trial(model=model, recipe="original", data="mnist5k")
    optimizer, _ = training.optimiser(models.build("stdcnn"), trial)
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["lr"] == ORIGINALS[model].learning_rate


def test_milestones_divide_the_rate_by_ten():
    share = training.schedule(ORIGINALS["hnet"], steps=200)
    assert [share(step) for step in (0, 49, 50, 99, 100, 150, 199)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.001, 0.001]
    )


def test_an_exponential_schedule_falls_steadily():
    share = training.schedule(ORIGINALS["capsnet"], steps=10)
    assert [share(0), share(2_000), share(4_000)] == pytest.approx([1, 0.96, 0.96**2])


class OwnLoss(nn.Module):
    """A model that carries the loss that it is trained with."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(10))

    def forward(self, images):
        return self.scale * images.flatten(1)[:, :10]

    def loss(self, images, labels):
        return (self(images).sum() - labels.sum()).square()


def test_a_model_trains_on_its_own_loss_and_others_on_cross_entropy(digits):
    images, labels = torch.rand(4, 1, 28, 28), torch.tensor([1, 2, 3, 4])
    own = OwnLoss()
    assert torch.equal(training.training_loss(own, images, labels), own.loss(images, labels))
    plain = models.build("stdcnn").eval()
    expected = nn.functional.cross_entropy(plain(images), labels)
    assert torch.equal(training.training_loss(plain, images, labels), expected)


@pytest.mark.parametrize("adversary", ["none", "fgsm", "fgsm-mix", "pgd"])
def test_every_adversary_trains_on_the_models_own_loss(adversary, quick_trial):
    images, labels = torch.rand(4, 1, 28, 28), torch.tensor([1, 2, 3, 4])
    trial = Trial(**{**quick_trial.model_dump(), "adversary": adversary, "adversary_eps": 0.0})
    seen = labels.repeat(2) if adversary == "fgsm-mix" else labels
    own = OwnLoss()
    expected = own.loss(images.repeat(len(seen) // 4, 1, 1, 1), seen)
    found = training.adversarial_loss(own, images, labels, trial, 0.0, torch.Generator())
    assert found.item() == pytest.approx(expected.item())


def test_one_cycle_rises_then_falls_to_zero():
    share = training.one_cycle(100)
    values = [share(step) for step in range(101)]
    assert max(values) == share(25) == 1.0
    assert values[:26] == sorted(values[:26])
    assert values[25:] == sorted(values[25:], reverse=True)
    assert math.isclose(values[100], 0.0, abs_tol=1e-12)


def test_epoch_seeds_differ_by_seed_epoch_and_use():
    seeds = {
        training.epoch_seed(Trial(model="gcnn", seed=s), e, use)
        for s in range(3)
        for e in range(3)
        for use in ("dropout", "order", "adversary")
    }
    assert len(seeds) == 27
