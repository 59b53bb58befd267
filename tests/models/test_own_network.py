import pytest
import torch

from rotgrid import models
from rotgrid.models.own_network import ContractError
from rotgrid.spec.datasets import Shape

from own_files import write, write_all

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
        ("def build(variant, shape): return 3", "returns a int, not a torch.nn.Module"),
    ],
)
def test_what_builds_no_network_is_refused_with_its_line(folder, text, message):
    write(folder, nets=text)
    with pytest.raises(ContractError, match=message):
        models.build("nets:build", shape=SHAPE)
