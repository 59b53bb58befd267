"""Figures that show nothing but what another one shows."""

from collections.abc import Mapping
from typing import Any

Panel = frozenset[tuple[object, ...]]
"""The points of a panel: what lies across and up, the values, and the model."""


def shown_by(
    spec: Mapping[str, Any], earlier: Mapping[str, Mapping[str, Any]], *, part: bool = False
) -> str | None:
    """The name of the earlier figure that is the same picture as this one or, if `part`, has the
    points of each of its panels in one panel; None if there is none."""
    own = panels(spec)
    for name, other in earlier.items():
        theirs = panels(other)
        covered = part and own and all(any(one <= their for their in theirs) for one in own)
        if own and (set(own) == set(theirs) or covered):
            return name
    return None


def panels(spec: Mapping[str, Any]) -> list[Panel]:
    """The points of each panel of a specification; none unless all panels have points."""
    found = [_points(panel, spec) for panel in spec.get("concat", [])]
    return found if all(found) else []


def _points(panel: Mapping[str, Any], spec: Mapping[str, Any]) -> Panel:
    layers = [layer for layer in panel.get("layer", []) if "tooltip" in layer.get("encoding", {})]
    encodings = [layer["encoding"] for layer in layers if {"x", "y"} <= layer["encoding"].keys()]
    if not encodings:
        return frozenset()
    x, y = (encodings[-1][channel].get("field") for channel in ("x", "y"))
    rows = _rows(panel, spec)
    return frozenset((x, y, row.get(x), _rounded(row.get(y)), row.get("model")) for row in rows)


def _rounded(value: object) -> object:
    return round(value, 9) if isinstance(value, float) else value


def _rows(panel: Mapping[str, Any], spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that a panel draws."""
    name = (panel.get("data") or spec.get("data") or {}).get("name")
    rows: list[dict[str, Any]] = spec.get("datasets", {}).get(name, [])
    for transform in panel.get("transform", []):
        test = transform.get("filter", {})
        if "oneOf" in test:
            rows = [row for row in rows if row[test["field"]] in test["oneOf"]]
        elif "lte" in test:
            rows = [row for row in rows if row[test["field"]] <= test["lte"]]
    return rows
