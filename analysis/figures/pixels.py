"""Figures 4 to 8 of the paper: FGSM and PGD on networks trained with rotations."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from analysis.figures import captions, layers, panels
from analysis.figures.panels import against_rotation, figure
from analysis.rows import phrases, selection, vocabulary
from analysis.rows.conditions import (
    ATTACKED,
    BOTH_X,
    NO_ADVERSARY,
    PAPER_EPS,
    PAPERS_PAIR,
    SAME_RANGE,
    TABLE1,
    TIPS,
    eps_remark,
    nearest_adversary,
    nearest_eps,
)
from analysis.rows.notes import Note
from analysis.rows.selection import comparable, where
from analysis.stats.summary import summary

PAIRS = {
    "As in Table 1": TABLE1,
    "StdCNN double, GCNN half width": PAPERS_PAIR,
    "Equal parameters": {"stdcnn": "matched-table1", "gcnn": "table1"},
}
"""The panels of Figures 4 to 6. The paper calls the second pair equivalent in parameters; the
third is, and is shown where it was measured."""
PAPERS_PAIRS = list(PAIRS)[:2]


def figure04(rows: pl.DataFrame) -> alt.ConcatChart:
    """FGSM against the range of rotations in training and test, without adversarial training."""
    question = "Accuracy under FGSM at eps {eps:g} against rotation"
    return in_pairs(rows, "none", "fgsm", question)


def figure05(rows: pl.DataFrame) -> alt.ConcatChart:
    """Trained with FGSM, tested without attack."""
    question = "Accuracy without attack against rotation, trained with FGSM"
    return in_pairs(rows, "fgsm", "none", question)


def figure06(rows: pl.DataFrame) -> alt.ConcatChart:
    """Trained with FGSM and tested with FGSM."""
    question = "Accuracy under FGSM at eps {eps:g} against rotation, trained with FGSM"
    return in_pairs(rows, "fgsm", "fgsm", question)


def in_pairs(rows: pl.DataFrame, adversary: str, attack: str, question: str) -> alt.ConcatChart:
    """StdCNN against GCNN over the range of rotations, a panel per pair of variants."""
    needs = f"attack {attack}, train_rotation = test_rotation, adversary {adversary}"
    asked = pl.col("attack") == attack, SAME_RANGE, pl.col("adversary") == adversary
    pairs = {name: selection.of_variants(pair) for name, pair in PAIRS.items()}
    rows = where(rows, f"{needs}, {variants(PAIRS)}", *asked, pl.any_horizontal(pairs.values()))
    words, eps = [captions.NO_ADVERSARY], PAPER_EPS
    if adversary != "none":
        rows, eps = nearest_adversary(rows, needs)
        words = [f"Adversary in training: FGSM at eps {eps:g}.", *adversary_remark(eps)]
    rows, notes = comparable(rows, all_variants=True)
    if attack != "none":
        every, wanted = rows, eps
        rows, eps = nearest_eps(every, wanted)
        words += eps_remark(every, eps, wanted)
    selection.at_least_two(rows, "train_rotation", needs)
    frames = {
        name: summary(rows.filter(pair), [*TIPS, *ATTACKED]).with_columns(pair=pl.lit(name))
        for name, pair in pairs.items()
    }
    shown = [name for name, frame in frames.items() if drawable(name, frame)]
    notes += [
        f"Not measured: {name} ({variants([name])})." for name in PAPERS_PAIRS if name not in shown
    ]
    every_pair = pl.concat(frames.values())
    data = where(every_pair, f"{needs}, {variants(PAIRS)}", pl.col("pair").is_in(shown))
    look = layers.model_encodings(data["model"])
    how: dict[str, Any] = {"title": BOTH_X, "zoom": attack == "none"}
    drawn = []
    for name in shown:
        sizes = [parameters(rows, PAIRS[name])]
        drawn.append(against_rotation(name, data, look, only={"pair": name}, about=sizes, **how))
    return figure(question.format(eps=eps), rows, [*words, *notes], drawn, data)


def adversary_remark(eps: float) -> list[str]:
    """A remark if the adversary in training has another eps than the paper's."""
    nearest = f"was not measured: the nearest that was, {eps:g}, is shown."
    return [] if eps == PAPER_EPS else [f"The paper's eps {PAPER_EPS} in training {nearest}"]


def drawable(name: str, frame: pl.DataFrame) -> bool:
    """Whether there is one network of a pair of the paper, or both of the other."""
    return frame["model"].n_unique() > (0 if name in PAPERS_PAIRS else 1)


def variants(pairs: Sequence[str] | Mapping[str, Any]) -> str:
    """`stdcnn doubled and gcnn halved`, or other pairs."""
    return ", or ".join(
        phrases.listed([phrases.kind(*each) for each in PAIRS[name].items()]) for name in pairs
    )


def parameters(rows: pl.DataFrame, pair: Mapping[str, str]) -> str:
    """`StdCNN 23,010 and GCNN 60,000 parameters`, of those that were measured."""
    sizes = rows.filter(selection.of_variants(pair)).group_by("model").agg("parameters")
    counts = dict(sizes.iter_rows())
    words = [
        f"{vocabulary.LABELS[model]} {phrases.span(pl.Series(counts[model]))}"
        for model in pair
        if model in counts
    ]
    return f"{phrases.listed(words)} parameters"


def figure07(rows: pl.DataFrame) -> alt.ConcatChart:
    """No attack, FGSM and PGD against the range of rotations: each network, and both under PGD."""
    needs = "model stdcnn or gcnn, attack fgsm or pgd, train_rotation = test_rotation"
    rows, notes = comparable(of_pair(rows, needs, pl.col("model").is_in(["stdcnn", "gcnn"])))
    papers = selection.of_variants(PAPERS_PAIR)
    where(rows, f"{needs}, other than {variants(PAPERS_PAIRS[1:])} of Figure 8", ~papers)
    return by_attack(rows, needs, notes)


def figure08(rows: pl.DataFrame) -> alt.ConcatChart:
    """Figure 7 of the pair that the paper calls equivalent in parameters."""
    name = PAPERS_PAIRS[1]
    needs = f"{variants([name])}, attack fgsm or pgd, train_rotation = test_rotation"
    chosen = of_pair(rows, needs, selection.of_variants(PAIRS[name]))
    rows, notes = comparable(chosen, all_variants=True)
    return by_attack(rows, needs, [f"{name}: {parameters(rows, PAIRS[name])}.", *notes])


def of_pair(rows: pl.DataFrame, needs: str, pair: pl.Expr) -> pl.DataFrame:
    """The rows of two networks without attack, under FGSM and under PGD."""
    shown = pl.col("attack").is_in(["none", "fgsm", "pgd"])
    return where(rows, needs, pair, shown, SAME_RANGE, NO_ADVERSARY)


def by_attack(rows: pl.DataFrame, needs: str, notes: Sequence[Note]) -> alt.ConcatChart:
    """A panel per network with a line per attack, and one of both networks under PGD."""
    every, (rows, eps) = rows, nearest_eps(rows, PAPER_EPS)
    data = summary(selection.at_least_two(rows, "train_rotation", needs), [*TIPS, *ATTACKED])
    attacks = vocabulary.in_order(data["attack"], vocabulary.ATTACKS)
    names = {name: vocabulary.ATTACKS[name] for name in attacks}
    dash = layers.dash_encoding("attack", names)
    look = layers.model_encodings(data["model"]) | {"strokeDash": dash}
    wanted: list[tuple[str, dict[str, Any]]] = [
        (vocabulary.LABELS[model], {"model": model}) for model in ("stdcnn", "gcnn")
    ]
    wanted.append(("PGD: StdCNN against GCNN", {"attack": "pgd"}))
    drawn = [
        against_rotation(name, data, look, only=only, title=BOTH_X, width=250)
        for name, only in wanted
        if panels.within(data, only).height
    ]
    lacking = [name for name, only in wanted[:2] if panels.within(data, only).is_empty()]
    lacking += [] if "none" in names else [vocabulary.ATTACKS["none"]]
    lacking += [
        f"{vocabulary.ATTACKS[name]} at eps {eps:g}"
        for name in ("fgsm", "pgd")
        if name not in names
    ]
    notes = [*eps_remark(every, eps), *notes, *(f"Not measured: {name}." for name in lacking)]
    return figure(compared(names, eps), rows, [captions.NO_ADVERSARY, *notes], drawn, data)


def compared(attacks: Collection[str], eps: float) -> str:
    """What Figures 7 and 8 show of the attacks that were measured."""
    names = [vocabulary.ATTACKS[attack] for attack in attacks if attack != "none"]
    return f"Accuracy under {phrases.listed(names)} at eps {eps:g} against rotation"
