"""Networks ranked by what the rows have; those that cannot be told apart share a rank."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from analysis.question import fields as of_fields
from analysis.question.outcomes import CLEAN_WORDS, PROTOCOL, headline, most_frequent
from analysis.rows import versions, vocabulary
from analysis.rows.conditions import CLEAN, SAME_RANGE
from analysis.rows.phrases import listed
from analysis.rows.scan import TRIAL
from analysis.rows.selection import NotMeasured
from analysis.stats.multiple_testing import holm
from analysis.stats.paired import Bits, contrast
from analysis.stats.seeds import FEWEST
from analysis.stats.summary import summary

MOST_NETWORKS = 100
"""Kinds of networks that are ranked; more are counted."""
ALPHA = 0.05
SETTINGS = (*PROTOCOL, "mode", "test_translation")
"""How networks are tested, besides rotations: all alike."""
LAST = ("parameters", "train_seconds", "seeds", "n", "flags")
"""Columns after the accuracies."""
ALONE = "Not ranked: fewer than two kinds of networks were measured upright or as trained."
CONVENTIONS = ("loss", "label_rule", "clip", "mode")
"""Of these what is said if they are not as usual."""
UPRIGHT_TESTS = pl.col("test_rotation") == 0
WORST = pl.col("attack") == "rotation-grid"


class Leaderboard(NamedTuple):
    """A row per kind of network, the best first, and what its columns mean."""

    table: pl.DataFrame
    words: str


def leaderboard(rows: pl.DataFrame, epochs: pl.DataFrame | None = None) -> Leaderboard | None:
    """Kinds of networks by robust accuracy, or by accuracy without attack if nothing was attacked;
    None if fewer than two kinds were measured so, upright or as trained. Unless half of them were
    attacked alike, the latter counts. Networks of each data set have ranks of their own. `epochs`
    is the table of training.

    A network shares the rank of a better one if its paired difference, or that of a network
    between or behind, cannot be told from 0 (Holm over all pairs, 95 %; below three seeds this
    holds for these networks only, as `words` then says). Networks that fail checks have no rank.
    """
    newest = versions.newest_versions(rows) if versions.mixed(rows) else rows
    fields = of_fields.with_fields(newest)
    if fields.is_empty():
        return None
    names = [n for n in of_fields.varied(fields) if n in TRIAL] or ["model"]
    names.sort(key=lambda name: name != "data")
    sets = vocabulary.in_order(fields["data"], vocabulary.DATA)
    found = {name: _of_data(fields.filter(data=name), names, epochs) for name in sets}
    boards = [board for board in found.values() if board]
    if len(sets) == 1 or not boards:
        return boards[0] if boards else None
    said = {name: board.words if board else ALONE for name, board in found.items()}
    words = ["Each data set has ranks of its own."]
    for same in dict.fromkeys(said.values()):
        alike = [vocabulary.DATA[name] for name in sets if said[name] == same]
        words.append(f"{listed(alike)}: {same}")
    table = pl.concat((board.table for board in boards), how="diagonal")
    last = [column for column in LAST if column in table.columns]
    return Leaderboard(table.select(pl.exclude(last), *last), " ".join(words))


def _of_data(
    fields: pl.DataFrame, names: Sequence[str], epochs: pl.DataFrame | None
) -> Leaderboard | None:
    """The leaderboard of one data set, with a column for each name."""
    top = headline(fields)
    attacked = (pl.col("attack") == top.attack) & (pl.col("eps") == top.eps) if top else CLEAN
    measured = {"robust": fields.filter(attacked), "clean": fields.filter(CLEAN)}
    parts = {name: most_frequent(part, SETTINGS) for name, part in measured.items()}
    if not top or 2 * parts["robust"]["arm"].n_unique() < fields["arm"].n_unique():
        top, parts = None, {"clean": parts["clean"], **(parts if top else {})}
    best = next(iter(parts))
    test, of_test = _test(parts[best])
    parts = {name: once(part.filter(test)) for name, part in parts.items()}
    if parts[best].is_empty():
        return None
    parts["rotated"], of_rotated = _rotated(fields)
    table = _measured(fields, names, parts, _seconds(epochs))
    table = table.drop_nulls(f"{best}_accuracy").head(MOST_NETWORKS)
    if table.height < 2:
        return None
    rank = pl.Series("rank", _ranks(table, parts[best]), pl.Int64)
    how, left_out = _protocol(parts[best], measured[best].filter(test))
    by = f"Ranked by accuracy {top.words if top else CLEAN_WORDS}{how}, images {of_test}."
    words = [by, left_out, of_rotated, _reach(table)]
    return Leaderboard(table.drop("arm").insert_column(0, rank), " ".join(filter(None, words)))


def once(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per network and seed, all of a kind of network on the same number of images: the
    largest."""
    kept = rows.sort("n", descending=True).unique(["arm", "seed"], keep="first")
    return kept.filter(pl.col("n") == pl.col("n").max().over("arm")).sort("arm", "seed")


def _test(rows: pl.DataFrame) -> tuple[pl.Expr, str]:
    """The test range that most kinds of networks have: that of their training, or none."""
    same, upright = (rows.filter(one)["arm"].n_unique() for one in (SAME_RANGE, UPRIGHT_TESTS))
    if same >= upright:
        return SAME_RANGE, "rotated as in training"
    return UPRIGHT_TESTS, "upright"


def _protocol(kept: pl.DataFrame, rows: pl.DataFrame) -> tuple[str, str]:
    """How the kept rows are tested, if not as usual, and what other rows there were."""
    given = kept.select(SETTINGS).row(0, named=True)
    words = vocabulary.special({name: given[name] for name in CONVENTIONS})
    words += [f"eps in {vocabulary.EPS_UNITS[u]}" for u in [given["eps_unit"]] if u != "pixel"]
    words += [f"shifted by up to {t:g} pixels" for t in [given["test_translation"]] if t]
    others = [
        f"{name} {of_fields.said(name, value)}"
        for name in SETTINGS
        for value in rows[name].unique().sort()
        if value != given[name]
    ]
    how = f" ({', '.join(words)})" if words else ""
    return how, f"Left out: rows with {listed(others)}." if others else ""


def _rotated(fields: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """The rows of the widest worst rotation or, unless half of the networks have it, without
    attack at the widest test range."""
    every = fields["arm"].n_unique()
    for which, words in ((WORST, "the worst of all tried rotations"), (CLEAN, "random rotations")):
        part = fields.filter(which)
        degrees = max(part["test_rotation"], default=0.0)
        part = part.filter(pl.col("test_rotation") == degrees)
        if degrees and 2 * part["arm"].n_unique() >= every:
            alike = most_frequent(part, SETTINGS)
            return once(alike), f"Rotated: {words} in \u00b1{degrees:g} degrees."
    return fields.clear(), ""


def _measured(
    fields: pl.DataFrame,
    names: Sequence[str],
    parts: Mapping[str, pl.DataFrame],
    seconds: pl.DataFrame,
) -> pl.DataFrame:
    """A row per kind of network with each accuracy and its interval, its size and time, sorted by
    the first accuracy; those that fail checks last."""
    kinds = fields.join(seconds, on="trial", how="left").group_by("arm", *names)
    table = kinds.agg(pl.col("parameters").max(), pl.col("train_seconds").mean())
    best = next(iter(parts))
    for prefix, part in parts.items():
        if part.is_empty():
            continue
        measures = {f"{prefix}_{name}": name for name in ("accuracy", "lower", "upper")}
        more = ["seeds", "n", "flags"] if prefix == best else []
        measured = summary(part, ["arm"]).select("arm", *more, **measures)
        table = table.join(measured, on="arm", how="left", maintain_order="left")
    last = [column for column in LAST if column in table.columns]
    table = table.select(pl.exclude(last), *last)
    table = table.select([c for c in table.columns if table[c].null_count() < table.height])
    flagged = pl.col("flags").fill_null("") != ""
    return table.sort(flagged, -pl.col(f"{best}_accuracy"), *names, nulls_last=True)


def _seconds(epochs: pl.DataFrame | None) -> pl.DataFrame:
    """Seconds of training of each network, its epochs summed."""
    if epochs is None or epochs.is_empty():
        schema = {"trial": pl.String(), "train_seconds": pl.Float64()}
        return pl.DataFrame(schema=schema)
    return epochs.group_by("trial").agg(train_seconds=pl.col("seconds").sum())


def _ranks(table: pl.DataFrame, rows: pl.DataFrame) -> list[int | None]:
    """The rank of each row of a sorted table."""
    bits = {arm: _bits(part) for (arm,), part in rows.group_by("arm")}
    believed = table.filter(pl.col("flags").fill_null("") == "")["arm"].to_list()
    found = dict(zip(believed, ranks([bits[arm] for arm in believed]), strict=True))
    return [found.get(arm) for arm in table["arm"]]


def ranks(networks: Sequence[Bits]) -> list[int]:
    """The ranks of kinds of networks, the best first. Who leads is seen in the data, so that p is
    adjusted for all pairs: any two could have been compared."""
    found: list[int] = []
    pairs = len(networks) * (len(networks) - 1) // 2
    while len(found) < len(networks):
        leader, *others = networks[len(found) :]
        p = holm([_p(leader, other) for other in others], pairs)
        tied = max((place for place, one in enumerate(p, 1) if one >= ALPHA), default=0)
        found += [len(found) + 1] * (tied + 1)
    return found


def _reach(table: pl.DataFrame) -> str:
    """What ranks do not say where there are few seeds."""
    if table["seeds"].min() >= FEWEST:  # type: ignore[operator]
        return ""
    return (
        "Where there are fewer than three seeds, ranks are of these networks only: trained with "
        "other seeds they may rank otherwise."
    )


def _bits(rows: pl.DataFrame) -> Bits:
    return {
        seed: np.unpackbits(np.frombuffer(correct, dtype=np.uint8), count=n).astype(float)
        for seed, n, correct in rows.select("seed", "n", "correct").iter_rows()
    }


def _p(leader: Bits, other: Bits) -> float:
    """The two-sided p of no difference; 1 where no seed is common, so that nothing is known."""
    try:
        one = contrast([(1.0, leader, "leader"), (-1.0, other, "other")])
    except NotMeasured:
        return 1.0
    return min(1.0, 2 * min(one.p_above(), one.p_below()))
