"""The trade-off: each network's robustness to rotations against its robustness to PGD."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import altair as alt
import polars as pl

from analysis.figures import labels, panels, scales, theme, thinning
from analysis.rows import phrases, vocabulary
from analysis.rows.selection import (
    OF_RECIPE,
    SETTING,
    Comparable,
    NotMeasured,
    attacked_alike,
    comparable,
    main_variants,
    most_frequent,
    nearest_eps,
    of_variants,
    one_variant,
    tested_alike,
    where,
)
from analysis.stats.summary import SUMMARY, summary

PRIMARY_EPS = 0.1
MOST_LABELS = 5
"""Train ranges written along a path."""
MOST_VARIANTS = 2
"""Other variants that are named in a panel; more are named in the tooltips only."""
NETWORK = ["model", "variant", "adversary", "recipe", "train_rotation"]
OF_TRAINING = ("recipe", *OF_RECIPE)


class Points(NamedTuple):
    """A point per kind of network, the rows behind it, and what was chosen to get there."""

    data: pl.DataFrame
    rows: pl.DataFrame
    words: list[str]
    notes: list[str]


def all_variants(rows: pl.DataFrame) -> Comparable:
    """Rows of networks of every variant, trained alike."""
    return comparable(rows, all_variants=True)


def all_recipes(rows: pl.DataFrame) -> Comparable:
    """Rows of networks of one variant per model, trained alike but for the recipe."""
    rows, notes = one_variant(rows)
    rows, more = most_frequent(rows, [name for name in SETTING if name not in OF_TRAINING])
    rows, others = most_frequent(rows, OF_RECIPE, ["recipe"])
    rows, eps = most_frequent(rows, ["adversary_eps"], ["adversary"])
    rows, attacks = attacked_alike(rows)
    return Comparable(rows, [*notes, *more, *others, *eps, *attacks])


def points(
    rows: pl.DataFrame, alike: Callable[[pl.DataFrame], Comparable] = all_variants
) -> Points:
    """Clean accuracy at the widest test range (180 degrees, if measured) and accuracy under PGD.

    Args:
        rows: of any kind.
        alike: which rows may stand beside each other.

    Raises:
        NotMeasured: no network was measured under PGD, and none without attack.
    """
    rows, notes = tested_alike(rows.filter(pl.col("attack").is_in(["none", "pgd"])))
    clean = where(rows, "attack none", pl.col("attack") == "none")
    pgd = where(rows, "attack pgd, eps > 0", pl.col("attack") == "pgd", pl.col("eps") > 0)
    pgd, robust_words = one_test_rotation(pgd)
    clean = clean.join(pgd, on=NETWORK, how="semi", maintain_order="left")
    if clean.is_empty():
        raise NotMeasured("needs rows with attack none of the networks measured under attack pgd")
    widest = float(clean["test_rotation"].max())  # type: ignore[arg-type]
    clean = clean.filter(pl.col("test_rotation") == widest)
    rows, more = alike(pl.concat([clean, pgd]))
    notes += more
    rows, eps = nearest_eps(rows, PRIMARY_EPS)
    paths = [name for name in NETWORK if name != "train_rotation"]
    rows, more = thinning.fitting(rows, "train_rotation", paths)
    notes += more
    data = joined(rows)
    if data.is_empty():
        raise NotMeasured(f"needs rows with attack none at test_rotation {widest:g} and with pgd")
    lacking = rows.filter(pl.col("attack") == "pgd").join(data, on=NETWORK, how="anti")
    if not lacking.is_empty():
        count = lacking.select(NETWORK).n_unique()
        notes.append(f"{count} more kinds of network lack rows at test_rotation {widest:g}.")
    words = [
        f"Across: accuracy without attack, test digits turned by U[-{widest:g}, {widest:g}] "
        f"degrees. Up: accuracy under PGD at eps {eps:g}, {robust_words}."
    ]
    main = main_variants(data)
    named = phrases.listed([f"{model} {variant}" for model, variant in main.items()])
    hollow = not data.filter(~of_variants(main)).is_empty()
    words.append(
        f"Filled: {named}; hollow: others (tooltips)." if hollow else f"Variants: {named}."
    )
    adversaries = rows.filter(pl.col("adversary") != "none")
    for name, strength in (
        adversaries.select("adversary", "adversary_eps").unique().sort(pl.all()).iter_rows()
    ):
        words.append(f"Adversary {name}: eps {strength:g} in training.")
    if widest < 180:
        words.append("The whole circle (test_rotation 180) was not measured.")
    if eps != PRIMARY_EPS:
        words.append(f"eps {PRIMARY_EPS} was not measured: the nearest that was is shown.")
    return Points(labelled(data), rows, words, notes)


def one_test_rotation(pgd: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """Rows whose test range is the training range or, if more networks were measured so, none."""
    same = pgd.filter(pl.col("test_rotation") == pl.col("train_rotation"))
    upright = pgd.filter(pl.col("test_rotation") == 0)
    if same.is_empty() and upright.is_empty():
        raise NotMeasured("needs rows with attack pgd at test_rotation 0 or = train_rotation")
    if same.select(NETWORK).n_unique() >= upright.select(NETWORK).n_unique():
        return same, "test digits turned as in training"
    return upright, "test digits upright"


def joined(rows: pl.DataFrame) -> pl.DataFrame:
    """Clean and robust accuracy of each kind of network that has both."""
    sides = []
    for prefix, attacked in (("clean_", False), ("robust_", True)):
        side = rows.filter((pl.col("attack") == "pgd") == attacked)
        conditions = ["attack", "eps", "eps_unit"] if attacked else []
        names = {c: prefix + c for c in ("test_rotation", *SUMMARY) if c != "flags"}
        measured = summary(side, [*NETWORK, "test_rotation", *conditions]).rename(names)
        sides.append(measured if attacked else measured.drop("flags"))
    return sides[0].join(sides[1], on=NETWORK, how="inner").sort(NETWORK)


def labelled(data: pl.DataFrame) -> pl.DataFrame:
    """Adds what is written at each point: along the path of a main variant the train ranges, the
    outermost ones if there are many; at the end of any other path the name of the variant, if
    those are few."""
    path = ["model", "variant", "adversary"]
    turn = pl.col("train_rotation")
    first, last = turn == turn.min().over(path), turn == turn.max().over(path)
    few = turn.n_unique().over(path) <= MOST_LABELS
    ranges = pl.when(few | first | last).then(labels.turn())
    main = of_variants(main_variants(data))
    others = pl.struct("model", "variant").filter(~main).n_unique().over("adversary")
    named = pl.when(last & (others <= MOST_VARIANTS)).then("variant")
    text = pl.when(main).then(ranges).otherwise(named)
    across, up = domains(data)
    return labels.placed(
        labels.thinned(data.with_columns(_label=text, _hollow=~main), "adversary", *path),
        labels.Axis("clean_accuracy", across.lower, across.upper, theme.WIDTH),
        labels.Axis("robust_accuracy", up.lower, up.upper, theme.HEIGHT),
        "adversary",
    )


def domains(data: pl.DataFrame) -> tuple[scales.Domain, scales.Domain]:
    """The axes across and up, the same for every panel."""
    return (
        scales.domain_of(data, "clean_accuracy_min", "clean_accuracy_max"),
        scales.domain_of(data, "robust_accuracy_min", "robust_accuracy_max"),
    )


def panel(found: Points, adversary: str, look: Mapping[str, Any], width: int) -> alt.LayerChart:
    """The networks trained with one adversary; a path per model and variant, by train range."""
    data = found.data
    (x, least_x), (y, least_y) = both_axes(found)
    drawn = {key: value for key, value in look.items() if key != "shape"}
    base = alt.Chart().encode(x, y, detail="variant", **drawn)
    whisker = base.mark_rule(strokeOpacity=0.6)
    tips = [column for column in data.columns if not column.startswith("_")]
    marks = base.encode(shape=look["shape"], tooltip=panels.tooltip(tips))
    points = (
        marks.mark_point(filled=True, size=70, opacity=1).transform_filter("!datum._hollow"),
        marks.mark_point(filled=False, size=60).transform_filter("datum._hollow"),
    )
    layers = [
        base.mark_line(strokeWidth=1.25, strokeOpacity=0.6).encode(order="train_rotation:Q"),
        whisker.encode(least_x, alt.X2("clean_accuracy_max")),
        whisker.encode(least_y, alt.Y2("robust_accuracy_max")),
        *panels.with_flags(data, marks, *points),
        *panels.written(base, x, y),
    ]
    heading = alt.TitleParams(
        vocabulary.ADVERSARIES.get(adversary, adversary), subtitle=starts(found)
    )
    chart = alt.LayerChart(layer=layers).properties(
        width=width, height=theme.HEIGHT, title=heading
    )
    return chart.transform_filter(alt.FieldEqualPredicate(field="adversary", equal=adversary))


def starts(found: Points) -> str:
    """The subtitle of a panel: where its axes start."""
    across, up = domains(found.data)
    return f"axes from {across.lower:.0%} (across) and {up.lower:.0%} (up)"


def both_axes(found: Points) -> list[tuple[Any, Any]]:
    """The encodings of the mean and of the least accuracy, across and up."""
    widest = found.rows.filter(attack="none")["test_rotation"].to_list()[0]
    across, up = domains(found.data)
    return [
        axis(alt.X, "clean_", across, f"Accuracy, digits turned by up to ±{widest:g}°"),
        axis(alt.Y, "robust_", up, "Accuracy under PGD"),
    ]


def axis(
    channel: type[alt.X | alt.Y], prefix: str, domain: scales.Domain, title: str
) -> tuple[Any, Any]:
    """The encodings of the mean and of the least accuracy on one axis."""
    mean = scales.share(channel, prefix + "accuracy", domain, title)
    return mean, scales.share(channel, prefix + "accuracy_min", domain, title)
