"""Axes of rotations and accuracies, with limits and ticks worked out from the data."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import polars as pl


def rotation_x(column: str, most: float, title: str, width: int) -> alt.X:
    """A rotation axis from 0 to `most` degrees; its labels have room."""
    step = next(step for step in (5, 10, 20, 30, 60) if most / step <= width / 45)
    return alt.X(
        f"{column}:Q",
        title=title,
        scale=dict(domain=[0, most], nice=False),
        axis=dict(
            values=list(range(0, math.ceil(most) + 1, step)),
            labelExpr="'±' + datum.label + '°'",
            labelFlush=False,
            grid=False,
        ),
    )


class Domain(NamedTuple):
    """An axis of accuracies; `lower` and `upper` lie on ticks that are `step` apart."""

    lower: float
    upper: float
    step: float

    def ticks(self) -> list[float]:
        """Where the ticks are."""
        count = round((self.upper - self.lower) / self.step)
        return [round(self.lower + index * self.step, 6) for index in range(count + 1)]


WHOLE = Domain(0.0, 1.0, 0.2)


def domain_of(data: pl.DataFrame, *columns: str, upper: float = 0.0) -> Domain:
    """The smallest axis that holds all values of the columns, and `upper`."""
    low = min(float(data[column].min()) for column in columns)  # type: ignore[arg-type]
    high = max(upper, *(float(data[column].max()) for column in columns))  # type: ignore[arg-type]
    for step in (0.01, 0.02, 0.05, 0.1, 0.2):
        least, most = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if most - least <= 6:
            break
    least, most = max(least - (least == most), 0), max(most, least + (least == 0))
    return Domain(round(least * step, 6), min(round(most * step, 6), 1.0), step)


def share(channel: type[alt.X | alt.Y], column: str, domain: Domain, title: str) -> Any:  # noqa: ANN401
    """An encoding of accuracies in percent. Every layer of a panel needs the same scale: one that
    leaves the domain open would widen it for all."""
    return channel(
        f"{column}:Q",
        title=title,
        scale=dict(domain=[domain.lower, domain.upper], nice=False),
        axis=dict(format=".0%", values=domain.ticks(), labelFlush=False),
    )


def starts_at(domain: Domain) -> str:
    """The subtitle of a panel: where its y axis starts."""
    return f"y axis from {domain.lower:.0%} to {domain.upper:.0%}"


def thinned(values: Sequence[float]) -> list[float]:
    """Those of ascending values that can be written side by side."""
    kept = list(values[:1])
    for value in values[1:]:
        if value - kept[-1] >= 0.12 * values[-1] - 1e-9:
            kept.append(value)
    return kept
