"""Frozen records, the errors that their checks raise, and the digests that are their keys."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, field_validator
from pydantic_core import PydanticCustomError

from rotgrid.spec.entries import is_own

T = TypeVar("T")

REVISION = 1
"""Part of every key. Raise it when a change to the code changes what the numbers mean."""

ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)

ADDED_FIELDS = {
    "train_steps": 0,
    "precision": "float32",
    "test_translation": 0.0,
    "loss": "ce",
    "label_rule": "true",
    "eps_unit": "pixel",
    "source": "",
    "clip": "pixel",
    "mode": "eval",
    "threat": "linf",
    "train_translation": 0.0,
    "model_digest": "",
    "data_digest": "",
    "adversary_digest": "",
    "recipe_settings": "",
    "attack_digest": "",
    "source_digest": "",
}
"""Fields that came later: in the key only where they are not these."""

DERIVED_FIELDS = tuple(ADDED_FIELDS)[-6:]
"""Fields that no grid gives: they follow from own names and own recipes."""

REMOVED_FIELDS = {"attack_precision": "float32"}
"""Fields that there are no more. Stored rows count where they were these; others are left out."""


class Record(BaseModel):
    """A frozen record that refuses unknown fields and does not convert between types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    __slots__ = ("_hash", "_key")
    """Computed once. They are no fields: a copy with other values does not inherit them."""

    def __hash__(self) -> int:
        if (known := getattr(self, "_hash", None)) is None:
            known = hash(tuple(vars(self).values()))
            object.__setattr__(self, "_hash", known)
        return known

    @field_validator("*")
    @classmethod
    def _without_negative_zero(cls, value: object) -> object:
        """Equal values have equal texts, so that equal records have equal keys."""
        return 0.0 if value == 0 and isinstance(value, float) else value


class Keyed(Record):
    """A record with a key, which is computed once."""

    def key_fields(self) -> dict[str, object]:
        """All that the key depends on, as plain data."""
        raise NotImplementedError

    def key(self) -> str:
        """16 hex digits that name what the record asks for: equal work has equal keys.

        Raises:
            ValueError: a probe is not resolved, so it has no meaning without its trial.
        """
        if (known := getattr(self, "_key", None)) is None:
            known = digest(self.key_fields())
            object.__setattr__(self, "_key", known)
        return known


def grid_fields(record: type[Record]) -> tuple[str, ...]:
    """The fields of a record that a grid may give."""
    return tuple(field for field in record.model_fields if field not in DERIVED_FIELDS)


def without_added_defaults(record: Record) -> dict[str, object]:
    """The fields of a record, less those of `ADDED_FIELDS` that are as before they came."""
    return {k: v for k, v in vars(record).items() if v != ADDED_FIELDS.get(k, NotImplemented)}


def entry_named(name: object, table: Mapping[Any, T]) -> T | None:
    """The entry of that name, own names included, or None; `name` may be of any type."""
    return table[name] if isinstance(name, str) and (name in table or is_own(name)) else None


def field_error(field: str, problem: str, choices: tuple[str, ...] = ()) -> PydanticCustomError:
    """A validation error that blames one field of a record, with its valid `choices`."""
    message = problem + (f"; choose from {', '.join(choices)}" if choices else "")
    context = {"field": field, "choices": choices}
    # Braces in a template would be read as fields.
    return PydanticCustomError("mismatch", message.replace("{", "(").replace("}", ")"), context)


def digest(fields: Mapping[str, object]) -> str:
    """16 hex digits of SHA-256 over the fields and `REVISION`; order does not matter."""
    text = ENCODER.encode({"revision": REVISION, **fields})
    return hashlib.sha256(text.encode()).hexdigest()[:16]
