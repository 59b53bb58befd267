import pytest
import torch

from rotgrid import models
from rotgrid.device import SETTINGS
from rotgrid.models.own_network import ContractError
from rotgrid.spec.datasets import Shape
from rotgrid.spec.sources import search_in

from own_files import forgotten, write, write_all

SHAPE = Shape(3, 8, 4, (0.5,) * 3, (0.2,) * 3)


def test_an_own_network_gets_variant_and_shape_and_its_weights_follow_the_seed(folder):
    write_all(folder)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    one, same, other = (
        models.build("mynets.nets:build", "16", seed=s, shape=SHAPE) for s in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert one(torch.rand(2, 3, 8, 8)).shape == (2, 4)
    first, again, second = (next(net.parameters()) for net in (one, same, other))
    assert first.shape == (16, 192)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def build(variant): ...", r"nets\.py:1: nets:build\('', Shape\(.*raises TypeError"),
        ("def build(variant, shape):\n    return {}[variant]", r"raises .*nets\.py:2: KeyError"),
        (
            "from torch import nn\ndef build(variant, shape):\n    return nn.LazyLinear(4)",
            r"nets\.py:2: nets:build returns .* lazy layers: .* torch\.zeros\(1, 3, 8, 8\)",
        ),
        ("def build(variant, shape): raise SystemExit", r"raises .*nets\.py:1: SystemExit"),
        ("def build(variant, shape): return 3", "returns a int, not a torch.nn.Module"),
    ],
)
def test_what_builds_no_network_is_refused_with_its_line(folder, text, message):
    write(folder, nets=text)
    with pytest.raises(ContractError, match=message):
        models.build("nets:build", shape=SHAPE)


SIDE_EFFECTS = """
import torch
from torch import nn

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
torch.set_grad_enabled(False)
torch.set_num_threads(torch.get_num_threads() + 1)
torch.set_float32_matmul_precision("medium")


def build(variant, shape):
    torch.use_deterministic_algorithms(True)
    return nn.Linear(3, shape.classes)
"""


def test_weights_do_not_depend_on_whether_the_module_was_imported_before(folder):
    write(folder, nets=SIDE_EFFECTS)
    imported_before = [models.build("nets:build", seed=s, shape=SHAPE).weight for s in (1, 2)]
    with forgotten():
        search_in(folder)
        imported_now = models.build("nets:build", seed=2, shape=SHAPE).weight
    assert torch.equal(imported_before[1], imported_now)
    assert not torch.equal(imported_before[0], imported_now)


def test_what_a_module_and_its_function_set_in_torch_is_put_back(folder):
    write(folder, nets=SIDE_EFFECTS)
    before = [read() for read, _ in SETTINGS]
    state = torch.get_rng_state()
    assert models.build("nets:build", shape=SHAPE).weight.dtype == torch.float32
    assert [read() for read, _ in SETTINGS] == before
    assert torch.equal(torch.get_rng_state(), state)
