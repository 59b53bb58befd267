"""One function per figure: rows in, chart out; nothing is read or written.

A chart carries the aggregated frame that it draws as `chart.data` (columns that begin with `_` are
only for drawing), so that a table of it shows the same numbers. A function whose rows do not exist
raises `NotMeasured`; a figure of which only some panels can be drawn says so in its subtitle.
"""

from collections.abc import Callable
from typing import NamedTuple

import altair as alt
import polars as pl

from analysis.figures.against import against, against_other
from analysis.figures.attacks import attacks
from analysis.figures.boundaries import boundary
from analysis.figures.costs import cost
from analysis.figures.cubes import cube
from analysis.figures.differences import difference
from analysis.figures.equivariances import equivariance
from analysis.figures.learning_curves import learning
from analysis.figures.overview import overview
from analysis.figures.pareto_fronts import frontier
from analysis.figures.pixels import (
    figure04,
    figure05,
    figure06,
    figure07,
    figure08,
)
from analysis.figures.rotations import figure01, figure02, figure03, figure12
from analysis.figures.strengths import figure09, figure10, figure11
from analysis.figures.tradeoff import tradeoff
from analysis.rows.conditions import CLEAN, NO_ADVERSARY, ON_PIXELS, OWN_ATTACK, SAME_RANGE
from analysis.rows.scan import FIELDS


class Figure(NamedTuple):
    """An entry of the registry."""

    heading: str
    """Its number in the paper or a few words; if empty, its own title is short enough."""
    draw: Callable[..., alt.ConcatChart]
    reads: tuple[pl.Expr, ...]
    """What `draw` needs of the table of evaluations, and maybe more: only rows that meet all of
    this are handed to it."""
    needs: tuple[str, ...] = ()
    """The tables that `draw` takes after that of evaluations."""
    images: tuple[str, ...] = ()
    """The columns with a value per image that `draw` reads: in others' rows they may be null."""


def under(*attacks: str) -> pl.Expr:
    """Whether a row is of one of these attacks, or of none."""
    return pl.col("attack").is_in(["none", *attacks])


def of(*models: str) -> pl.Expr:
    """Whether a row is of one of these models."""
    return pl.col("model").is_in(models)


COLUMNS = [
    "trial",
    "probe",
    *FIELDS,
    "parameters",
    "n",
    "n_correct",
    "correct",
    "distances",
    "flags",
]
"""What figures read of a row."""
PAIR = of("stdcnn", "gcnn")
TURNED_ALIKE = SAME_RANGE, NO_ADVERSARY
STRENGTHS = under("fgsm", "pgd") | OWN_ATTACK
OF_ANY_GRID = {
    "against": Figure("", against, ()),
    "against_other": Figure("", against_other, ()),
}
"""Figures of whatever is varied: they read all rows, if those are few."""
FIGURES = OF_ANY_GRID | {
    "overview": Figure("Overview", overview, (under("pgd"), NO_ADVERSARY)),
    "tradeoff": Figure("Trade-off", tradeoff, (under("pgd"),)),
    "frontier": Figure("Pareto fronts", frontier, (under("pgd"),)),
    "difference": Figure(
        "GCNN minus StdCNN", difference, (PAIR, *TURNED_ALIKE), images=("correct",)
    ),
    "attacks": Figure("Attacks", attacks, (ON_PIXELS, *TURNED_ALIKE)),
    "figure01": Figure("Figure 1", figure01, (CLEAN, NO_ADVERSARY)),
    "figure02": Figure("Figure 2", figure02, (CLEAN, NO_ADVERSARY)),
    "figure03": Figure("Figure 3", figure03, (CLEAN, *TURNED_ALIKE)),
    "figure04": Figure("Figure 4", figure04, (PAIR, under("fgsm"), *TURNED_ALIKE)),
    "figure05": Figure("Figure 5", figure05, (PAIR, CLEAN, SAME_RANGE)),
    "figure06": Figure("Figure 6", figure06, (PAIR, under("fgsm"), SAME_RANGE)),
    "figure07": Figure("Figure 7", figure07, (PAIR, under("fgsm", "pgd"), *TURNED_ALIKE)),
    "figure08": Figure("Figure 8", figure08, (PAIR, under("fgsm", "pgd"), *TURNED_ALIKE)),
    "figure09": Figure("Figure 9", figure09, (of("roteqnet"), STRENGTHS, *TURNED_ALIKE)),
    "figure10": Figure("Figure 10", figure10, (of("stdcnn"), STRENGTHS, *TURNED_ALIKE)),
    "figure11": Figure("Figure 11", figure11, (of("gcnn"), STRENGTHS, *TURNED_ALIKE)),
    "figure12": Figure("Figure 12", figure12, (CLEAN, NO_ADVERSARY)),
    "cube": Figure("Train range, test range and eps", cube, (under("fgsm", "pgd"), NO_ADVERSARY)),
    "boundary": Figure(
        "Distances to the boundary",
        boundary,
        (under("fmn"), *TURNED_ALIKE),
        images=("distances",),
    ),
    "equivariance": Figure(
        "Equivariance and robustness",
        equivariance,
        (under("pgd", "equivariance"), NO_ADVERSARY),
        ("equivariance",),
    ),
    "learning": Figure("Learning curves", learning, (pl.lit(False),), ("training", "unfinished")),
    "cost": Figure("Cost", cost, (under("pgd"), SAME_RANGE), ("training",)),
}
"""Every figure, in the order of the report; numbers are the paper's."""
