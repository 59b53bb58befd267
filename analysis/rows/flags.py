"""Why a network's accuracy under attack is not to be believed: the checks that it fails.

Most checks are measured (the table `diagnostics`); two follow from other rows.
"""

from collections.abc import Iterator

import polars as pl

from rotgrid.spec.recipes import robustness_lost

SAME_IMAGES = ("trial", "test_rotation", "test_translation", "n_images", "eps", "eps_unit")
"""Rows with equal values attack the same images within the same ball."""
MOST_TRANSFERRED = 0.002
"""Share of images that may be broken by another network's images and not by PGD."""
MOST_LOST = 0.5
"""Share of the best robust accuracy that a later epoch may have lost."""
FAILED = {"trial": pl.String, "check": pl.String, "value": pl.Float64, "limit": pl.Float64}


def failed(rows: pl.DataFrame, diagnostics: pl.DataFrame, training: pl.DataFrame) -> pl.DataFrame:
    """A row per (trial, failed check) with the largest `value` and its `limit`, sorted."""
    measured = diagnostics.filter(~pl.col("passed")).select(*FAILED)
    found = pl.concat([measured, transferred(rows), overfitted(training)])
    keys = ["trial", "check"]
    worst_first = found.sort(*keys, "value", descending=[False, False, True])  # NaN is largest
    return worst_first.unique(keys, keep="first", maintain_order=True)


def flagged(rows: pl.DataFrame, failed: pl.DataFrame, diagnostics: pl.DataFrame) -> pl.DataFrame:
    """Rows, or networks, with a column `flags`: the failed checks of the trial, joined by ", ".

    It is empty if the trial passed all checks, and null if none failed and `diagnostics` were
    never measured.
    """
    checked = diagnostics.select("trial").unique().with_columns(_passed=pl.lit(""))
    joined = failed.group_by("trial").agg(flags=pl.col("check").str.join(", "))
    for table in (checked, joined):
        rows = rows.join(table, on="trial", how="left", maintain_order="left")
    return rows.with_columns(pl.coalesce("flags", "_passed")).drop("_passed")


def transferred(rows: pl.DataFrame) -> pl.DataFrame:
    """Check `transfer`: the share of images that another network's images break, and PGD on the
    network itself, whatever its steps, starts and loss, does not."""
    usable = rows.filter(pl.col("correct").is_not_null(), pl.col("label_rule") == "true")
    left: dict[tuple[object, ...], int] = {}
    for same, _, survived in _bits(usable.filter(attack="pgd")):
        left[same] = left.get(same, survived) & survived
    shares = [
        (same[0], "transfer", (left[same] & ~survived).bit_count() / n, MOST_TRANSFERRED)
        for same, n, survived in _bits(usable.filter(attack="transfer"))
        if same in left
    ]
    found = pl.DataFrame(shares, schema=FAILED, orient="row")
    return found.filter(pl.col("value") > pl.col("limit"))


def _bits(rows: pl.DataFrame) -> Iterator[tuple[tuple[object, ...], int, int]]:
    for *same, n, correct in rows.select(*SAME_IMAGES, "n", "correct").iter_rows():
        yield tuple(same), n, int.from_bytes(correct)


def overfitted(training: pl.DataFrame) -> pl.DataFrame:
    """Check `overfitting`: the share of the best robust accuracy that a later epoch has lost."""
    watched = training.drop_nulls("val_robust_n").sort("trial", "epoch")
    lost = [
        (epochs["trial"][0], "overfitting", share, MOST_LOST)
        for epochs in watched.partition_by("trial", maintain_order=True)
        for _, share in robustness_lost(epochs.iter_rows(named=True))
    ]
    return pl.DataFrame(lost, schema=FAILED, orient="row")
