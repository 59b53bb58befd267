"""The networks that a function computes with, so that they can be put into evaluation mode."""

import functools
import types
from collections.abc import Iterator, Mapping

from torch import nn

DEPTH = 6
"""How far references are followed: a lambda that calls a function that calls a network is 2."""


def networks_of(model: object) -> list[nn.Module]:
    """The modules that a callable reaches, each once.

    Looked at are what it encloses, its defaults, the global names in its code, the parts of a
    partial, the object of a bound method, attributes of an object, and what lists, tuples and
    dictionaries among them hold.
    """
    found: dict[int, nn.Module] = {}
    seen: set[int] = set()
    reached: list[object] = [model]
    for _ in range(DEPTH):
        new = [value for value in reached if id(value) not in seen]
        seen.update(map(id, new))
        found |= {id(value): value for value in new if isinstance(value, nn.Module)}
        reached = [part for value in new for part in parts(value)]
    return list(found.values())


def network_of(model: object) -> nn.Module:
    """All modules that a callable reaches, as one."""
    return model if isinstance(model, nn.Module) else nn.ModuleList(networks_of(model))


def parts(value: object) -> Iterator[object]:
    """What a value refers to, as far as it may be part of a computation."""
    match value:
        case nn.Module() | type() | types.ModuleType():
            return
        case functools.partial():
            yield from (value.func, value.args, value.keywords)
        case types.MethodType():
            yield from (value.__self__, value.__func__)
        case types.FunctionType():
            yield from parts_of_function(value)
        case Mapping():
            yield from value.values()
        case list() | tuple():
            yield from value
        case _ if callable(value):
            yield from getattr(value, "__dict__", {}).values()
            yield getattr(value, "__wrapped__", None)


def parts_of_function(function: types.FunctionType) -> Iterator[object]:
    """What it encloses, its defaults, and the values of the global names in its code."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not yet bound
            continue
    yield from (function.__defaults__ or (), function.__kwdefaults__ or {})
    for name in names_in(function.__code__):
        if name in function.__globals__:
            yield function.__globals__[name]


def names_in(code: types.CodeType) -> Iterator[str]:
    """The global names (and attributes) in code and in the functions defined there."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_in(constant)
