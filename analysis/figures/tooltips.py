"""What is said at a mark: at most eight fields, each measure and its range in one of them."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from analysis.figures import theme
from analysis.rows import vocabulary

MOST = 8
NAMES = {"model": vocabulary.LABELS, "attack": vocabulary.ATTACKS}
"""What readers are shown of the words of a field."""
ONLY_VARIED = (
    *("variant", "recipe", "adversary", "attack", "eps_unit", "test_rotation", "augmentation"),
    "unfinished",
)
"""Fields of which nothing is said where all marks (of a model) have the same value."""
DIGITS = 3
"""Of numbers that are no shares."""


def fields(columns: Sequence[str]) -> list[alt.Tooltip]:
    """The columns with human titles, units and percent; those that begin with `_` are texts."""
    return [
        alt.Tooltip(f"{name}:N", title=title(name))
        if name.startswith("_")
        else alt.Tooltip(name, title=title(name), format=_format(name))
        for name in columns
    ]


def tooltip(
    data: pl.DataFrame,
    conditions: Sequence[str],
    measures: Sequence[str] = ("accuracy",),
    sample: str = "n",
) -> list[alt.Tooltip]:
    """The conditions that tell the marks of these rows apart, each measure with its range, and the
    seeds and images of `sample`; failed checks, if there are any."""
    told = [c for c in conditions if c not in ONLY_VARIED or _varies(data, c)]
    failed = "flags" in data.columns and not (data["flags"].fill_null("") == "").all()
    ends = [*(f"_{name}" for name in measures), f"_{sample}", *(["flags"] if failed else [])]
    return fields([f"_{c}" if c in NAMES else c for c in told[: MOST - len(ends)]] + ends)


def title(column: str) -> str:
    """What a field is called: what a range covers is said of a measure."""
    name = column.removeprefix("_")
    if name == column or name in NAMES:
        return theme.title(name)
    words = theme.title(name).split(" (")[0]
    if _is_count(name):
        return words.replace("Images", "Seeds; images")
    return f"{words} ({'95% interval' if _has_interval(name) else 'least to greatest seed'})"


def with_texts(data: pl.DataFrame) -> pl.DataFrame:
    """Adds each measure with its range, seeds with images, and names of words as texts:
    `_accuracy`, `_n`, `_model`."""
    names = data.columns
    ranges = [_with_range(name, names) for name in names if f"{name}_min" in names]
    counts = [
        pl.format("{}; {}", name.removesuffix("n") + "seeds", name).alias(f"_{name}")
        for name in filter(_is_count, names)
    ]
    words = [
        pl.col(name).replace({word: of[word] for word in data[name].unique()}).alias(f"_{name}")
        for name, of in NAMES.items()
        if name in names
    ]
    return data.with_columns(*ranges, *counts, *words)


def _with_range(name: str, columns: Sequence[str]) -> pl.Expr:
    prefix = name.removesuffix("accuracy").removesuffix("difference")
    ends = f"{prefix}lower", f"{prefix}upper"
    if not (_has_interval(name) and ends[0] in columns):
        ends = f"{name}_min", f"{name}_max"
    mean, least, greatest = (_written(end, theme.is_share(name)) for end in (name, *ends))
    several = pl.format("{} ({} to {})", mean, least, greatest)
    return pl.when(least != greatest).then(several).otherwise(mean).alias(f"_{name}")


def _varies(data: pl.DataFrame, name: str) -> bool:
    """Whether there are several values, or variants of one model."""
    each = data.partition_by("model") if name == "variant" else [data]
    return any(part[name].n_unique() > 1 for part in each)


def _format(name: str) -> Any:  # noqa: ANN401
    return ".2%" if theme.is_share(name) else alt.Undefined


def _is_count(name: str) -> bool:
    return name == "n" or name.endswith("_n")


def _has_interval(name: str) -> bool:
    return name.endswith(("accuracy", "difference"))


def _written(column: str, share: bool) -> pl.Expr:
    number = (100 * pl.col(column)).round(1) if share else pl.col(column).round_sig_figs(DIGITS)
    text = number.cast(pl.String).str.replace(r"\.0$", "").str.replace("^-0$", "0")
    return text + "%" if share else text
