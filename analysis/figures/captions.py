"""What stands above a figure: data, seeds, n, attack and the meaning of every band, in words."""

from collections.abc import Collection, Iterable
from textwrap import shorten

import altair as alt
import polars as pl

from analysis.rows import datasets, recipes, vocabulary
from analysis.rows.notes import LeftOut, Note, OtherVariants
from analysis.rows.phrases import capitalised, kind, listed, plural, span
from analysis.rows.recipes import OF_RECIPE
from analysis.rows.selection import CONDITIONS
from analysis.stats.summary import joined_flags
from rotgrid.spec.attacks import ATTACKS
from rotgrid.spec.entries import is_own

LINES = "Line: mean over seeds. Whisker: least to greatest seed. Band: 95% interval."
POINTS = "Point: mean over seeds. Whiskers: least to greatest seed."
BOTH = "Line or point: mean over seeds. Whisker: least to greatest seed. Band: 95% interval."


class Key(str):
    """A note on what marks mean, which stands in the caption."""


NO_ADVERSARY = "No adversary in training."
MOST_LEFT_OUT = 1
"""Kinds of rows left out that are described; more are summed up."""
MOST_ATTACKS = 4
"""Attacks that a caption names; more are counted."""
MOST_FLAGGED = 5
"""Flagged networks that are named; the rest are counted."""
KIND = ("attack", "loss", "label_rule", "clip", "mode", "threat", "source")
"""What makes an attack another one, in words."""
CHARACTER = 5.0
"""Pixels of an average character of a caption."""


def heading(title: str, lines: Iterable[str], width: int) -> alt.TitleParams:
    """The title of a figure that is `width` pixels wide, with its caption: each line is one there,
    whatever names are in it."""
    room = int(width / CHARACTER)
    fitted = [shorten(line, room, placeholder=" ...") for line in map(capitalised, lines) if line]
    return alt.TitleParams(text=title, subtitle=fitted, fontSize=14, offset=16)


def measured(rows: pl.DataFrame) -> str:
    """Data, how many seeds and images, which attacks, and the unit of eps."""
    attacked = rows.filter(pl.col("attack") != "none")
    within = attacked.filter(pl.col("eps") > 0)
    units = [vocabulary.EPS_UNITS[unit] for unit in sorted(set(within["eps_unit"]))]
    data = listed([vocabulary.DATA[name] for name in sorted(set(rows["data"]))])
    words = [data, seeds(rows), f"n = {span(rows['n'])} images", *attack_names(attacked)]
    words += [f"eps {span(within['eps'])}{ball(within)} in {listed(units)}"] if units else []
    return f"{'; '.join(words)}."


def ball(attacked: pl.DataFrame) -> str:
    """` (L2)`, of rows that were not attacked in the L-inf ball."""
    other = vocabulary.in_order(set(attacked["threat"]) - {"linf"}, vocabulary.THREATS)
    return f" ({listed([vocabulary.THREATS[name] for name in other])})" if other else ""


def attack_names(attacked: pl.DataFrame) -> list[str]:
    """The attacks as one phrase, if there are any."""
    names = vocabulary.in_order(attacked["attack"], vocabulary.ATTACKS)
    if len(names) > MOST_ATTACKS:
        return [f"{len(names)} attacks"]
    return [", ".join(vocabulary.ATTACKS[name] for name in names)] if names else []


def sample(rows: pl.DataFrame) -> str:
    """Data set, recipe, seeds and number of test images of the rows."""
    return (
        f"{training(rows)}; {seeds(rows)}; "
        f"n = {span(rows['n'])} test images per network{shifts(rows)}{modes(rows)}."
    )


def training(rows: pl.DataFrame) -> str:
    """Data set, recipe and number of training images."""
    data = rows["data"][0]
    images = (
        f", {rows['train_size'][0]:,} training images"
        if rows["train_size"].n_unique() == 1
        else ""
    )
    settings = f"{length(rows)}{images}{train_shifts(rows)}"
    return f"{vocabulary.DATA[data]}; recipe {recipes_of(rows)} ({settings})"


def recipes_of(rows: pl.DataFrame) -> str:
    """The names of recipes; of own ones also what they are like, and what differs from that but is
    said elsewhere."""
    kinds = rows.select("recipe", "recipe_settings", "model").unique().sort(pl.all())
    said = [
        f"{name}, {recipes.words(settings, model, OF_RECIPE)}" if settings else name
        for name, settings, model in kinds.iter_rows()
    ]
    return listed(list(dict.fromkeys(said)))


def length(rows: pl.DataFrame) -> str:
    """How long networks were trained: in epochs, or in optimiser steps."""
    by_steps = rows.filter(pl.col("train_steps") > 0)
    epochs = rows.filter(pl.col("train_steps") == 0)
    words = [plural(epochs["epochs"], "epoch")] if epochs.height else []
    words += [plural(by_steps["train_steps"], "step")] if by_steps.height else []
    return " or ".join(words)


def summed_up(notes: Iterable[Note], models: Collection[str]) -> str:
    """What was chosen, in a line: of variants those of the models that are shown; rows that were
    left out for many reasons summed up."""
    kept = [note.of_models(models) if isinstance(note, OtherVariants) else note for note in notes]
    kept = [note for note in kept if not isinstance(note, OtherVariants) or note.variants]
    left_out = [note for note in kept if isinstance(note, LeftOut)]
    if len(left_out) <= MOST_LEFT_OUT:
        return " ".join(map(str, kept))
    names = dict.fromkeys(name for note in left_out for name in note.left)
    count = sum(note.height for note in left_out)
    others = [str(note) for note in kept if not isinstance(note, LeftOut)]
    return " ".join([*others, f"Left out: {count:,} rows that differ in {listed([*names])}."])


def shifts(rows: pl.DataFrame, field: str = "test_translation") -> str:
    """How test images are shifted, if at all."""
    most = rows[field]
    return f", shifted by U[-t, t] pixels, t = {span(most)}" if most.max() else ""


def train_shifts(rows: pl.DataFrame) -> str:
    """How training images are shifted, if at all."""
    return shifts(rows, "train_translation")


def modes(rows: pl.DataFrame) -> str:
    """In which mode networks are measured, if not in evaluation mode."""
    found = set(rows["mode"])
    some = "all" if len(found) == 1 else "some"
    return f", {some} with the network in training mode" if "train" in found else ""


def seeds(rows: pl.DataFrame) -> str:
    """How many seeds: per condition, as conditions may differ while a run is going on."""
    by = ["model", "variant", *CONDITIONS]
    return plural(rows.group_by(by).agg(pl.col("seed").n_unique())["seed"], "seed")


def attacks(rows: pl.DataFrame) -> str:
    """Settings of the attacks and the unit of eps; empty if nothing was attacked."""
    attacked = rows.filter(pl.col("attack") != "none")
    if attacked.is_empty():
        return ""
    units = listed([unit_of_eps(u, attacked) for u in attacked["eps_unit"].unique().sort()])
    balls = listed([vocabulary.THREATS[name] for name in attacked["threat"].unique().sort()])
    return (
        f"{attack_settings(attacked)}; eps {span(attacked['eps'])}, an {balls} radius in {units} "
        "around the rotated image."
    )


def unit_of_eps(unit: str, rows: pl.DataFrame) -> str:
    """The unit, explained for the data sets of these rows."""
    meaning = {"pixel": " (pixels in [0, 1])", "normalised": _deviations(rows)}
    return vocabulary.EPS_UNITS[unit] + meaning.get(unit, "")


def _deviations(rows: pl.DataFrame) -> str:
    """How many pixel units a deviation is, as far as that is known."""
    known = datasets.deviations(rows)
    if len(set(known.values())) == 1 and len(known) == rows["data"].n_unique():
        return f" (1 is {next(iter(known.values())):.4g} pixel units)"
    said = [f"{value:.4g} for {name}" for name, value in known.items()]
    return f" (1 is, in pixel units, {listed(said)})" if said else ""


def attack_settings(attacked: pl.DataFrame) -> str:
    """What was set of each attack, once for each kind of it."""
    kinds = attacked.sort(KIND, maintain_order=True).partition_by(KIND)
    order = vocabulary.in_order(attacked["attack"], vocabulary.ATTACKS)
    kinds.sort(key=lambda kind: order.index(kind["attack"][0]))
    return ", ".join(map(_settings, kinds))


def _settings(rows: pl.DataFrame) -> str:
    """The name of one kind of attack, and in brackets what the name leaves open."""
    attack, *settings, source = rows.select(KIND).row(0)
    details = _effort(attack, rows)
    details += vocabulary.special(dict(zip(KIND[1:], settings, strict=False)))
    if source:
        details.append(f"images made on {vocabulary.label(source)}")
    name = vocabulary.ATTACKS[attack]
    return f"{name} ({', '.join(details)})" if details else name


def _effort(attack: str, rows: pl.DataFrame) -> list[str]:
    """How much the attack tries; of an own one what its rows say, where it reads it."""
    restarts = rows["restarts"]
    if is_own(attack):
        read = ((rows["steps"], "step"), (restarts, "restart"))
        return [plural(counts, word) for counts, word in read if (counts > 0).any()]
    entry = ATTACKS.get(attack)
    if entry is None or not entry.settings:
        return []
    words = {
        "steps": plural(rows["steps"], "step"),
        "queries": f"{span(rows['steps'])} queries",
        "starts": _starts(restarts),
        "draws": plural(restarts, "draw"),
        "rotations": f"[-x, x] degrees, x = {span(rows['test_rotation'])}",
        "shifts": f"[-t, t] pixels, t = {span(rows['test_translation'])}",
    }
    return [entry.settings.format(**words)]


def _starts(restarts: pl.Series) -> str:
    """`1 random start`; without any the attack starts at the image."""
    words = ["from the image itself"] if (restarts == 0).any() else []
    if (random := restarts.filter(restarts > 0)).len():
        words.append(plural(random, "random start"))
    return " or ".join(words)


def failing(rows: pl.DataFrame, *, outlined: bool) -> str:
    """How many kinds of networks fail checks, which `flagged` names; empty if none does.
    `outlined`: whether the figure marks their points."""
    count = _flags(rows).height
    some = f"{count} {'network fails' if count == 1 else 'networks fail'} checks"
    return f"{'Dotted outline: ' if outlined else ''}{some}." if count else ""


def flagged(rows: pl.DataFrame, *, outlined: bool) -> str:
    """The networks whose accuracy under attack is not to be believed, and the checks that they
    fail; empty if there is none."""
    words = []
    for model, variant, degrees, adversary, flags in _flags(rows).iter_rows():
        trained = "" if adversary == "none" else f", adversary {adversary}"
        words.append(
            f"{kind(vocabulary.label(model), variant)}, range {degrees:g}{trained} ({flags})"
        )
    more = [f"{len(words) - MOST_FLAGGED} more"] if len(words) > MOST_FLAGGED else []
    named = "; ".join([*words[:MOST_FLAGGED], *more])
    marks = " (dotted outlines)" if outlined else ""
    return f"Not to be believed{marks}: {named}." if words else ""


def _flags(rows: pl.DataFrame) -> pl.DataFrame:
    """A row for each kind of network that fails checks."""
    by = ["model", "variant", "train_rotation", "adversary"]
    return rows.group_by(by).agg(flags=joined_flags()).filter(pl.col("flags") != "").sort(by)
