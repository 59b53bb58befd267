import pytest

from rotgrid import check

from own_files import NETWORK, write, write_all, write_npz


@pytest.fixture
def own(folder):
    write_all(folder)
    write_npz(folder / "mine.npz", size=12)
    return folder


@pytest.mark.parametrize("data", ["mnist5k", "mine.npz"])
@pytest.mark.parametrize("name", ["mynets.nets:build", "mynets.attacks:mine"])
def test_what_is_well_is_said_to_be(own, capsys, name, data):
    assert check.main([name, "--data", data]) == 0
    out = capsys.readouterr().out
    assert "it can be used in a grid" in out
    assert "no  " not in out


def test_a_network_is_described(own, capsys):
    check.main(["mynets.nets:build", "--data", "mine.npz", "--variant", "16"])
    out = capsys.readouterr().out
    assert "6,996 parameters; images 3 x 12 x 12, 4 classes" in out
    assert "learns: loss" in out
    assert "rotated by 90 degrees its logits differ" in out


def test_a_mistake_has_a_line_and_what_to_do(own, capsys):
    soft = "\n\ndef soft(v, shape):\n    return nn.Sequential(build(v, shape), nn.Softmax(1))\n"
    write(own, mynets__nets=NETWORK + soft)
    assert check.main(["mynets.nets:soft"]) == 2
    out = capsys.readouterr().out
    assert "no  returns logits, not probabilities: it returns probabilities" in out
    assert "1 of these keep it from being used" in out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def mine(model, images, labels): ...", "names no parameter eps"),
        ("def mine(model, images, labels, *, eps): return images - eps", r"outside of [0, 1]"),
        ("import torch\ndef mine(model, images, labels, *, eps):\n    return images + 0 * torch."
         "rand(images.shape) - 0 * eps", "ok  returns the same twice"),
    ],
)  # fmt: skip
def test_attacks_are_tried(own, capsys, text, message):
    write(own, bad=text)
    check.main(["bad:mine"])
    assert message in capsys.readouterr().out


@pytest.mark.parametrize("name", ["mynets.nets:none", "none:build", "stdcnn", "mynets.nets:nn"])
def test_names_of_nothing_are_refused(own, capsys, name):
    assert check.main([name]) == 2
    assert capsys.readouterr().err.startswith("no  ")


def test_missing_data_have_their_exit_code(own, capsys):
    assert check.main(["mynets.nets:build", "--data", "none.npz"]) == 4
    assert "none.npz: no such file" in capsys.readouterr().err


def test_an_attack_is_known_by_its_eps_whatever_the_network_is_called(own, capsys):
    write(own, nets="def mine(net, x, y, eps): return x\n")
    assert check.main(["nets:mine"]) == 0
    assert "is told eps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("default", "message"),
    [
        ("steps=1000000000", "no  steps: Input should be less than"),
        ("loss='mine'", "no  loss: Input"),
    ],
)
def test_a_default_that_no_probe_can_have_is_said_in_a_line(own, capsys, default, message):
    write(own, nets=f"def mine(model, images, labels, *, eps, {default}): return images\n")
    assert check.main(["nets:mine"]) == 2
    assert message in capsys.readouterr().err


def test_weights_that_do_not_follow_the_seed_are_told(own, capsys):
    fixed = "\n\ndef fixed(v, s):\n    torch.manual_seed(0)\n    return build(v, s)\n"
    write(own, mynets__nets=f"import torch\n{NETWORK}{fixed}")
    for name, told in (("fixed", True), ("build", False)):
        assert check.main([f"mynets.nets:{name}"]) == 0
        assert ("the same weights whatever the seed" in capsys.readouterr().out) == told


def test_an_adversary_is_tried_with_the_step_that_it_is_told(own, capsys):
    write(own, bad="def mine(m, images, labels, *, eps, step_size): return images + 0 * step_size")
    assert check.main(["bad:mine"]) == 0
    assert "step_size: told to adversaries, not to attacks" in capsys.readouterr().out


def test_an_attack_that_is_told_the_threat_model_is_tried_in_each(own, capsys):
    text = "def mine(m, images, labels, *, eps, threat): return (images + eps).clamp(0, 1)"
    write(own, bad=text)
    assert check.main(["bad:mine"]) == 2
    out = capsys.readouterr().out
    assert "ok  returns images within eps 0.3 (L-inf)" in out
    assert "no  returns images within eps 2.8 (L2)" in out
