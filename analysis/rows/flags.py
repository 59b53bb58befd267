"""Why a network's accuracy under attack is not to be believed: the checks that it fails.

Most checks are measured (the table `diagnostics`); two follow from other rows. What a failed check
means differs (Carlini et al. 2019, section 5; Athalye et al. 2018, section 3.1). That more starts
or steps, or another loss, break more images says that this attack is too weak for this network: a
stronger one is not touched by that. That one step beats many, or that noise, a search without
gradients or another network's images break what gradients do not, says that gradients of this
network mean little: then no attack that follows them can be believed. `strong` can if it noticed
that itself, since it then spends all of Square's budget, which needs no gradient. It can, too,
where only the cross-entropy has no gradient that single precision can hold, as it has where a
network is certain of its class (Croce and Hein 2020, section 4): `strong` follows margins, which
have one, and compares it with their slope at every image.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import polars as pl

from analysis.rows.conditions import BY_PROTOCOL
from analysis.rows.phrases import listed
from rotgrid.spec.overfitting import overfitted_epochs

SAME_IMAGES = (
    *("trial", "test_rotation", "test_translation", "n_images", "eps", "eps_unit", "threat"),
)
"""Rows with equal values attack the same images within the same ball."""
MOST_TRANSFERRED = 0.002
"""Share of images that may be broken by another network's images and not by PGD."""
MOST_LOST = 0.5
"""Share of the best robust accuracy that a later epoch may have lost."""
ATTACK = pl.col("attack")
WITHOUT_GRADIENTS = ("noise", "sign-noise", "class-means", "square", "transfer")
"""Attacks on pixels that follow no gradient of the network."""
NOTICED = ("no_gradient", "square_only")
"""Columns in which `strong` says of how many images gradients mean little."""
SEARCHED = (ATTACK == "strong") & pl.any_horizontal(
    (pl.col(name) > 0).fill_null(False) for name in NOTICED
)
"""Whether `strong` noticed that gradients mean little, and spent all of Square's budget."""
OF_CROSS_ENTROPY = ("float64", "zero-gradient")
"""Checks of the gradient of the cross-entropy alone."""
COMPARED = (ATTACK == "strong") & pl.col("no_gradient").is_not_null()
"""Whether `strong` compared the gradients of margins with their slope."""


class Meaning(NamedTuple):
    """What a failed check says: of which attacks, in words, and against which rows."""

    attacks: str
    rows: pl.Expr


ANY = Meaning("any attack", pl.lit(True))
GRADIENTS = Meaning("attacks by gradients", ~ATTACK.is_in(WITHOUT_GRADIENTS))
PGD, FMN = Meaning("PGD", ATTACK == "pgd"), Meaning("FMN", ATTACK == "fmn")
MEANINGS: Mapping[str, Meaning] = {
    "repeat": ANY,
    **dict.fromkeys(("float64", "zero-gradient", "fgsm-not-pgd"), GRADIENTS),
    **dict.fromkeys(("rising-with-eps", "large-eps"), GRADIENTS),
    "twice-the-steps": FMN,
    **dict.fromkeys(("twice-the-restarts", "margin-not-ce"), PGD),
    **dict.fromkeys(("noise-not-gradients", "square-not-gradients"), GRADIENTS),
    **dict.fromkeys(("transfer", "overfitting"), GRADIENTS),
}
"""What each check says; one of another version says that gradients mean little."""
FAILED = {"trial": pl.String, "check": pl.String, "value": pl.Float64, "limit": pl.Float64}


def failed(rows: pl.DataFrame, diagnostics: pl.DataFrame, training: pl.DataFrame) -> pl.DataFrame:
    """A row per (trial, failed check) with the largest `value` and its `limit`, sorted."""
    measured = diagnostics.filter(~pl.col("passed")).select(*FAILED)
    found = pl.concat([measured, transferred(rows), overfitted(training)])
    keys = ["trial", "check"]
    worst_first = found.sort(*keys, "value", descending=[False, False, True])  # NaN is largest
    return worst_first.unique(keys, keep="first", maintain_order=True)


def flagged(
    networks: pl.DataFrame, failed: pl.DataFrame, diagnostics: pl.DataFrame
) -> pl.DataFrame:
    """Networks with a column `flags`: all checks that each fails, joined by ", ".

    It is empty if the trial passed all checks, and null if none failed and `diagnostics` were
    never measured.
    """
    checked = diagnostics.select("trial").unique().with_columns(_passed=pl.lit(""))
    joined = failed.group_by("trial").agg(flags=pl.col("check").str.join(", "))
    for table in (checked, joined):
        networks = networks.join(table, on="trial", how="left", maintain_order="left")
    return networks.with_columns(pl.coalesce("flags", "_passed")).drop("_passed")


def against_rows(
    rows: pl.DataFrame, failed: pl.DataFrame, diagnostics: pl.DataFrame
) -> pl.DataFrame:
    """Of each row of evaluations: `flags`, the failed checks of its network that speak against
    it (`MEANINGS`), joined by ", ", and `cautions`, those that would but for `SEARCHED` or
    `COMPARED`.

    Both are empty without an attack on pixels, and null of networks that were never checked.
    """
    against, despite = [pl.lit(None, pl.String)], [pl.lit(None, pl.String)]
    for (check,), part in failed.sort("check").group_by("check", maintain_order=True):
        meaning = MEANINGS.get(str(check), GRADIENTS)
        fails = pl.col("trial").is_in(part["trial"].implode()) & meaning.rows & (pl.col("eps") > 0)
        kept = (SEARCHED & (meaning is GRADIENTS)) | (COMPARED & (check in OF_CROSS_ENTROPY))
        against.append(pl.when(fails & ~kept).then(pl.lit(check)))
        despite.append(pl.when(fails & kept).then(pl.lit(check)))
    checked = pl.concat([failed["trial"], diagnostics["trial"]]).unique().implode()
    return rows.select(
        pl.when(pl.col("trial").is_in(checked))
        .then(pl.concat_str(checks, separator=", ", ignore_nulls=True))
        .alias(name)
        for name, checks in (("flags", against), ("cautions", despite))
    )


def attacks_not_believed(checks: Iterable[str]) -> str:
    """`PGD (margin-not-ce, twice-the-restarts) and FMN (twice-the-steps)`."""
    named: dict[str, list[str]] = {}
    for check in checks:
        named.setdefault(MEANINGS.get(check, GRADIENTS).attacks, []).append(check)
    return listed([f"{attacks} ({', '.join(each)})" for attacks, each in named.items()])


def transferred(rows: pl.DataFrame) -> pl.DataFrame:
    """Check `transfer`: the share of images that another network's images break, and PGD on the
    network itself, whatever its steps, starts and loss, does not."""
    usable = rows.filter(
        pl.col("correct").is_not_null(), pl.col("label_rule") == "true", BY_PROTOCOL
    )
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
        for _, share in overfitted_epochs(epochs.iter_rows(named=True))
    ]
    return pl.DataFrame(lost, schema=FAILED, orient="row")
