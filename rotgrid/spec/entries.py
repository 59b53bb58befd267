"""What does the work of an entry, and which settings it is told: those that it names."""

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any


@functools.cache
def function_at(package: str, place: str) -> Callable[..., Any]:
    """The function at `module:function` of a package, which is imported now."""
    module, _, function = place.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(f"{package}.{module}"), function)
    return found


@functools.cache
def settings_named(function: Callable[..., Any]) -> frozenset[str]:
    """The names of a function's parameters."""
    return frozenset(inspect.signature(function).parameters)
