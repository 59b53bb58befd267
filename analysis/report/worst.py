"""A table: the worst case over rotations and shifts of each image, beside random ones."""

import polars as pl

from analysis.rows.conditions import BY_PROTOCOL, SPATIAL
from analysis.rows.datasets import OF_PAPER
from analysis.rows.selection import Comparable, attacked_alike, trained_alike, where
from analysis.stats.summary import of_classes, summary

RANGE = ("test_rotation", "test_translation")
CONDITIONS = ("model", "variant", "adversary", "train_rotation", "attack", *RANGE)
ATTACKED = pl.col("attack").is_in(SPATIAL)
READS = ATTACKED | (pl.col("attack") == "none")
MEASURES = ("accuracy", "lower", "upper", "interval", "n")
WORDS = (
    "Average: every image under one random rotation and shift, where that was measured. Worst: an "
    "image counts as correct only if no rotation or shift that is tried misleads the network. Of "
    "digits a 6 that is rotated by more than 90 degrees may become a 9: the last column leaves "
    "both out. Means over seeds, with their 95% intervals."
)


def worst_case(rows: pl.DataFrame) -> Comparable:
    """A row per kind of network, attack and range, and notes on what was left out.

    Raises:
        NotMeasured: no attack rotated or shifted images.
    """
    spatial = as_tried(where(rows, f"attack {' or '.join(SPATIAL)}", ATTACKED))
    same = ["trial", *RANGE]
    clean = rows.filter(BY_PROTOCOL, attack="none")
    clean = clean.join(spatial, on=same, how="semi", maintain_order="left")
    both, notes = trained_alike(pl.concat([clean, spatial]))
    both, more = attacked_alike(both)
    worst = both.filter(ATTACKED)
    average = both.filter(~ATTACKED).drop("attack").join(worst.select(*same, "attack"), on=same)
    table = summary(worst, CONDITIONS).select(*CONDITIONS, "seeds")
    for prefix, tested, columns in (
        ("average_", average, MEASURES),
        ("worst_", worst, MEASURES),
        ("eight_", of_classes(worst.filter(OF_PAPER)), MEASURES[:1]),
    ):
        names = {prefix + name: name for name in columns}
        measured = summary(tested, CONDITIONS).select(*CONDITIONS, **names)
        table = table.join(measured, on=CONDITIONS, how="left", maintain_order="left")
    return Comparable(table, [*notes, *more])


def as_tried(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with a range of 0 where the attack does not use it, and each measurement once."""
    for attack, unused in (
        ("translation-grid", "test_rotation"),
        ("rotation-grid", "test_translation"),
    ):
        used = pl.when(pl.col("attack") != attack).then(unused).otherwise(0.0)
        rows = rows.with_columns(used.alias(unused))
    return rows.unique(["trial", "attack", *RANGE, "n_images"], keep="first", maintain_order=True)
