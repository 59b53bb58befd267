"""Tables of entries by name, what does the work of an entry, and which settings it is told.

Names that are rotgrid's are words; names that are the user's own have a colon, or end in `.npz`.
"""

import functools
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

T = TypeVar("T")
OWN_FUNCTION = r"^[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*$"
OWN_DATA = r"\.npz$"


class Entries(dict[str, T]):
    """Entries by name. An own name is not among them, and `entries[name]` is what holds for all
    own ones."""

    def __init__(self, entries: Mapping[str, T], own: Callable[[str], T]) -> None:
        super().__init__(entries)
        self.own = own

    def __missing__(self, name: str) -> T:
        if not is_own(name):
            raise KeyError(name)
        return self.own(name)


def is_own(name: object) -> bool:
    """Whether a name is the user's."""
    return isinstance(name, str) and (":" in name or name.endswith(".npz"))


def own_name(pattern: str, what: str) -> Any:  # noqa: ANN401  # a type
    """The type of own names of one kind; `what` is said of others."""

    def require(name: str) -> str:
        if not re.search(pattern, name):
            raise PydanticCustomError("own", "{what}", {"what": what})
        return name

    schema = WithJsonSchema({"type": "string", "pattern": pattern, "description": what})
    return Annotated[str, AfterValidator(require), schema]


OwnFunction = own_name(OWN_FUNCTION, "a function of your own as package.module:function")
OwnData = own_name(OWN_DATA, "a file of your own as name.npz")


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
