"""One function per figure: rows in, chart out; nothing is read or written.

A chart carries the aggregated frame that it draws as `chart.data` (columns that begin with `_` are
only for drawing), so that a table of it shows the same numbers. A function whose rows do not exist
raises `NotMeasured`; a figure of which only some panels can be drawn says so in its subtitle.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import altair as alt
import polars as pl

from analysis import captions, panels, selection, theme, tradeoffs
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
UPRIGHT = pl.col("train_rotation") == 0
SAME_RANGE = pl.col("test_rotation") == pl.col("train_rotation")
TEST_X = "Test rotation x (uniform in [-x, x])"
BOTH_X = "Train and test rotation x (uniform in [-x, x])"
TIPS = ("model", "variant", "test_rotation")
COUNTS = ("accuracy", "accuracy_min", "accuracy_max", "seeds", "n", "wilson_lower", "wilson_upper")


def figure01(rows: pl.DataFrame) -> alt.ConcatChart:
    """Trained on upright digits, tested on turned ones: small rotations and the whole range."""
    needs = "train_rotation 0, adversary none, attack none"
    chosen = where(rows, needs, UPRIGHT, NO_ADVERSARY, CLEAN, selection.first_variant())
    rows, notes = comparable(selection.at_least_two(chosen, "test_rotation", needs))
    data = summary(rows, TIPS)
    pick = panels.legend_selection()
    look = panels.model_encodings(data["model"]) | {"opacity": panels.dimmed(pick)}
    small, most = data.filter(pl.col("test_rotation") <= SMALL), data["test_rotation"].max()
    drawn = []
    if small["test_rotation"].n_unique() > 1:
        drawn.append(rotation_panel("Small rotations", small, look, zoom=True))
    if not drawn or most != small["test_rotation"].max():
        drawn.append(rotation_panel("All rotations", data, look))
    question = "How do networks trained on upright digits cope with turned ones?"
    words = ["No rotation and no adversary in training."]
    return done(question, rows, [*words, *notes], drawn, data, pick)


def figure02(rows: pl.DataFrame) -> alt.ConcatChart:
    """Trained with and without rotation, tested on the same range."""
    needs = "train_rotation = test_rotation, adversary none, attack none"
    rows = where(rows, needs, NO_ADVERSARY, CLEAN, selection.first_variant())
    selection.at_least_two(where(rows, needs, SAME_RANGE), "train_rotation", needs)
    rows, notes = comparable(rows.filter(SAME_RANGE | UPRIGHT))
    series = {"same range": SAME_RANGE, "none": UPRIGHT}
    data = pl.concat(
        summary(rows.filter(which), TIPS).with_columns(augmentation=pl.lit(name))
        for name, which in series.items()
    )
    labels = {"same range": "trained with rotations in [-x, x]", "none": "trained without"}
    pick = panels.legend_selection()
    look = panels.model_encodings(data["model"]) | {
        "opacity": panels.dimmed(pick),
        "strokeDash": panels.dash_encoding("augmentation", labels),
    }
    trained = {"augmentation": "same range"}
    drawn = [
        rotation_panel("Trained with and without rotation", data, look),
        rotation_panel("Trained with rotation", data, look, only=trained, title=BOTH_X, zoom=True),
    ]
    question = "Does training with rotations make networks robust to them?"
    return done(question, rows, ["No adversary in training.", *notes], drawn, data, pick)


def figure04(rows: pl.DataFrame) -> alt.ConcatChart:
    """FGSM against the range of rotations in training and test, without adversarial training."""
    needs = "attack fgsm, train_rotation = test_rotation, adversary none"
    pairs = [
        (pl.col("model") == model) & (pl.col("variant") == variant)
        for pair in PAIRS.values()
        for model, variant in pair.items()
    ]
    fgsm = pl.col("attack") == "fgsm"
    chosen = where(rows, needs, fgsm, SAME_RANGE, NO_ADVERSARY, pl.any_horizontal(pairs))
    rows, notes = comparable(chosen)
    rows, eps = selection.nearest_eps(rows, PAPER_EPS)
    data = summary(selection.at_least_two(rows, "train_rotation", needs), [*TIPS, "attack", "eps"])
    pick = panels.legend_selection()
    look = panels.model_encodings(data["model"]) | {"opacity": panels.dimmed(pick)}
    drawn = []
    for name, pair in PAIRS.items():
        only = {"variant": list(pair.values())}
        if within(data, only).is_empty():
            notes.append(f"Not measured: {name} ({variants(pair)}).")
        else:
            drawn.append(rotation_panel(name, data, look, only=only, title=BOTH_X))
    question = f"Do networks that know rotations withstand FGSM at eps {eps:g}?"
    words = ["No adversary in training.", *paper_eps(eps), *notes]
    return done(question, rows, words, drawn, data, pick)


def figure07(rows: pl.DataFrame) -> alt.ConcatChart:
    """No attack, FGSM and PGD against the range of rotations: each network, and both under PGD."""
    needs = "attack fgsm or pgd, train_rotation = test_rotation, adversary none, variant table1"
    shown = pl.col("attack").is_in(["none", "fgsm", "pgd"]), pl.col("variant") == "table1"
    rows, notes = comparable(where(rows, needs, *shown, SAME_RANGE, NO_ADVERSARY))
    rows, eps = selection.nearest_eps(rows, PAPER_EPS)
    data = summary(selection.at_least_two(rows, "train_rotation", needs), [*TIPS, "attack", "eps"])
    labels = {name: theme.ATTACKS[name] for name in ("none", "fgsm", "pgd")}
    pick = panels.legend_selection()
    look = panels.model_encodings(data["model"]) | {
        "opacity": panels.dimmed(pick),
        "strokeDash": panels.dash_encoding("attack", labels),
    }
    wanted: list[tuple[str, dict[str, Any]]] = [
        (theme.LOOKS[model].label, {"model": model}) for model in ("stdcnn", "gcnn")
    ]
    drawn = []
    for name, only in [*wanted, ("PGD: StdCNN against GCNN", {"attack": "pgd"})]:
        if within(data, only).is_empty():
            notes.append(f"Not measured: {name}.")
        else:
            drawn.append(rotation_panel(name, data, look, only=only, title=BOTH_X, width=250))
    question = f"How much stronger is PGD than FGSM at eps {eps:g}?"
    words = ["No adversary in training; networks as in Table 1.", *paper_eps(eps), *notes]
    return done(question, rows, words, drawn, data, pick)


def figure10(rows: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy of StdCNN against eps, a line per range of rotations."""
    return accuracy_against_eps(rows, "stdcnn")


def figure11(rows: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy of GCNN against eps, a line per range of rotations."""
    return accuracy_against_eps(rows, "gcnn")


def accuracy_against_eps(rows: pl.DataFrame, model: str) -> alt.ConcatChart:
    """FGSM left, PGD right; one line per range that is both trained and tested."""
    needs = f"model {model}, variant table1, adversary none, train_rotation = test_rotation"
    which = (pl.col("model") == model) & (pl.col("variant") == "table1")
    rows = where(rows, needs, which, SAME_RANGE, NO_ADVERSARY)
    attacks = {"fgsm", "pgd"} & set(rows["attack"])
    if not attacks:
        raise NotMeasured(f"needs rows with attack fgsm or pgd, {needs}")
    rows, notes = comparable(rows.filter(pl.col("attack").is_in(["none", *attacks])))
    attacked = pl.concat(with_eps_zero(rows, attack) for attack in sorted(attacks))
    selection.at_least_two(attacked, "eps", f"attack fgsm or pgd, {needs}")
    data = summary(attacked, ["model", "train_rotation", "attack", "eps"])
    data = panels.end_labels(data, "eps", "attack", "{0:g}/{0:g}")
    drawn = [panels.eps_panel(data, attack, COUNTS) for attack in sorted(attacks)]
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
    if rows.is_empty():
        raise NotMeasured("needs rows")
    rows, notes = selection.most_frequent(rows, selection.SETTING)
    found = tradeoffs.points(rows.filter(NO_ADVERSARY))
    pick, click = panels.legend_selection(), panels.click_selection()
    look = panels.model_encodings([*found.data["model"]]) | {"opacity": panels.dimmed(pick, click)}
    drawn = [tradeoffs.panel(found, "none", look, theme.WIDTH).add_params(click)]
    drawn[0].data = found.data
    clean = rows.filter(NO_ADVERSARY, CLEAN, UPRIGHT, selection.first_variant())
    clean = clean.filter(pl.col("model").is_in(found.data["model"].unique().implode()))
    if clean["test_rotation"].n_unique() > 1:
        data = summary(comparable(clean).rows, TIPS)
        left = rotation_panel("Trained on upright digits, no attack", data, look)
        left.data = data
        drawn.insert(0, left)
    else:
        notes.append("Not measured: networks trained with train_rotation 0 at two test ranges.")
    question = "Robust to rotations, robust to adversarial pixels: is one paid for with the other?"
    words = ["No adversary in training.", *found.words, *found.notes, *notes]
    return done(question, found.rows, words, drawn, None, pick, legend=captions.BOTH)


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
}
"""Every figure, in the order of the report; numbers are the paper's."""


def rotation_panel(
    name: str,
    data: pl.DataFrame,
    look: Mapping[str, Any],
    *,
    only: Mapping[str, Any] | None = None,
    title: str = TEST_X,
    zoom: bool = False,
    width: int = theme.WIDTH,
) -> alt.LayerChart:
    """Accuracy against rotation: the part of the figure's data that `data` and `only` select."""
    shown = within(data, only or {})
    most = float(shown["test_rotation"].max())  # type: ignore[arg-type]
    ends = ("accuracy_min", "wilson_lower")
    domain = panels.domain_of(shown, *ends, upper=1.0) if zoom else panels.WHOLE
    series = [column for column in ("attack", "eps", "augmentation") if column in data.columns]
    chart = panels.curves(
        panels.rotation_x("test_rotation", most, title, width),
        domain,
        look,
        [*TIPS, *series, *COUNTS],
    )
    for column, value in (only or {}).items():
        values = value if isinstance(value, list) else [value]
        chart = chart.transform_filter(alt.FieldOneOfPredicate(field=column, oneOf=values))
    chart = chart.transform_filter(alt.FieldLTEPredicate(field="test_rotation", lte=most))
    heading = alt.TitleParams(name, subtitle=panels.starts_at(domain))
    return chart.properties(width=width, height=theme.HEIGHT, title=heading)


def within(data: pl.DataFrame, only: Mapping[str, Any]) -> pl.DataFrame:
    """The rows whose columns have the given value, or one of the given list."""
    listed = {k: v if isinstance(v, list) else [v] for k, v in only.items()}
    return data.filter(*(pl.col(k).is_in(values) for k, values in listed.items()))


def with_eps_zero(rows: pl.DataFrame, attack: str) -> pl.DataFrame:
    """The rows of the attack; where it was not measured at eps 0, those without attack."""
    of = rows.filter(pl.col("attack") == attack)
    clean = rows.filter(CLEAN).with_columns(attack=pl.lit(attack), eps=pl.lit(0.0))
    zero = of.filter(pl.col("eps") == 0)
    keys = ["trial", "test_rotation"]
    attacked = clean.join(of, on=keys, how="semi", maintain_order="left")
    return pl.concat([of, attacked.join(zero, on=keys, how="anti", maintain_order="left")])


def paper_eps(eps: float) -> list[str]:
    """A remark if the paper's eps is not the one shown."""
    if eps == PAPER_EPS:
        return []
    return [f"The paper's eps {PAPER_EPS} was not measured: the nearest that was, {eps:g}, is shown."]


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
    lines = [captions.sample(rows), captions.attacks(rows), " ".join(words), legend]
    heading = captions.heading(question, lines, max(width, 640))
    return panels.finished(drawn, data, heading, columns)
