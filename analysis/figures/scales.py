"""Axes of rotations and accuracies, with limits and ticks worked out from the data."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import polars as pl

from analysis.rows.selection import CannotShow


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


def log_x(column: str, values: Sequence[float], title: str) -> alt.X:
    """A log axis over the values, with ticks at those that can be written side by side."""
    lower, upper = values[0], values[-1]
    reach = math.log(upper / lower) or 1.0
    ticks: list[float] = []
    for value in reversed(values):
        if not ticks or math.log(ticks[-1] / value) >= 0.1 * reach:
            ticks.append(value)
    return alt.X(
        f"{column}:Q",
        title=title,
        scale=dict(type="log", domain=[lower, upper], nice=False),
        axis=dict(values=ticks[::-1], format="~s", grid=False, labelFlush=False),
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


FROM_0_TO_1 = Domain(0.0, 1.0, 0.2)


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


def linear(
    channel: type[alt.X | alt.Y], column: str, domain: Domain, title: str, **axis: str
) -> Any:  # noqa: ANN401
    """An encoding on a linear axis. Every layer of a panel needs the same scale: one that leaves
    the domain open would widen it for all."""
    return channel(
        f"{column}:Q",
        title=title,
        scale=dict(domain=[domain.lower, domain.upper], nice=False),
        axis=dict(values=domain.ticks(), labelFlush=False, **axis),
    )


share = functools.partial(linear, format=".0%")
"""An encoding of accuracies in percent."""
amount = functools.partial(linear, labelExpr="format(datum.value, '~g')")
"""An encoding of a number with a unit."""
points = functools.partial(
    linear, labelExpr="datum.value ? format(100 * datum.value, '+.0f') : '0'"
)
"""An encoding of differences of accuracies, in percentage points."""


def from_zero(data: pl.DataFrame, *columns: str) -> Domain:
    """The smallest axis from 0, with ticks, that holds all positive values of the columns."""
    most = max(0.0, *(float(data[c].max()) for c in columns))  # type: ignore[arg-type]
    power = 10.0 ** math.floor(math.log10(most or 1.0) - 1)
    step = next(k * power for k in (1, 2, 5, 10, 20) if most / (k * power) <= 6)
    return Domain(0.0, round(max(math.ceil(most / step - 1e-9), 1) * step, 9), step)


def log_domain(data: pl.DataFrame, *columns: str) -> Domain:
    """The smallest log axis that holds all values of the columns and ends on ticks.

    Raises:
        CannotShow: a value is not positive.
    """
    least = min(float(data[c].min()) for c in columns)  # type: ignore[arg-type]
    most = max(float(data[c].max()) for c in columns)  # type: ignore[arg-type]
    if not least > 0:
        raise CannotShow(f"a log axis cannot show {least:g}, the least {' or '.join(columns)}")
    ticks = _log_ticks(least, most)
    lower = max(tick for tick in ticks if tick <= least * (1 + 1e-9))
    upper = min(tick for tick in ticks if tick >= most * (1 - 1e-9) and tick > lower)
    return Domain(lower, upper, 0.0)


def _log_ticks(least: float, most: float) -> list[float]:
    """1, 2 and 5 times the powers of ten, from below the least to above the most."""
    powers = range(math.floor(math.log10(least)) - 1, math.ceil(math.log10(most)) + 2)
    return [float(f"{k}e{power}") for power in powers for k in (1, 2, 5)]


def log_amount(channel: type[alt.X | alt.Y], column: str, domain: Domain, title: str) -> Any:  # noqa: ANN401
    """An encoding of a positive number with a unit, on a log axis."""
    ticks = _log_ticks(domain.lower, domain.upper)
    inside = [tick for tick in ticks if domain.lower <= tick <= domain.upper]
    tens = [tick for tick in inside if f"{tick:e}".startswith("1")]
    ends = {domain.lower, domain.upper}
    return channel(
        f"{column}:Q",
        title=f"{title}, log axis",
        scale=dict(type="log", domain=[domain.lower, domain.upper], nice=False),
        axis=dict(
            values=sorted({*tens, *ends}) if len(inside) > 9 else inside,
            labelExpr="format(datum.value, ',~g')",
            labelFlush=False,
        ),
    )


def about_zero(data: pl.DataFrame, *columns: str) -> Domain:
    """The smallest axis around 0, with ticks, that holds all values of the columns."""
    far = max(float(data[c].abs().max()) for c in columns)  # type: ignore[arg-type]
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if far / s <= 4 or s == 0.5)
    most = round(max(math.ceil(far / step - 1e-9), 1) * step, 6)
    return Domain(-most, most, step)


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
