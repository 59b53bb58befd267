"""Axes of rotations, measured numbers and accuracies; their domains and ticks are Vega's own.

Every layer of a panel needs the same scale, so that what one leaves open is open for all.
"""

import functools
import math
from collections.abc import Iterable
from typing import Any

import altair as alt

Channel = type[alt.X | alt.Y]


def rotation_x(column: str, most: float, title: str, width: int, sign: str = "±") -> alt.X:
    """A rotation axis from 0 to `most` degrees; its labels have room."""
    step = next(step for step in (5, 10, 20, 30, 60) if most / step <= width / 45)
    return alt.X(
        f"{column}:Q",
        title=title,
        scale=dict(domain=[0, most], nice=False),
        axis=dict(
            values=list(range(0, math.ceil(most) + 1, step)),
            labelExpr=f"(datum.value ? '{sign}' : '') + datum.label + '°'",
            labelFlush=False,
            grid=False,
        ),
    )


def measured_x(column: str, values: Iterable[float], title: str, log: bool = False) -> alt.X:
    """An axis from the least to the greatest value, with a tick at each; where labels have no room
    one is left out."""
    ticks = sorted(set(values))
    scale = dict(domain=[ticks[0], ticks[-1]], nice=False)
    return alt.X(
        f"{column}:Q",
        title=f"{title}, log axis" if log else title,
        scale=scale | dict(type="log") if log else scale,
        axis=dict(
            values=ticks,
            labelExpr=f"format(datum.value, '{'~s' if log else '~g'}')",
            labelOverlap="greedy",
            labelSeparation=4,
            grid=False,
            labelFlush=False,
        ),
    )


def linear(
    channel: Channel,
    column: str,
    title: str,
    most: float | None = None,
    zero: bool = False,
    **axis: str,
) -> Any:  # noqa: ANN401
    """An encoding on a linear axis: from 0 to `most`, or one that fits the data, with 0 if
    `zero`."""
    scale = dict(domain=[0, most], nice=5) if most else dict(zero=zero, nice=5)
    return channel(f"{column}:Q", title=title, scale=scale, axis=dict(labelFlush=False, **axis))


share = functools.partial(linear, format="%")
"""An encoding of accuracies in percent."""
amount = functools.partial(linear, zero=True)
"""An encoding of a number with a unit, from 0."""
points = functools.partial(
    linear, zero=True, labelExpr="datum.value ? format(100 * datum.value, '+~r') : '0'"
)
"""An encoding of differences of accuracies, in percentage points."""


def log_amount(channel: Channel, column: str, title: str) -> Any:  # noqa: ANN401
    """An encoding of a positive number with a unit, on a log axis."""
    return channel(
        f"{column}:Q",
        title=f"{title}, log axis",
        scale=dict(type="log", nice=False, padding=12),
        axis=dict(format=",~r", tickCount=4, grid=False, labelFlush=False),
    )
