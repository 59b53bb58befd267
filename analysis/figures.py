"""One function per figure: rows in, chart out; nothing is read or written.

A chart carries the aggregated frame that it draws as `chart.data` (columns that begin with `_` are
only for drawing), so that a table of it shows the same numbers. A function whose rows do not exist
raises `NotMeasured`; a figure of which only some panels can be drawn says so in its subtitle.
"""

from collections.abc import Callable
from typing import NamedTuple

import altair as alt

from analysis.figures_margins import boundary, cube, difference
from analysis.figures_networks import cost, equivariance, learning
from analysis.figures_pixels import (
    figure04,
    figure05,
    figure06,
    figure07,
    figure08,
    figure09,
    figure10,
    figure11,
)
from analysis.figures_rotation import figure01, figure02, figure03, figure12
from analysis.figures_tradeoff import frontier, overview, tradeoff


class Figure(NamedTuple):
    """An entry of the registry."""

    heading: str
    draw: Callable[..., alt.ConcatChart]
    needs: tuple[str, ...] = ()
    """The tables that `draw` takes after that of evaluations."""


FIGURES = {
    "overview": Figure("Overview", overview),
    "tradeoff": Figure("Trade-off", tradeoff),
    "frontier": Figure("Pareto fronts", frontier),
    "difference": Figure("GCNN minus StdCNN", difference),
    "figure01": Figure("Figure 1", figure01),
    "figure02": Figure("Figure 2", figure02),
    "figure03": Figure("Figure 3", figure03),
    "figure04": Figure("Figure 4", figure04),
    "figure05": Figure("Figure 5", figure05),
    "figure06": Figure("Figure 6", figure06),
    "figure07": Figure("Figure 7", figure07),
    "figure08": Figure("Figure 8", figure08),
    "figure09": Figure("Figure 9", figure09),
    "figure10": Figure("Figure 10", figure10),
    "figure11": Figure("Figure 11", figure11),
    "figure12": Figure("Figure 12", figure12),
    "cube": Figure("Train range, test range and eps", cube),
    "boundary": Figure("Distances to the boundary", boundary),
    "equivariance": Figure("Equivariance and robustness", equivariance, ("equivariance",)),
    "learning": Figure("Learning curves", learning, ("training",)),
    "cost": Figure("Cost", cost, ("training",)),
}
"""Every figure, in the order of the report; numbers are the paper's."""
