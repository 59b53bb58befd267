"""How things look, and what columns are called: colours, shapes, titles, axes."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from analysis.rows.phrases import capitalised
from analysis.rows.vocabulary import ATTACKS, LABELS, in_order, label

TEXT, MUTED, GRID, PAPER = "#1b1b1b", "#555555", "#e6e6e6", "#ffffff"
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
SHAPES = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "cross",
    "triangle-down",
    "triangle-right",
    "triangle-left",
    "arrow",
    "wedge",
    "stroke",
)
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
WIDTH, HEIGHT, GAP = 300, 220, 36
DIMMED = 0.1

DARK = {
    TEXT: "#e8e8e8",
    MUTED: "#b5b5b5",
    GRID: "#3a3a3a",
    PAPER: "transparent",
    "#000000": "#f2f2f2",
    "#0072B2": "#4aa8e0",
}
"""What a dark page shows instead of these colours."""

VIRIDIS = {"light": [0.0, 0.85], "dark": [0.25, 1.0]}
"""The part of the colour scheme that is readable on light and on dark paper."""


class Look(NamedTuple):
    """How a model is labelled and drawn."""

    label: str
    colour: str
    shape: str


STYLES = {
    "stdcnn": ("#000000", "circle"),
    "gcnn": ("#0072B2", "square"),
    "hnet": ("#D55E00", "triangle-up"),
    "ptn": ("#009E73", "diamond"),
    "roteqnet": ("#CC79A7", "cross"),
    "capsnet": ("#E69F00", "triangle-down"),
    "z2cnn": ("#7f7f7f", "circle"),
    "p4cnn": ("#56B4E9", "square"),
    "tipooling": ("#882255", "triangle-right"),
    "cyclic": ("#332288", "triangle-left"),
    "dren": ("#999933", "diamond"),
    "steerable": ("#117733", "triangle-up"),
    "emcaps": ("#8B4513", "triangle-down"),
    "madrycnn": ("#DDCC77", "triangle-right"),
}
"""Colour and shape of each model, the same in every figure: the paper's six in Okabe-Ito's colours
without yellow."""
LOOKS = {model: Look(LABELS[model], *style) for model, style in STYLES.items()}
OTHER_COLOURS = (
    *("#AA4499", "#44AA99", "#EE3377", "#EE8866"),
    *("#8C6BB1", "#4D9221", "#B2182B", "#5C7C8A"),
)
"""Of models outside the paper, in the order of their names."""
OTHER_SHAPES = (
    *("triangle-right", "triangle-left", "circle", "square"),
    *("diamond", "cross", "triangle-up", "triangle-down"),
)
"""Taken one after the other, so that colour and shape are a pair of their own for the first 64."""


TITLES = {
    "model": "Model",
    "variant": "Variant",
    "adversary": "Adversary in training",
    "adversary_eps": "eps in training (L-inf, pixel units)",
    "train_rotation": "Train rotation (± degrees)",
    "test_rotation": "Test rotation (± degrees)",
    "train_translation": "Train shift (± pixels)",
    "test_translation": "Test shift (± pixels)",
    "attack": "Attack",
    "eps": "eps (in eps_unit)",
    "eps_unit": "Unit of eps",
    "clip": "Adversarial images clipped to",
    "mode": "Mode of the measured network",
    "threat": "Threat model",
    "accuracy": "Accuracy (mean over seeds)",
    "accuracy_min": "Least accuracy of a seed",
    "accuracy_max": "Greatest accuracy of a seed",
    "seeds": "Seeds",
    "n": "Images of each network (n)",
    "interval": "What the 95% interval covers",
    "augmentation": "Rotation in training",
    "pair": "Pair of variants",
    "recipe": "Recipe",
    "train_size": "Training images",
    "front": "On the model's Pareto front",
    "difference": "Accuracy, GCNN minus StdCNN (of the same images)",
    "difference_min": "Least difference of a seed",
    "difference_max": "Greatest difference of a seed",
    "lower": "95% interval, lower",
    "upper": "95% interval, upper",
    "p": "p, two-sided, not adjusted",
    "distance": "Distance to the boundary (L-inf, pixel units, from above; mean over seeds)",
    "distance_min": "Least distance of a seed",
    "distance_max": "Greatest distance of a seed",
    "share": "Share of images that lie further",
    "degrees": "Rotation (degrees)",
    "error": "Equivariance error of the logits (in their deviations)",
    "error_min": "Least error of a seed",
    "error_max": "Greatest error of a seed",
    "epoch": "Epoch",
    "unfinished": "Training under way",
    "measure": "Measure",
    "value_min": "Least of a seed",
    "value_max": "Greatest of a seed",
    "train_seconds": "Training time (s, mean over seeds)",
    "rank": "Rank; those that cannot be told apart share it",
    "settings": "Settings of all else that are averaged",
    "seconds": "Training time (s, mean over seeds)",
    "device": "Device",
    "flags": "Failed checks",
    "check": "Check (docs/attacks.md, Checks)",
    "value": "What was measured",
    "limit": "Largest value that passes",
}
"""Column -> what a reader is shown, with the unit."""

PREFIXES = {
    "clean_": "Clean: ",
    "robust_": "Under attack: ",
    "rotated_": "Rotated: ",
    "average_": "One random rotation and shift: ",
    "worst_": "Worst rotation and shift: ",
    "eight_": "Worst rotation and shift, without classes 6 and 9: ",
}
"""What stands before the title of one of several measures."""


def title(column: str) -> str:
    """The human title of a column; prefixes of a second measure are spelled out."""
    for prefix, words in PREFIXES.items():
        if column.startswith(prefix):
            return words + title(column.removeprefix(prefix))
    return TITLES.get(column, column)


def is_share(column: str) -> bool:
    """Whether the column holds a share between 0 and 1, shown in percent."""
    ends = ("share", "lower", "upper")
    return column.endswith(ends) or any(word in column for word in ("accuracy", "difference"))


def look(model: str, models: Iterable[str] = ()) -> Look:
    """Label, colour and shape; those of a model outside the paper depend on the others shown."""
    if model in LOOKS:
        return LOOKS[model]
    others = [m for m in in_order([*models, model]) if m not in LOOKS]
    return Look(label(model), *other_style(others.index(model)))


def other_style(place: int) -> tuple[str, str]:
    """Colour and shape of the model in this place of those outside the paper, however many."""
    rounds, colour = divmod(place, len(OTHER_COLOURS))
    return OTHER_COLOURS[colour], OTHER_SHAPES[(colour + rounds) % len(OTHER_SHAPES)]


def rotation(degrees: float) -> str:
    """A range of rotations: `±60°`, or `0°`."""
    return f"±{degrees:g}°" if degrees else "0°"


def attack(name: str) -> str:
    """The title of a panel of one attack."""
    return capitalised(ATTACKS[name])


def labels(names: Mapping[str, str]) -> str:
    """A Vega expression that shows the label of a name, and an unknown name as it is."""
    return f"({json.dumps(dict(names))})[datum.label] || datum.label"


def config() -> dict[str, Any]:
    """The Vega-Lite configuration of all figures."""
    titles = {"titleColor": TEXT, "titleFontSize": 11, "titleFontWeight": "normal"}
    lines = {"gridColor": GRID, "domainColor": MUTED, "tickColor": MUTED}
    axis = {"labelColor": MUTED, "labelFontSize": 10, **lines, **titles}
    legend = {"labelColor": TEXT, "labelFontSize": 11, "symbolSize": 70, **titles}
    heading = {
        "anchor": "start",
        "color": TEXT,
        "subtitleColor": MUTED,
        "fontSize": 12,
        "subtitleFontSize": 11,
        "subtitlePadding": 4,
        "frame": "group",
    }
    return {
        "background": PAPER,
        "font": FONT,
        "padding": 12,
        "view": {"stroke": None, "continuousWidth": WIDTH, "continuousHeight": HEIGHT},
        "axis": axis,
        "legend": legend,
        "title": heading,
        "concat": {"spacing": GAP},
    }
