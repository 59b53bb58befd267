"""Figures 9 to 11 of the paper: accuracy under FGSM and PGD against eps, and beside them under
attacks of the user's own."""

import altair as alt
import polars as pl

from analysis.figures import captions, layers, panels, scales, theme, thinning
from analysis.figures.panels import against_rotation, figure
from analysis.rows import phrases, selection, vocabulary
from analysis.rows.conditions import (
    ATTACKED,
    BOTH_X,
    CLEAN,
    NO_ADVERSARY,
    OWN_ATTACK,
    PAPER_EPS,
    SAME_RANGE,
    eps_remark,
    nearest_eps,
)
from analysis.rows.notes import Note
from analysis.rows.selection import NotMeasured, comparable, where
from analysis.stats.summary import summary

PAPERS = ("fgsm", "pgd")
"""The attacks of the paper."""
RANGES = "Rotation"
"""Of training and of tests alike."""
MOST_LINES, MOST_EPS = 12, 30
"""Of a panel over eps: ranges that have a line, and points of a line."""


def figure09(rows: pl.DataFrame) -> alt.ConcatChart:
    """RotEqNet under FGSM and PGD: against the range of rotations, and against eps."""
    rows, data, notes = against_strength(rows, "roteqnet")
    _, eps = nearest_eps(rows, PAPER_EPS)
    data = data.with_columns(test_rotation="train_rotation")
    attacks = vocabulary.in_order(data["attack"], vocabulary.ATTACKS)
    only = {"eps": eps, "attack": attacks}
    drawn = []
    shown = panels.within(data, only)
    if shown["train_rotation"].n_unique() > 1:
        names = {attack: vocabulary.ATTACKS[attack] for attack in attacks}
        look = {
            "color": alt.value(theme.LOOKS["roteqnet"].colour),
            "strokeDash": layers.dash_encoding("attack", names),
        }
        name = f"{phrases.listed(list(names.values()))} at eps {eps:g}"
        drawn.append(against_rotation(name, shown, look, only=only, title=BOTH_X, width=250))
    else:
        notes.append("Not measured: two ranges of rotations at one eps.")
    drawn += [panel(data, attack, width=250) for attack in attacks]
    question = (
        f"Accuracy of RotEqNet under {phrases.listed([vocabulary.ATTACKS[a] for a in attacks])}"
    )
    words = [*eps_remark(rows, eps), *notes]
    return figure(question, rows, words, drawn, data, selectable=False)


def figure10(rows: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy of StdCNN against eps, a line per range of rotations."""
    return accuracy_against_eps(rows, "stdcnn")


def figure11(rows: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy of GCNN against eps, a line per range of rotations."""
    return accuracy_against_eps(rows, "gcnn")


def accuracy_against_eps(rows: pl.DataFrame, model: str) -> alt.ConcatChart:
    """FGSM left, PGD right, then own attacks; a line per range that is trained and tested."""
    rows, data, words = against_strength(rows, model)
    attacks = vocabulary.in_order(data["attack"], vocabulary.ATTACKS)
    drawn = [panel(data, attack) for attack in attacks]
    label = vocabulary.LABELS[model]
    question = f"Accuracy of {label} against eps"
    return figure(question, rows, words, drawn, data, selectable=False)


def against_strength(
    rows: pl.DataFrame, model: str
) -> tuple[pl.DataFrame, pl.DataFrame, list[Note]]:
    """The rows of one model under FGSM, PGD and own attacks, what is drawn of them against eps,
    and words."""
    needs = f"model {model}, adversary none, train_rotation = test_rotation"
    shown = pl.col("attack").is_in(["none", *PAPERS]) | OWN_ATTACK
    rows = where(rows, needs, pl.col("model") == model, SAME_RANGE, NO_ADVERSARY, shown)
    rows, notes = comparable(rows)
    attacks = set(rows["attack"]) - {"none"}
    if not attacks:
        raise NotMeasured(f"needs rows with attack fgsm or pgd, {needs}")
    attacked = pl.concat(with_eps_zero(rows, attack) for attack in sorted(attacks))
    selection.at_least_two(attacked, "eps", f"attack fgsm or pgd, {needs}")
    attacked, lines = thinning.thinned(attacked, "train_rotation", MOST_LINES)
    _, papers = nearest_eps(rows, PAPER_EPS)
    attacked, points = thinning.thinned(attacked, "eps", MOST_EPS, [papers])
    data = summary(attacked, ["model", "variant", "train_rotation", *ATTACKED])
    notes += [f"Not measured: {vocabulary.ATTACKS[a]}." for a in PAPERS if a not in attacks]
    return rows, data, [captions.NO_ADVERSARY, *lines, *points, *notes]


def with_eps_zero(rows: pl.DataFrame, attack: str) -> pl.DataFrame:
    """The rows of the attack (there are some); where it was not measured at eps 0, those without
    attack."""
    attacked = rows.filter(pl.col("attack") == attack)
    unit, threat = attacked.select("eps_unit", "threat").row(0)
    clean = rows.filter(CLEAN).with_columns(
        attack=pl.lit(attack), eps=pl.lit(0.0), eps_unit=pl.lit(unit), threat=pl.lit(threat)
    )
    at_zero = attacked.filter(pl.col("eps") == 0)
    keys = ["trial", "test_rotation"]
    clean = clean.join(attacked, on=keys, how="semi", maintain_order="left")
    return pl.concat([attacked, clean.join(at_zero, on=keys, how="anti", maintain_order="left")])


def panel(data: pl.DataFrame, attack: str, width: int = theme.WIDTH) -> alt.LayerChart:
    """Accuracy against eps under one attack, a line per range of rotations."""
    x = eps_axis(data.filter(pl.col("attack") == attack))
    look = layers.shades("train_rotation", data["train_rotation"], RANGES)
    told = ["model", "variant", *ATTACKED, "train_rotation"]
    marks = layers.accuracy_lines(data, x, look, told)
    return panels.panel(marks, theme.attack(attack), {"attack": attack}, width=width)


def eps_axis(data: pl.DataFrame) -> alt.X:
    """An axis from 0 to the largest eps; its ticks are measured ones."""
    ball, unit = vocabulary.THREATS[data["threat"][0]], vocabulary.EPS_UNITS[data["eps_unit"][0]]
    return scales.measured_x("eps", [0.0, *data["eps"]], f"eps ({ball}, {unit})")
