import functools
import math

import pytest
import torch
from torch import nn

from rotgrid.attacks.linf import frozen
from rotgrid.attacks.networks import networks_of

NET = nn.Sequential(nn.Dropout(0.5))


def enclosing(net):
    return lambda x: net((x - 0.5) / 0.3)


def helped(net):
    def help_(x):
        return net(x)

    return lambda x: help_(x)


class Defence:
    def __init__(self, net):
        self.net = net

    def __call__(self, x):
        return self.net(x)

    def logits(self, x):
        return self.net(x)


CALLABLES = {
    "closure": enclosing,
    "closure of a closure": helped,
    "partial": lambda net: functools.partial(lambda x, n: n(x), n=net),
    "partial of a module": lambda net: functools.partial(net),
    "bound method": lambda net: Defence(net).logits,
    "bound method of a module": lambda net: net.forward,
    "object": Defence,
    "list": lambda net: (lambda nets: lambda x: sum(n(x) for n in nets))([net]),
    "dictionary": lambda net: (lambda nets: lambda x: nets["a"](x))({"a": net}),
    "default": lambda net: lambda x, net=net: net(x),
    "cached": lambda net: functools.wraps(net)(lambda x: net(x)),
}


@pytest.mark.parametrize("kind", CALLABLES)
def test_networks_of_any_callable_are_found_and_frozen(kind):
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    net[1].eval()
    model = CALLABLES[kind](net)
    assert networks_of(model) == [net]
    with frozen(model):
        assert not any(module.training for module in net.modules())
        assert not any(parameter.requires_grad for parameter in net.parameters())
        assert torch.isfinite(model(torch.ones(1, 2))).all()
    assert [module.training for module in net.modules()] == [True, True, False]
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_global_names_count_also_in_functions_within():
    assert networks_of(lambda x: NET(x)) == [NET]
    assert networks_of(lambda x: [NET(y) for y in x]) == [NET]
    assert networks_of(lambda x: math.sin(x)) == []


def test_what_refers_to_itself_ends():
    ring = []
    ring.append(ring)

    def model(x, ring=ring):
        return model(x)

    assert networks_of(model) == []
