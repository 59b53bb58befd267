import pytest
import torch

from rotgrid import attacks
from rotgrid.attacks.own_attack import OwnAttackError

from linear import Linear
from own_files import write, write_all

HEAD = "import torch\ndef mine(model, images, labels, *, eps, steps=1, generator=None):\n    "


@pytest.fixture
def case():
    torch.manual_seed(0)
    images = torch.rand(40, 1, 6, 6)
    net = Linear(3)
    return net, images, net(images).argmax(1)


def test_an_own_attack_is_measured_at_each_eps_as_fgsm_is(folder, case):
    write_all(folder)
    grid = [0.0, 0.02, 0.1]
    mine = attacks.sweep(*case, attack="mynets.attacks:mine", eps_grid=grid)
    assert torch.equal(mine, attacks.sweep(*case, attack="fgsm", eps_grid=grid))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("return images + 2 * eps", r"returns pixels in \[.*\], outside of \[0, 1\]"),
        ("return (images + 2 * eps).clamp(0, 1)", r"leaves the ball: moves by 0\.2"),
        ("return images[:1]", r"returns \(1, 1, 6, 6\) for images of \(40, 1, 6, 6\)"),
        ("return images.argmax(1)", "returns .* for images"),
        ("return images * torch.nan", "not finite"),
        ("return None", "returns a NoneType"),
        ("return images.clamp_(0.4, 0.5)", "leaves the ball|changes the images"),
        ("labels.zero_()\n    return images", "changes the labels"),
        ("model.w.data.zero_()\n    return images", "changes w of the network"),
        (
            "model.load_state_dict({k: 0 * v for k, v in model.state_dict().items()})\n"
            "    return images",
            "changes .* of the network",
        ),
        ("raise SystemExit(0)", r"nets\.py:3: SystemExit: 0"),
        ("raise RuntimeError('boo')", r"nets\.py:3: RuntimeError: boo"),
    ],
)
def test_what_is_no_adversarial_image_is_refused_with_the_line_of_the_code(
    folder, case, body, text
):
    write(folder, nets=HEAD + body)
    with pytest.raises(OwnAttackError, match=text) as error:
        attacks.sweep(*case, attack="nets:mine", eps_grid=[0.1])
    assert "nets.py:" in str(error.value)


def test_it_is_told_what_it_names_and_torchs_own_random_numbers_repeat(folder, case):
    body = """assert steps == 7 and generator is not None
    return (images + eps * torch.randn_like(images).sign()).clamp(0, 1)"""
    write(folder, nets=HEAD + body)
    state = torch.get_rng_state()
    once, again = (
        attacks.sweep(
            *case,
            attack="nets:mine",
            eps_grid=[0.1],
            steps=7,
            generator=torch.Generator().manual_seed(0),
        )
        for _ in range(2)
    )
    assert torch.equal(once, again)
    assert torch.equal(torch.get_rng_state(), state)


def test_it_is_told_the_threat_model_that_it_names(folder, case):
    body = """def mine(model, images, labels, *, eps, threat):
    raise RuntimeError(threat)"""
    write(folder, nets=body)
    for threat in ("linf", "l2"):
        with pytest.raises(OwnAttackError, match=f"RuntimeError: {threat}$"):
            attacks.sweep(*case, attack="nets:mine", eps_grid=[0.1], threat=threat)


def test_the_network_is_in_evaluation_mode_and_is_left_as_it_was(folder, case):
    net, images, labels = case
    write(folder, nets=HEAD + "assert not model.training\n    return images.clone()")
    net.train()
    attacks.sweep(net, images, labels, attack="nets:mine", eps_grid=[0.1])
    assert net.training
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_a_network_that_an_attack_changes_has_its_weights_again(folder, case):
    net = case[0]
    before = {key: value.clone() for key, value in net.state_dict().items()}
    write(folder, nets=HEAD + "model.w.data.zero_()\n    return images")
    with pytest.raises(OwnAttackError):
        attacks.sweep(*case, attack="nets:mine", eps_grid=[0.1])
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_the_mode_that_an_attack_leaves_the_network_in_does_not_count(folder, case):
    net, images, labels = case
    dropped = torch.nn.Sequential(net, torch.nn.Dropout(0.9))
    write(folder, nets=HEAD + "model.train()\n    return images.clone()")
    correct = attacks.sweep(dropped, images, labels, attack="nets:mine", eps_grid=[0.1, 0.2])
    assert correct.all()
