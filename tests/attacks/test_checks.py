import pytest
import torch
from torch import nn

from rotgrid import attacks
from rotgrid.attacks.fmn import distances

from linear import Halves

IMAGES, LABELS = torch.rand(6, 1, 6, 6), torch.tensor([0, 1, 0, 1, 0, 1])
MEANS = torch.rand(2, 1, 6, 6)
SETTINGS = {
    "noise": {},
    "sign-noise": {},
    "class-means": {"means": MEANS},
    "fgsm": {},
    "bim": {},
    "pgd": {"steps": 2},
    "apgd": {"steps": 2},
    "square": {"steps": 4},
    "fmn": {"steps": 2},
    "lbfgs": {"steps": 1},
    "strong": {"steps": 1},
}
ALONE = {name: getattr(attacks, name.replace("-", "_")) for name in SETTINGS}
EVERY = [*SETTINGS, "sweep none", *(f"sweep {name}" for name in SETTINGS), "sweep fmn-pgd"]


def run(attack, model=None, images=IMAGES, labels=LABELS, eps=0.1, **settings):
    """One of the attacks, alone or in a sweep, with an argument replaced."""
    model = Halves() if model is None else model
    name = attack.removeprefix("sweep ")
    settings = {**SETTINGS.get(name, {}), **settings}
    if attack == name:
        return ALONE[name](model, images, labels, eps=eps, **settings)
    threat = {"threat": "l2"} if name == "lbfgs" else {}
    return attacks.sweep(model, images, labels, attack=name, eps_grid=[eps], **threat, **settings)


WRONG = {
    "labels too large": ({"labels": LABELS + 1}, r"label 2, and .* classes 0 to 1"),
    "labels negative": ({"labels": LABELS - 1}, r"label -1: classes are counted from 0"),
    "labels float": ({"labels": LABELS.float()}, r"labels are torch.float32.*labels.long\(\)"),
    "labels bool": ({"labels": LABELS.bool()}, r"labels are torch.bool.*labels.long\(\)"),
    "labels one-hot": ({"labels": torch.eye(6, 2).long()}, r"\(6, 2\), not \(batch,\)"),
    "labels list": ({"labels": [0] * 6}, "labels are a list: make a torch tensor"),
    "images flat": ({"images": IMAGES.flatten(1)}, r"images are \(6, 36\), not \(batch, chann"),
    "images array": ({"images": IMAGES.numpy()}, "images are a ndarray: make a torch tensor"),
    "images float16": ({"images": IMAGES.half()}, r"torch.float16, too coarse.*images.float\(\)"),
    "images bfloat16": ({"images": IMAGES.bfloat16()}, "torch.bfloat16, too coarse"),
    "pixels NaN": ({"images": IMAGES * torch.nan}, "normalise in the model"),
    "eps of each": ({"eps": torch.rand(6)}, "eps tensor.* is no number: one for all images"),
    "eps text": ({"eps": "0.1"}, "eps '0.1' is no number"),
    "eps NaN": ({"eps": float("nan")}, r"eps nan is (not in \[0, 1\]|no length)"),
}


@pytest.mark.parametrize("attack", EVERY)
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_arguments_are_refused_with_what_to_do(attack, wrong):
    replaced, message = WRONG[wrong]
    means_of_classes = "class-means" in attack and wrong == "labels too large"
    with pytest.raises(ValueError, match="label 2, and" if means_of_classes else message):
        run(attack, **replaced)


@pytest.mark.parametrize(
    ("attack", "settings", "message"),
    [
        ("pgd", {"steps": 2.0}, "steps 2.0 is no whole number"),
        ("pgd", {"steps": True}, "steps True is no whole number"),
        ("pgd", {"step_size": 0.0}, "step_size 0 is not above 0"),
        ("pgd", {"step_size": -0.1}, "step_size -0.1 is not above 0"),
        ("pgd", {"step_size": float("inf")}, "step_size inf"),
        ("pgd", {"restarts": 1.5}, "restarts 1.5 is no whole number"),
        ("pgd", {"generator": 5}, r"generator 5: torch.Generator\(\)"),
        ("sweep pgd", {"label_rule": "guessed"}, "label_rule 'guessed' of pgd: choose from true"),
        ("sweep apgd", {"label_rule": "predicted"}, "'predicted' of apgd: choose from true$"),
        ("class-means", {"means": MEANS[:, :, :3]}, r"means are \(2, 1, 3, 6\) for images of"),
    ],
)
def test_wrong_settings_are_refused(attack, settings, message):
    with pytest.raises(ValueError, match=message):
        run(attack, **settings)
    if attack == "pgd":
        with pytest.raises(ValueError, match=message):
            run("sweep pgd", **settings)


def test_a_grid_is_a_list():
    for grid in (0.1, "0.1", torch.tensor(0.1)):
        with pytest.raises(ValueError, match="is no list"):
            attacks.sweep(Halves(), IMAGES, LABELS, attack="fgsm", eps_grid=grid)


@pytest.mark.parametrize("attack", EVERY)
def test_equal_arguments_of_other_types_give_the_same(attack):
    model = Halves()
    expected = run(attack, model)
    for dtype in (torch.int32, torch.uint8):
        assert torch.equal(run(attack, model, labels=LABELS.to(dtype)), expected)
    assert torch.equal(run(attack, model, eps=torch.tensor(0.1, dtype=torch.float64)), expected)


@pytest.mark.parametrize("attack", EVERY)
def test_results_carry_no_graph_and_inference_mode_does_not_matter(attack):
    model, images = Halves(), IMAGES.clone().requires_grad_()
    expected = run(attack, model)
    found = run(attack, model, images=images)
    assert not found.requires_grad
    assert found.grad_fn is None
    assert torch.equal(found, expected)
    with torch.inference_mode():
        assert torch.equal(run(attack, model, images=IMAGES * 1), expected)
        assert torch.equal(distances(model, IMAGES * 1, LABELS, steps=2),
                           distances(model, IMAGES, LABELS, steps=2))  # fmt: skip


@pytest.mark.parametrize("attack", EVERY)
def test_no_global_generator_is_moved(attack):
    model, state = Halves(), torch.random.get_rng_state()
    run(attack, model)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("attack", EVERY)
def test_dropout_is_off_behind_a_function(attack):
    net = nn.Sequential(Halves(), nn.Dropout(0.9)).train()
    assert torch.equal(run(attack, lambda x: net(x)), run(attack, net[0]))
    assert net.training


@pytest.mark.parametrize("attack", [name for name in EVERY if name != "class-means"])
def test_logits_that_are_none_are_refused(attack):
    with pytest.raises(ValueError, match=r"gives \(1,\) for one image, not \(1, classes\)"):
        run(attack, lambda x: x.flatten(1).sum(1))
