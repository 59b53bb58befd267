"""The values that a block gives to each field: checked one by one, then combined.

Mistakes become problems of the tree, with the place of the value, and the rest goes on.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from rotgrid.grid.positions import Tree, Where
from rotgrid.spec import Record

MOST_CELLS = 2_000_000
"""A block with more cells, or a grid, is taken for a mistake."""

Axes = Mapping[str, list[tuple[object, Where]]]
"""For each field its values, each with the place it stands at."""


def axes_of(
    tree: Tree,
    fields: Mapping[str, object],
    path: Where,
    record: type[Record],
    quiet: bool = False,
) -> Axes:
    """The valid values of the fields of `record`, each once; problems go to the tree unless
    `quiet`."""
    axes: dict[str, list[tuple[object, Where]]] = {}
    for field, value in fields.items():
        if field not in record.model_fields:
            continue
        where = (*path, field)
        if value == [] and not quiet:
            tree.problem(where, "an empty list has no value to vary")
        places = [(value, where)]
        if isinstance(value, list):
            places = [(item, (*where, i)) for i, item in enumerate(value)]
        valid: dict[Any, Where] = {}
        for v, at in places:
            if field_is_valid(tree, record, field, v, at, quiet):
                valid.setdefault(v, at)
        if valid:
            axes[field] = list(valid.items())
    return axes


def field_is_valid(
    tree: Tree,
    record: type[Record],
    field: str,
    value: object,
    path: Where,
    quiet: bool,
) -> bool:
    """Whether one value suits one field."""
    info = record.model_fields[field]
    try:
        adapter(record, field).validate_python(value, strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False)
        if not quiet:
            choices = [c for d in details for c in literal_choices(d)]
            problem = f"should be {expected(details)} ({info.description})"
            tree.problem(path, problem, got=value, choices=choices)
        return False
    return True


_adapters: dict[tuple[type[Record], str], TypeAdapter[Any]] = {}


def adapter(record: type[Record], field: str) -> TypeAdapter[Any]:
    """The validator of one field by itself."""
    if (record, field) not in _adapters:
        info = record.model_fields[field]
        finite = ConfigDict(allow_inf_nan=False)
        _adapters[record, field] = TypeAdapter(Annotated[info.annotation, info], config=finite)  # type: ignore[arg-type]
    return _adapters[record, field]


def literal_choices(detail: ErrorDetails) -> list[str]:
    """The valid choices that a validation error names."""
    if detail["type"] != "literal_error":
        return []
    return detail["ctx"]["expected"].replace("' or '", "', '").strip("'").split("', '")


def expected(details: Sequence[ErrorDetails]) -> str:
    """What would have been valid, in words."""
    words = []
    for detail in details:
        message = detail["msg"].removeprefix("Input should be ")
        words.append(message[0].lower() + message[1:] if message[1:2].islower() else message)
    return ", or ".join(dict.fromkeys(words))


DerivedFields = Callable[[Mapping[str, Any]], dict[str, Any] | None]
"""Fields that follow from others; None where these are a problem already."""


def combine(
    tree: Tree, axes: Axes, path: Where, record: type[Record], derived: DerivedFields
) -> Iterator[Any]:
    """A record for each combination; those that do not fit together become problems."""
    for combination in itertools.product(*axes.values()):
        values = dict(zip(axes, combination, strict=True))
        given = {field: value for field, (value, _) in values.items()}
        if (more := derived(given)) is None:
            continue
        try:
            yield record(**{**given, **more})
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                field = detail.get("ctx", {}).get("field", "") or str(*detail["loc"][:1])
                choices = detail.get("ctx", {}).get("choices", ())
                if field in values:
                    value, where = values[field]
                    tree.problem(where, detail["msg"], got=value, choices=choices)
                else:
                    tree.problem(path, f"{field} {detail['msg']}")


def count_combinations(axes: Axes) -> int:
    """Number of combinations."""
    total = 1
    for values in axes.values():
        total *= len(values)
    return total


def check_size(tree: Tree, cells: int, path: Where) -> bool:
    """Whether so many combinations are few enough to be meant."""
    if cells > MOST_CELLS:
        tree.problem(path, f"has {cells:,} cells, more than the {MOST_CELLS:,} that are allowed")
    return cells <= MOST_CELLS


def known_keys(
    tree: Tree,
    mapping: Mapping[str, object],
    path: Where,
    keys: Sequence[str],
    of_probes: Sequence[str] = (),
) -> None:
    """Every key that is not among `keys` is a problem; a field of probes is told where it goes."""
    for key in mapping:
        if key in of_probes and key not in keys:
            tree.problem((*path, key), "is a field of `probes`, in a block", at_key=True)
        elif key not in keys:
            tree.problem((*path, key), "unknown key", got=key, choices=keys, at_key=True)
