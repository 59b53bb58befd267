"""One function per figure: rows in, chart out; nothing is read or written.

A chart carries the aggregated frame that it draws as `chart.data` (columns that begin with `_` are
only for drawing), so that a table of it shows the same numbers. A function whose rows do not exist
raises `NotMeasured`; a figure of which only some panels can be drawn says so in its subtitle.
"""

from collections.abc import Callable
from typing import NamedTuple

import altair as alt
import polars as pl

from analysis.figures.against import against, against_other, by_category
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
from analysis.rows.conditions import (
    CLEAN,
    LINF,
    NO_ADVERSARY,
    ON_PIXELS,
    ONE_BALL,
    OWN_ATTACK,
    SAME_RANGE,
)
from analysis.rows.scan import FIELDS


class Figure(NamedTuple):
    """An entry of the registry."""

    draw: Callable[..., alt.ConcatChart]
    reads: tuple[pl.Expr, ...]
    """What `draw` needs of the table of evaluations, and maybe more: only rows that meet all of
    this are handed to it."""
    needs: tuple[str, ...] = ()
    """The tables that `draw` takes after that of evaluations."""
    images: tuple[str, ...] = ()
    """The columns with a value per image that `draw` reads: in others' rows they may be null."""


def number(name: str) -> str:
    """The paper's number of an entry, as `Figure 4`; empty if it is not of the paper."""
    return f"Figure {int(name.removeprefix('figure'))}" if name.startswith("figure") else ""


def shows(name: str) -> str:
    """What an entry shows, in words, with its number."""
    words = (FIGURES[name].draw.__doc__ or name).partition(".")[0]
    return " ".join([*words.split(), f"({number(name)})" if number(name) else ""]).strip()


def under(*attacks: str, ball: pl.Expr = LINF) -> pl.Expr:
    """Whether a row is of one of these attacks in the L-inf ball, of which the paper's eps are, or
    of none."""
    return pl.col("attack").is_in(["none", *attacks]) & ball


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
AS_TRAINED = SAME_RANGE, NO_ADVERSARY
STRENGTHS = under("fgsm", "pgd") | (OWN_ATTACK & LINF)
OF_ANY_GRID = {
    "against": Figure(against, ()),
    "against_other": Figure(against_other, ()),
    "by_category": Figure(by_category, ()),
}
"""Figures of whatever is varied: they read all rows, if those are few."""
FIGURES = OF_ANY_GRID | {
    "overview": Figure(overview, (under("pgd", ball=ONE_BALL), NO_ADVERSARY)),
    "tradeoff": Figure(tradeoff, (under("pgd", ball=ONE_BALL),)),
    "frontier": Figure(frontier, (under("pgd", ball=ONE_BALL),)),
    "difference": Figure(difference, (PAIR, *AS_TRAINED), images=("correct",)),
    "attacks": Figure(attacks, (ON_PIXELS, *AS_TRAINED)),
    "figure01": Figure(figure01, (CLEAN, NO_ADVERSARY)),
    "figure02": Figure(figure02, (CLEAN, NO_ADVERSARY)),
    "figure03": Figure(figure03, (CLEAN, *AS_TRAINED)),
    "figure04": Figure(figure04, (PAIR, under("fgsm"), *AS_TRAINED)),
    "figure05": Figure(figure05, (PAIR, CLEAN, SAME_RANGE)),
    "figure06": Figure(figure06, (PAIR, under("fgsm"), SAME_RANGE)),
    "figure07": Figure(figure07, (PAIR, under("fgsm", "pgd"), *AS_TRAINED)),
    "figure08": Figure(figure08, (PAIR, under("fgsm", "pgd"), *AS_TRAINED)),
    "figure09": Figure(figure09, (of("roteqnet"), STRENGTHS, *AS_TRAINED)),
    "figure10": Figure(figure10, (of("stdcnn"), STRENGTHS, *AS_TRAINED)),
    "figure11": Figure(figure11, (of("gcnn"), STRENGTHS, *AS_TRAINED)),
    "figure12": Figure(figure12, (CLEAN, NO_ADVERSARY)),
    "cube": Figure(cube, (under("fgsm", "pgd"), NO_ADVERSARY)),
    "boundary": Figure(
        boundary,
        (under("fmn"), *AS_TRAINED),
        images=("distances",),
    ),
    "equivariance": Figure(
        equivariance,
        (under("pgd", "equivariance"), NO_ADVERSARY),
        ("equivariance",),
    ),
    "learning": Figure(learning, (pl.lit(False),), ("training", "unfinished")),
    "cost": Figure(cost, (under("pgd", ball=ONE_BALL), SAME_RANGE), ("training",)),
}
"""Every figure, in the order of the report; numbers are the paper's."""
