import pytest

from rotgrid import grid, preflight
from rotgrid.data import DataError
from rotgrid.models.own_network import ContractError
from rotgrid.spec.sources import SourceError

from own_files import NETWORK, write, write_all, write_npz

DATA = "blocks: [{model: 'mynets.nets:build', data: mine.npz, probes: {n_images: 5}}]"


def require(text):
    preflight.require_own(grid.parse(text).trials, "results")


def test_all_that_is_own_is_tried_and_its_source_stored(folder):
    preflight.require_own(grid.read(write_all(folder)).trials, "results")
    stored = {path.name for path in (folder / "results/code").rglob("*.py")}
    assert stored == {"nets.py", "blocks.py", "attacks.py"}


@pytest.mark.parametrize("model", ["stdcnn", "mynets.nets:build"])
def test_an_attack_and_an_adversary_that_leave_the_ball_are_refused(folder, model):
    write_all(folder)
    write(folder, bad="def far(model, images, labels, *, eps): return 1 - images\n")
    block = f"model: '{model}', data: mnist5k"
    for more in ("adversary: 'bad:far'", "probes: {attack: 'bad:far', eps: 0.1}"):
        with pytest.raises(ValueError, match=r"bad\.py:1: bad:far at eps .* leaves the ball"):
            require(f"blocks: [{{{block}, {more}}}]")


def test_an_attack_is_tried_in_every_threat_model(folder):
    write(folder, bad="def far(m, images, labels, *, eps): return (images + eps).clamp(0, 1)\n")
    probe = "attack: 'bad:far', eps: 0.5, threat: [linf, l2]"
    with pytest.raises(ValueError, match=r"leaves the ball: moves by .* \(L2\), and eps is 0\.5"):
        require(f"blocks: [{{model: stdcnn, data: mnist5k, probes: {{{probe}}}}}]")


def test_a_network_that_breaks_the_contract_is_refused_with_its_line(folder):
    write_all(folder)
    more = "\n\ndef soft(v, shape):\n    return nn.Sequential(build(v, shape), nn.Softmax(1))\n"
    write(folder, mynets__nets=NETWORK + more)
    probes = "probes: {attack: transfer, source: 'mynets.nets:soft'}"
    for more in ("model: 'mynets.nets:soft'", f"model: stdcnn, {probes}"):
        with pytest.raises(
            ContractError, match=r"nets\.py:\d+: mynets\.nets:soft returns probabilities"
        ):
            require(f"blocks: [{{data: mnist5k, {more}}}]")


def test_an_attack_that_remembers_its_calls_is_refused(folder):
    text = """calls = []


def mine(model, images, labels, *, eps):
    calls.append(eps)
    return (images - len(calls) % 2 * eps).clamp(0, 1)
"""
    write(folder, nets=text)
    with pytest.raises(ValueError, match=r"nets\.py:4: nets:mine makes other images from call"):
        require("blocks: [{model: stdcnn, probes: {attack: 'nets:mine', eps: 0.1}}]")


def test_files_that_changed_since_the_plan_are_refused(folder):
    write_all(folder)
    write_npz(folder / "mine.npz")
    stored = grid.dump(grid.parse(DATA))
    require(stored)
    write(folder, mynets__blocks=(folder / "mynets/blocks.py").read_text() + "# more\n")
    with pytest.raises(SourceError, match="they were changed since"):
        require(stored)


def test_data_that_changed_since_the_plan_are_refused(folder):
    write_all(folder)
    write_npz(folder / "mine.npz")
    stored = grid.dump(grid.parse(DATA))
    write_npz(folder / "mine.npz", seed=1)
    with pytest.raises(DataError, match=r"mine\.npz: has digest .* it is another file"):
        require(stored)
    (folder / "mine.npz").unlink()
    with pytest.raises(DataError, match=r"mine\.npz: no such file"):
        require(stored)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("@functools.cache\ndef again(v, s): return build(v, s)", "returned before"),
        ("def again(v, s):\n    torch.seed()\n    return build(v, s)", "other weights"),
    ],
)
def test_a_network_that_is_not_built_anew_from_the_seed_is_refused(folder, line, message):
    write_all(folder)
    write(folder, mynets__nets=f"import functools\n\nimport torch\n{NETWORK}\n\n{line}\n")
    with pytest.raises(ContractError, match=message):
        require("blocks: [{model: 'mynets.nets:again', data: mnist5k}]")
