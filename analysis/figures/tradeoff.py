"""The trade-off: each network's robustness to rotations against its robustness to PGD."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import altair as alt
import polars as pl

from analysis.figures import captions, layers, panels, scales, thinning, tooltips
from analysis.rows import phrases, vocabulary
from analysis.rows.conditions import USUAL_EPS, eps_remark, nearest_eps
from analysis.rows.notes import Note
from analysis.rows.recipes import OF_RECIPE
from analysis.rows.selection import (
    SETTING,
    Comparable,
    NotMeasured,
    attacked_alike,
    comparable,
    main_variants,
    most_frequent,
    of_variants,
    one_variant,
    tested_alike,
    where,
)
from analysis.stats.summary import SUMMARY, summary

NETWORK = ["model", "variant", "adversary", "recipe", "train_rotation"]
FITTED = "axes fitted to the data"
OF_TRAINING = ("recipe", "recipe_settings", *OF_RECIPE)


class Points(NamedTuple):
    """A point per kind of network, the rows behind it, and what was chosen to get there."""

    data: pl.DataFrame
    rows: pl.DataFrame
    words: list[str]
    notes: list[Note]


def tradeoff(rows: pl.DataFrame) -> alt.ConcatChart:
    """Robustness to rotations against robustness to PGD, a path per model over train ranges."""
    points = points_of(rows)
    click = layers.click_selection()
    adversaries = vocabulary.in_order(points.data["adversary"], vocabulary.ADVERSARIES)
    look = layers.model_encodings(points.data["model"], click)
    first, *others = (panel(points, adversary, look) for adversary in adversaries)
    return panels.figure(
        "Robustness to PGD against robustness to rotations",
        points.rows,
        [*points.words, *points.notes],
        [first.add_params(click), *others],
        points.data,
        legend=captions.POINTS,
        columns=2 if len(adversaries) <= 4 else 3,
        shared="xy",
    )


def all_variants(rows: pl.DataFrame) -> Comparable:
    """Rows of networks of every variant, trained alike."""
    return comparable(rows, all_variants=True)


def all_recipes(rows: pl.DataFrame) -> Comparable:
    """Rows of networks of one variant per model, trained alike but for the recipe."""
    rows, notes = one_variant(rows)
    rows, more = most_frequent(rows, [name for name in SETTING if name not in OF_TRAINING])
    rows, others = most_frequent(rows, OF_TRAINING[1:], ["recipe"])
    rows, eps = most_frequent(rows, ["adversary_eps"], ["adversary"])
    rows, attacks = attacked_alike(rows)
    return Comparable(rows, [*notes, *more, *others, *eps, *attacks])


def points_of(
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
    rows, robust_words = both_tests(rows)
    widest = float(rows.filter(attack="none")["test_rotation"][0])
    rows, more = alike(rows)
    remarks = [] if widest >= 180 else ["The whole circle (test_rotation 180) was not measured."]
    attacked = rows.filter(attack="pgd")
    usual = USUAL_EPS[attacked["threat"][0]]
    alike_rows, (rows, eps) = rows, nearest_eps(rows, usual)
    remarks += eps_remark(alike_rows, eps, usual)
    paths = [name for name in NETWORK if name != "train_rotation"]
    rows, ranges = thinning.thinned_to_fit(rows, "train_rotation", paths)
    notes += [*more, *ranges]
    data = joined(rows)
    if data.is_empty():
        raise NotMeasured(f"needs rows with attack none at test_rotation {widest:g} and with pgd")
    lacking = rows.filter(attack="pgd").join(data, on=NETWORK, how="anti")
    if count := lacking.select(NETWORK).n_unique():
        notes.append(f"{count} more kinds of network lack rows at test_rotation {widest:g}.")
    rotated = f"rotated by U[-{widest:g}, {widest:g}] degrees" if widest else "upright"
    words = [
        f"x: accuracy without attack, test images {rotated}. "
        f"y: accuracy under PGD at eps {eps:g}{captions.ball(attacked)}, {robust_words}.",
        *networks_drawn(data, rows),
        *remarks,
    ]
    return Points(with_variants(data), rows, words, notes)


def networks_drawn(data: pl.DataFrame, rows: pl.DataFrame) -> list[str]:
    """Which variants are drawn, and with which eps the adversaries trained."""
    main = main_variants(data)
    hollow = not data.filter(~of_variants(main)).is_empty()
    several = {model: variant for model, variant in main.items() if variant or hollow}
    named = phrases.listed([phrases.kind(model, variant) for model, variant in several.items()])
    words = [f"Variants: {named}."] if named else []
    words += [captions.Key("Hollow: other variants.")] if hollow else []
    adversaries = rows.filter(pl.col("adversary") != "none")
    strengths = adversaries.select("adversary", "adversary_eps").unique().sort(pl.all())
    words += [f"Adversary {name}: eps {eps:g} in training." for name, eps in strengths.iter_rows()]
    return words


def both_tests(rows: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """Of networks measured under PGD the rows without attack at the widest test range, and those
    under PGD at one kind of test range, which the words name."""
    clean = where(rows, "attack none", pl.col("attack") == "none")
    pgd = where(rows, "attack pgd, eps > 0", pl.col("attack") == "pgd", pl.col("eps") > 0)
    pgd, words = one_test_rotation(pgd)
    clean = clean.join(pgd, on=NETWORK, how="semi", maintain_order="left")
    if clean.is_empty():
        raise NotMeasured("needs rows with attack none of the networks measured under attack pgd")
    widest = pl.col("test_rotation") == pl.col("test_rotation").max()
    return pl.concat([clean.filter(widest), pgd]), words


def one_test_rotation(pgd: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """Rows whose test range is the training range or, if more networks were measured so, none."""
    same = pgd.filter(pl.col("test_rotation") == pl.col("train_rotation"))
    upright = pgd.filter(pl.col("test_rotation") == 0)
    if same.is_empty() and upright.is_empty():
        raise NotMeasured("needs rows with attack pgd at test_rotation 0 or = train_rotation")
    if same.select(NETWORK).n_unique() >= upright.select(NETWORK).n_unique():
        return same, "test images rotated as in training"
    return upright, "test images upright"


def joined(rows: pl.DataFrame) -> pl.DataFrame:
    """Clean and robust accuracy of each kind of network that has both."""
    sides = []
    for prefix, attacked in (("clean_", False), ("robust_", True)):
        side = rows.filter((pl.col("attack") == "pgd") == attacked)
        conditions = ["attack", "eps", "eps_unit", "threat"] if attacked else []
        names = {c: prefix + c for c in ("test_rotation", *SUMMARY) if c != "flags"}
        measured = summary(side, [*NETWORK, "test_rotation", *conditions]).rename(names)
        sides.append(measured if attacked else measured.drop("flags"))
    return sides[0].join(sides[1], on=NETWORK, how="inner").sort(NETWORK)


def with_variants(data: pl.DataFrame) -> pl.DataFrame:
    """Adds whether a point is of another variant than the main one of its model (`_hollow`)."""
    return data.with_columns(_hollow=~of_variants(main_variants(data)))


def panel(points: Points, adversary: str, look: Mapping[str, Any]) -> alt.LayerChart:
    """The networks trained with one adversary; a path per model and variant, by train range."""
    name, only = vocabulary.ADVERSARIES[adversary], {"adversary": adversary}
    shown, size = panels.within(points.data, only), layers.sized(points.data)
    marks = layers.scatter(shown, *both_axes(points), look, tips(points.data), size)
    return panels.panel(marks, name, only, subtitle=[FITTED])


def tips(data: pl.DataFrame) -> list[alt.Tooltip]:
    """What is said of a network."""
    return tooltips.tooltip(data, NETWORK, ["clean_accuracy", "robust_accuracy"], "robust_n")


def both_axes(points: Points) -> tuple[layers.Ranged, layers.Ranged]:
    """The encodings of accuracy without attack (x) and under PGD (y)."""
    widest = points.rows.filter(attack="none")["test_rotation"].to_list()[0]
    title = f"Accuracy, images {f'rotated by up to ±{widest:g}°' if widest else 'upright'}"
    ball = captions.ball(points.rows.filter(attack="pgd"))
    robust = f"Accuracy under PGD at eps {points.data['eps'][0]:g}{ball}"
    return (
        layers.ranged(scales.share, alt.X, "clean_accuracy", title),
        layers.ranged(scales.share, alt.Y, "robust_accuracy", robust),
    )
