"""How far a verdict reaches, in words."""

import polars as pl

from analysis.claims.evidence import Evidence, Part
from analysis.rows import phrases
from analysis.rows.selection import FIRST
from analysis.stats import seeds

FEW_IMAGES = 1_000
"""Fewer are named beside a verdict."""


def scope(found: Evidence, deciding: Part) -> str:
    """How far a verdict reaches: the seeds of the part that decides, and of others if theirs are
    other numbers, data, unit of eps, and what was left out, in words."""
    rows = found.rows
    others = pl.Series([part.seeds for part in found.parts if part.seeds != deciding.seeds])
    words = [seeds.scope(deciding.seeds)]
    if len(others):
        words.append(f"other comparisons: {phrases.plural(others, 'seed')}")
    words.append(_setting(rows))
    if "mnist5k" in set(rows["data"]):
        words.append("quickstart data: no verdict on MNIST")
    if (few := min(part.n for part in found.parts)) < FEW_IMAGES:
        words.append(f"few images ({few:,} each)")
    attacked = rows.filter(pl.col("eps") > 0)
    words += [f"eps in {unit} units" for unit in attacked["eps_unit"].unique()]
    if left_out := _failing(attacked, "flags"):
        words.append(f"left out: {left_out}")
    if kept := _failing(attacked, "cautions"):
        words.append(f"kept with caution, under strong: {kept}")
    if attacked["flags"].null_count():
        words.append("not all networks checked for masked gradients")
    return "; ".join(words)


def _failing(rows: pl.DataFrame, column: str) -> str:
    """`2 networks that fail float64, repeat`, or nothing: those that a column has checks of."""
    failing = rows.filter(pl.col(column) != "")
    count = failing["trial"].n_unique()
    checks = failing[column].str.split(", ").explode().unique().sort()
    networks = f"{count} network that fails" if count == 1 else f"{count} networks that fail"
    return f"{networks} {', '.join(checks)}" if count else ""


def _setting(rows: pl.DataFrame) -> str:
    """Data, training images, and variants other than the first."""
    kinds = rows.select("model", "variant").unique().sort("model", "variant").iter_rows()
    others = [phrases.kind(*kind) for kind in kinds if kind[1] != FIRST[kind[0]]]
    data = f"{phrases.listed(sorted(set(rows['data'])))}, {phrases.span(rows['train_size'])}"
    variants = f", {phrases.listed(others)}" if others else ""
    return f"{data} training images{variants}"
