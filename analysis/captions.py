"""What stands above a figure: data, seeds, n, attack and the meaning of every band, in words."""

import textwrap
from collections.abc import Iterable, Sequence

import altair as alt
import polars as pl

from analysis import theme

LINES = (
    "Line: mean over seeds. Whisker: least to greatest seed. Band: 95% Wilson interval of the "
    "counts of all seeds (test-set sampling only)."
)
POINTS = (
    "Point: mean over seeds. Whiskers: least to greatest seed. 95% Wilson intervals (test-set "
    "sampling only) are in the tooltips."
)
BOTH = (
    "Line or point: mean over seeds. Whisker: least to greatest seed. Band: 95% Wilson interval "
    "of the counts of all seeds (test-set sampling only; of points it is in the tooltip)."
)
CHARACTER = 5.4
"""Pixels of an average character of a subtitle."""


def heading(question: str, lines: Iterable[str], width: int) -> alt.TitleParams:
    """The title of a figure that is `width` pixels wide, its subtitle broken to fit."""
    wrapped = [part for line in lines for part in textwrap.wrap(line, int(width / CHARACTER))]
    return alt.TitleParams(text=question, subtitle=wrapped, fontSize=14, offset=16)


def sample(rows: pl.DataFrame) -> str:
    """Data set, recipe, seeds and number of test images of the rows."""
    first = rows.row(0, named=True)
    images = (
        "" if rows["train_size"].n_unique() > 1 else f", {first['train_size']:,} training images"
    )
    return (
        f"{theme.DATA.get(first['data'], first['data'])}; recipe {first['recipe']} "
        f"({span(rows['epochs'])} epochs{images}); {seeds(rows)}; "
        f"n = {span(rows['n'])} test images per network."
    )


def seeds(rows: pl.DataFrame) -> str:
    """How many seeds: per condition, as conditions may differ while a run is going on."""
    conditions = [
        "model",
        "variant",
        "adversary",
        "train_rotation",
        "test_rotation",
        "attack",
        "eps",
    ]
    counts = rows.group_by(conditions).agg(pl.col("seed").n_unique())["seed"]
    return f"{span(counts)} {'seed' if counts.max() == 1 else 'seeds'}"


def attacks(rows: pl.DataFrame) -> str:
    """Settings of the attacks and the unit of eps; empty if nothing was attacked."""
    attacked = rows.filter(pl.col("attack") != "none")
    if attacked.is_empty():
        return ""
    return (
        f"{attack_settings(attacked)}; eps {span(attacked['eps'])}, an L-inf radius in pixel "
        "units (pixels in [0, 1]) around the rotated image."
    )


def attack_settings(attacked: pl.DataFrame) -> str:
    """Steps and starts of each attack."""
    words = []
    for attack in [name for name in theme.ATTACKS if name in set(attacked["attack"])]:
        of = attacked.filter(pl.col("attack") == attack)
        name = theme.ATTACKS[attack]
        if attack == "noise":
            words.append(f"{name} ({plural(of['restarts'], 'draw')})")
        elif attack == "fgsm":
            words.append(f"{name} (1 step)")
        elif attack == "equivariance":
            words.append(name)
        else:
            starts = plural(of["restarts"], "random start")
            words.append(f"{name} ({plural(of['steps'], 'step')}, {starts})")
    return ", ".join(words)


def plural(counts: pl.Series, noun: str) -> str:
    """`1 step`, `10 to 40 steps`."""
    return f"{span(counts)} {noun}{'' if counts.max() == 1 else 's'}"


def span(values: pl.Series) -> str:
    """The one value, or the least and the greatest."""
    ends = values.min(), values.max()
    words = [f"{v:,}" if isinstance(v, int) else format(v, "g") for v in ends]
    return words[0] if words[0] == words[1] else f"{words[0]} to {words[1]}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
