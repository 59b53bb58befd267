"""One function per figure: rows in, chart out; nothing is read or written.

A chart carries the aggregated frame that it draws as `chart.data` (columns that begin with `_` are
only for drawing), so that a table of it shows the same numbers. A function whose rows do not exist
raises `NotMeasured`; a figure of which only some panels can be drawn says so in its subtitle.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import altair as alt
import polars as pl

from analysis import captions, labels, panels, selection, theme, tradeoffs
from analysis.panels import against_rotation
from analysis.selection import NotMeasured, comparable, where
from analysis.statistics import summary

PAPER_EPS = 0.3
SMALL = 40
"""The largest "small" rotation of the paper's Figure 1, in degrees."""
PAIRS = {
    "As in Table 1": {"stdcnn": "table1", "gcnn": "table1"},
    "StdCNN double, GCNN half width": {"stdcnn": "doubled", "gcnn": "halved"},
}
"""The panels of Figure 4. The paper calls the second pair equivalent in parameters."""

CLEAN = pl.col("attack") == "none"
NO_ADVERSARY = pl.col("adversary") == "none"
CAPSULES = pl.col("model").is_in(["capsnet", "emcaps"])
UPRIGHT = pl.col("train_rotation") == 0
SAME_RANGE = pl.col("test_rotation") == pl.col("train_rotation")
BOTH_X = "Train and test rotation x (uniform in [-x, x])"
TIPS = ("model", "variant", "test_rotation")
ATTACKED = ("attack", "eps", "eps_unit")


def figure01(rows: pl.DataFrame) -> alt.ConcatChart:
    """Trained on upright digits, tested on turned ones: small rotations and the whole range."""
    return upright_only(rows, "attack none, no capsules", ~CAPSULES)


def figure12(rows: pl.DataFrame) -> alt.ConcatChart:
    """Figure 1 with CapsNet, as in the paper's appendix."""
    needs = "model capsnet, train_rotation 0, adversary none, attack none"
    where(rows, needs, CAPSULES, UPRIGHT, NO_ADVERSARY, CLEAN)
    return upright_only(rows, "attack none", pl.lit(True))


def upright_only(rows: pl.DataFrame, words: str, models: pl.Expr) -> alt.ConcatChart:
    """Accuracy against test rotation of the networks trained without rotation."""
    needs = f"train_rotation 0, adversary none, {words}"
    chosen = where(rows, needs, models, UPRIGHT, NO_ADVERSARY, CLEAN)
    rows, notes = comparable(selection.at_least_two(chosen, "test_rotation", needs))
    data = summary(rows, TIPS)
    pick = panels.legend_selection()
    look = panels.model_encodings(data["model"]) | {"opacity": panels.dimmed(pick)}
    small, most = data.filter(pl.col("test_rotation") <= SMALL), data["test_rotation"].max()
    drawn = []
    if small["test_rotation"].n_unique() > 1:
        drawn.append(against_rotation("Small rotations", small, look, zoom=True))
    if not drawn or most != small["test_rotation"].max():
        drawn.append(against_rotation("All rotations", data, look))
    question = "How do networks trained on upright digits cope with turned ones?"
    explained = ["No rotation and no adversary in training."]
    return done(question, rows, [*explained, *notes], drawn, data, pick)


def figure02(rows: pl.DataFrame) -> alt.ConcatChart:
    """Trained with and without rotation, tested on the same range."""
    needs = "train_rotation = test_rotation, adversary none, attack none"
    rows = where(rows, needs, NO_ADVERSARY, CLEAN)
    selection.at_least_two(where(rows, needs, SAME_RANGE), "train_rotation", needs)
    rows, notes = comparable(rows.filter(SAME_RANGE | UPRIGHT))
    series = {"same range": SAME_RANGE, "none": UPRIGHT}
    data = pl.concat(
        summary(rows.filter(which), TIPS).with_columns(augmentation=pl.lit(name))
        for name, which in series.items()
    )
    names = {"same range": "trained with rotations in [-x, x]", "none": "trained without"}
    pick = panels.legend_selection()
    look = panels.model_encodings(data["model"]) | {
        "opacity": panels.dimmed(pick),
        "strokeDash": panels.dash_encoding("augmentation", names),
    }
    trained = {"augmentation": "same range"}
    drawn = [
        against_rotation("Trained with and without rotation", data, look),
        against_rotation(
            "Trained with rotation", data, look, only=trained, title=BOTH_X, zoom=True
        ),
    ]
    question = "Does training with rotations make networks robust to them?"
    return done(question, rows, ["No adversary in training.", *notes], drawn, data, pick)


def figure04(rows: pl.DataFrame) -> alt.ConcatChart:
    """FGSM against the range of rotations in training and test, without adversarial training."""
    needs = "attack fgsm, train_rotation = test_rotation, adversary none"
    pairs = [selection.of_variants(pair) for pair in PAIRS.values()]
    fgsm = pl.col("attack") == "fgsm"
    chosen = where(rows, needs, fgsm, SAME_RANGE, NO_ADVERSARY, pl.any_horizontal(pairs))
    rows, notes = comparable(chosen, all_variants=True)
    rows, eps = selection.nearest_eps(rows, PAPER_EPS)
    data = summary(selection.at_least_two(rows, "train_rotation", needs), [*TIPS, *ATTACKED])
    pick = panels.legend_selection()
    look = panels.model_encodings(data["model"]) | {"opacity": panels.dimmed(pick)}
    drawn = []
    for name, pair in PAIRS.items():
        only = {"variant": list(pair.values())}
        if panels.within(data, only).is_empty():
            notes.append(f"Not measured: {name} ({variants(pair)}).")
        else:
            drawn.append(against_rotation(name, data, look, only=only, title=BOTH_X))
    question = f"Do networks that know rotations withstand FGSM at eps {eps:g}?"
    words = ["No adversary in training.", *paper_eps(eps), *notes]
    return done(question, rows, words, drawn, data, pick)


def figure07(rows: pl.DataFrame) -> alt.ConcatChart:
    """No attack, FGSM and PGD against the range of rotations: each network, and both under PGD."""
    needs = "model stdcnn or gcnn, attack fgsm or pgd, train_rotation = test_rotation"
    models, attacks = ["stdcnn", "gcnn"], ["none", "fgsm", "pgd"]
    shown = pl.col("model").is_in(models), pl.col("attack").is_in(attacks)
    rows, notes = comparable(where(rows, needs, *shown, SAME_RANGE, NO_ADVERSARY))
    rows, eps = selection.nearest_eps(rows, PAPER_EPS)
    data = summary(selection.at_least_two(rows, "train_rotation", needs), [*TIPS, *ATTACKED])
    names = {name: theme.ATTACKS[name] for name in attacks}
    pick = panels.legend_selection()
    look = panels.model_encodings(data["model"]) | {
        "opacity": panels.dimmed(pick),
        "strokeDash": panels.dash_encoding("attack", names),
    }
    wanted: list[tuple[str, dict[str, Any]]] = [
        (theme.LOOKS[model].label, {"model": model}) for model in models
    ]
    drawn = []
    for name, only in [*wanted, ("PGD: StdCNN against GCNN", {"attack": "pgd"})]:
        if panels.within(data, only).is_empty():
            notes.append(f"Not measured: {name}.")
        else:
            drawn.append(against_rotation(name, data, look, only=only, title=BOTH_X, width=250))
    question = f"How much stronger is PGD than FGSM at eps {eps:g}?"
    words = ["No adversary in training.", *paper_eps(eps), *notes]
    return done(question, rows, words, drawn, data, pick)


def figure10(rows: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy of StdCNN against eps, a line per range of rotations."""
    return accuracy_against_eps(rows, "stdcnn")


def figure11(rows: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy of GCNN against eps, a line per range of rotations."""
    return accuracy_against_eps(rows, "gcnn")


def accuracy_against_eps(rows: pl.DataFrame, model: str) -> alt.ConcatChart:
    """FGSM left, PGD right; one line per range that is both trained and tested."""
    needs = f"model {model}, adversary none, train_rotation = test_rotation"
    shown = pl.col("attack").is_in(["none", "fgsm", "pgd"])
    rows = where(rows, needs, pl.col("model") == model, SAME_RANGE, NO_ADVERSARY, shown)
    rows, notes = comparable(rows)
    attacks = {"fgsm", "pgd"} & set(rows["attack"])
    if not attacks:
        raise NotMeasured(f"needs rows with attack fgsm or pgd, {needs}")
    attacked = pl.concat(with_eps_zero(rows, attack) for attack in sorted(attacks))
    selection.at_least_two(attacked, "eps", f"attack fgsm or pgd, {needs}")
    data = summary(attacked, ["model", "variant", "train_rotation", *ATTACKED])
    data = labels.end_labels(data, "eps", "attack", "{0:g}/{0:g}")
    drawn = [panels.against_eps(data, attack) for attack in sorted(attacks)]
    notes += [f"Not measured: {theme.ATTACKS[a]}." for a in sorted({"fgsm", "pgd"} - attacks)]
    label = theme.LOOKS[model].label
    words = "Labels x/x: rotations in [-x, x] degrees in training / test. eps 0: no attack."
    question = f"How does the accuracy of {label} fall with the strength of the attack?"
    return done(question, rows, ["No adversary in training.", words, *notes], drawn, data)


def tradeoff(rows: pl.DataFrame) -> alt.ConcatChart:
    """Robustness to rotations against robustness to PGD, a path per model over train ranges."""
    found = tradeoffs.points(rows)
    pick, click = panels.legend_selection(), panels.click_selection()
    adversaries = [a for a in theme.ADVERSARIES if a in set(found.data["adversary"])]
    look = panels.model_encodings(found.data["model"]) | {"opacity": panels.dimmed(pick, click)}
    drawn = [tradeoffs.panel(found, adversary, look, theme.WIDTH) for adversary in adversaries]
    drawn[0] = drawn[0].add_params(click)
    question = "Is robustness to rotations paid for with robustness to PGD?"
    words = [*found.words, *found.notes]
    legend = captions.POINTS
    return done(question, found.rows, words, drawn, found.data, pick, legend=legend, columns=2)


def overview(rows: pl.DataFrame) -> alt.ConcatChart:
    """Both robustnesses side by side, linked: a click on a model dims the others."""
    needs = "attack none or pgd, adversary none"
    rows = where(rows, needs, NO_ADVERSARY, pl.col("attack").is_in(["none", "pgd"]))
    rows, notes = selection.trained_alike(rows)
    rows, more = selection.tested_alike(rows)
    notes += more
    shown, parts = [], []
    clean = rows.filter(CLEAN, UPRIGHT)
    if clean["test_rotation"].n_unique() > 1:
        shown.append(comparable(clean).rows)
        parts.append(summary(shown[0], TIPS))
    else:
        notes.append("Not measured: networks trained with train_rotation 0 at two test ranges.")
    try:
        found = tradeoffs.points(rows)
    except NotMeasured as error:
        if not shown:
            raise
        found = None
        notes.append(f"The trade-off is not shown: it {error}.")
    pick, click = panels.legend_selection(), panels.click_selection()
    models = set().union(*(part["model"] for part in [*parts, *([found.data] if found else [])]))
    look = panels.model_encodings(models) | {"opacity": panels.dimmed(pick, click)}
    drawn = [against_rotation("Trained on upright digits, no attack", p, look) for p in parts]
    if found:
        parts.append(found.data)
        shown.append(found.rows)
        drawn.append(tradeoffs.panel(found, "none", look, theme.WIDTH))
        notes = [*found.words, *found.notes, *notes]
    for chart, part in zip(drawn, parts, strict=True):
        chart.data = part
    drawn[-1] = drawn[-1].add_params(click)
    question = "Robust to rotations, robust to adversarial pixels: is one paid for with the other?"
    words = ["No adversary in training.", *notes]
    return done(question, shown[-1], words, drawn, None, pick, legend=captions.BOTH)


class Figure(NamedTuple):
    """An entry of the registry."""

    heading: str
    draw: Callable[[pl.DataFrame], alt.ConcatChart]


FIGURES = {
    "overview": Figure("Overview", overview),
    "tradeoff": Figure("Trade-off", tradeoff),
    "figure01": Figure("Figure 1", figure01),
    "figure02": Figure("Figure 2", figure02),
    "figure04": Figure("Figure 4", figure04),
    "figure07": Figure("Figure 7", figure07),
    "figure10": Figure("Figure 10", figure10),
    "figure11": Figure("Figure 11", figure11),
    "figure12": Figure("Figure 12", figure12),
}
"""Every figure, in the order of the report; numbers are the paper's."""


def with_eps_zero(rows: pl.DataFrame, attack: str) -> pl.DataFrame:
    """The rows of the attack (there are some); where it was not measured at eps 0, those without
    attack."""
    of = rows.filter(pl.col("attack") == attack)
    unit = of["eps_unit"][0]
    clean = rows.filter(CLEAN).with_columns(
        attack=pl.lit(attack), eps=pl.lit(0.0), eps_unit=pl.lit(unit)
    )
    zero = of.filter(pl.col("eps") == 0)
    keys = ["trial", "test_rotation"]
    attacked = clean.join(of, on=keys, how="semi", maintain_order="left")
    return pl.concat([of, attacked.join(zero, on=keys, how="anti", maintain_order="left")])


def paper_eps(eps: float) -> list[str]:
    """A remark if the paper's eps is not the one shown."""
    if eps == PAPER_EPS:
        return []
    return [
        f"The paper's eps {PAPER_EPS} was not measured: the nearest that was, {eps:g}, is shown."
    ]


def variants(pair: Mapping[str, str]) -> str:
    """`stdcnn doubled and gcnn halved`."""
    return captions.listed([f"{model} {variant}" for model, variant in pair.items()])


def done(
    question: str,
    rows: pl.DataFrame,
    words: list[str],
    drawn: list[alt.LayerChart],
    data: pl.DataFrame | None,
    pick: alt.Parameter | None = None,
    *,
    legend: str = captions.LINES,
    columns: int = 3,
) -> alt.ConcatChart:
    """The finished figure; the legend's selection goes to the first panel, where it works."""
    if pick is not None:
        drawn[0] = drawn[0].add_params(pick)
    width = sum(panel.width + 60 for panel in drawn[:columns]) + 60
    lines = [captions.sample(rows), captions.attacks(rows), " ".join(words)]
    lines += [captions.flagged(rows), legend]
    heading = captions.heading(question, lines, max(width, 640))
    return panels.finished(drawn, data, heading, columns)
