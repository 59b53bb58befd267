"""How accuracy is drawn against any field: which field goes along x, and what tells lines and
panels apart."""

from typing import NamedTuple

import polars as pl

from analysis.question import fields as of_fields
from analysis.question.fields import said
from analysis.question.outcomes import Headline, headline, usual_protocol
from analysis.rows import versions
from analysis.rows.conditions import CLEAN, ON_PIXELS, SAME_RANGE
from analysis.rows.selection import NotMeasured
from rotgrid.spec import Trial

NUMBERS = (
    *("eps", "test_rotation", "train_rotation", "train_size", "train_translation"),
    *("test_translation", "epochs", "train_steps", "batch_size", "learning_rate"),
)
"""Fields that can go along x."""
DASHED = ("adversary", "recipe", "variant", "interpolation", "attack", "precision", "mode")
"""Fields that dashes tell apart, if they have few values."""
MOST_DASHES, MOST_PANELS, MOST_LINES = 4, 12, 10


class Axes(NamedTuple):
    """Rows to draw, and what each of their fields is drawn as."""

    rows: pl.DataFrame
    """Each condition and seed once; `model` without its variant."""
    x: str
    """A number, or words: then there are points instead of lines."""
    colour: str
    """`model`, or another field if that is the same everywhere."""
    dash: str | None
    panels: tuple[str, ...]
    notes: list[str]

    @property
    def lines(self) -> list[str]:
        """What tells lines apart, in one panel or in several."""
        return [self.colour, *([self.dash] if self.dash else []), *self.panels]


def axes(rows: pl.DataFrame, place: int = 0) -> Axes:
    """Accuracy against the number with the most values, or against that at another `place`.

    Raises:
        NotMeasured: there is no such number with two values.
    """
    newest = versions.newest_versions(rows) if versions.mixed(rows) else rows
    fields = of_fields.with_fields(newest)
    numbers = [x for x in NUMBERS if x in of_fields.varied(fields) or x == "eps"]
    drawn = {x: _along(fields, x) for x in numbers}
    counts = {x: found[x].n_unique() for x, found in drawn.items()}
    order = sorted((x for x in counts if _is_axis(drawn[x], x)), key=lambda x: -counts[x])
    if len(order) <= place:
        raise NotMeasured(f"needs rows at two values of {'another' if place else 'a'} number")
    shown = _assigned(drawn[order[place]], order[place])
    return shown._replace(notes=shown.notes + of_fields.other_balls(newest, fields))


def _is_axis(rows: pl.DataFrame, x: str) -> bool:
    """Whether a number has two values; no attack is one of an eps only beside two others."""
    least = pl.col(x) > 0 if x == "eps" else pl.lit(True)
    return rows.filter(least)[x].n_unique() > 1


def categories(rows: pl.DataFrame) -> Axes:
    """Accuracy by what varies besides numbers, without attack and at the eps of the headline: `x`
    are the words with the most values, if possible not models or attacks.

    Raises:
        NotMeasured: a number varies, so that there are lines, or nothing varies.
    """
    try:
        axes(rows)
    except NotMeasured:
        pass
    else:
        raise NotMeasured("needs rows of which no number varies: figure against shows them")
    newest = versions.newest_versions(rows) if versions.mixed(rows) else rows
    fields = of_fields.with_fields(newest)
    top = headline(fields)
    at_eps = CLEAN | (ON_PIXELS & (pl.col("eps") == top.eps)) if top else CLEAN
    kept = usual_protocol(fields.filter(at_eps))
    last = ("model", "attack")
    varied = of_fields.varied(kept)
    words = [name for name in varied if name not in NUMBERS]
    if not words:
        raise NotMeasured("needs rows of two networks or attacks")
    x = min(words, key=lambda name: (name in last, -kept[name].n_unique()))
    return _assigned(_once(kept, varied), x)


def _along(fields: pl.DataFrame, x: str) -> pl.DataFrame:
    """The rows that can make lines along x: of eps those of every attack on pixels, of all else
    those without attack and those of the headline."""
    if x == "eps":
        return _lines(usual_protocol(_with_clean(fields)), x)
    top = headline(fields)
    kept = fields.filter(CLEAN | _of(top)) if top else fields.filter(CLEAN)
    kept = usual_protocol(kept)
    if x == "train_rotation" and kept.filter(SAME_RANGE)[x].n_unique() > 1:
        kept = kept.filter(SAME_RANGE)
    return _lines(kept, x)


def _of(top: Headline) -> pl.Expr:
    return (pl.col("attack") == top.attack) & (pl.col("eps") == top.eps)


def _with_clean(fields: pl.DataFrame) -> pl.DataFrame:
    """The rows of attacks on pixels, tested at the range of training if most networks were, and
    for each of them those without attack as eps 0."""
    attacked = fields.filter(ON_PIXELS, ~CLEAN, pl.col("eps") > 0)
    same = attacked.filter(SAME_RANGE)
    if 2 * same["trial"].n_unique() >= attacked["trial"].n_unique():
        attacked = same
    network = ["trial", "test_rotation", "test_translation", "mode"]
    given = [name for name in of_fields.OF_ATTACK if name != "eps"]
    of_each = attacked.select(*network, "attack", *given).unique()
    clean = fields.filter(CLEAN).drop("attack", *given).join(of_each, on=network)
    return pl.concat([attacked, clean.with_columns(eps=pl.lit(0.0)).select(attacked.columns)])


def _lines(fields: pl.DataFrame, x: str) -> pl.DataFrame:
    """The rows of lines with two points or more; of each point that on most images."""
    others = [name for name in of_fields.varied(fields) if name != x]
    if x == "train_rotation":
        others = [n for n in others if n != "test_rotation" or not _follows(fields)]
    several = pl.col(x).n_unique() if not others else pl.col(x).n_unique().over(others)
    return _once(fields, [x, *others]).filter(several > 1)


def _once(fields: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Of each combination of values and seed the row on most images."""
    most_first = fields.sort("n", descending=True)
    return most_first.unique([*names, "seed"], keep="first", maintain_order=True)


def _follows(fields: pl.DataFrame) -> bool:
    return of_fields.follows(fields, "test_rotation", "train_rotation")


def _assigned(rows: pl.DataFrame, x: str) -> Axes:
    """The rows with colour, dash and panels shared out over what varies."""
    rows = _named(rows)
    varied = [*of_fields.varied(rows), "variant"]
    if not _several_variants(rows):
        varied.remove("variant")
    if x in ("train_rotation", "eps") and "test_rotation" in varied and _follows(rows):
        varied.remove("test_rotation")
    left = [name for name in varied if name != x]
    colour = next((name for name in left if _fits_colour(rows, name)), "model")
    left = [name for name in left if name != colour]
    dashed = DASHED if x in NUMBERS else ()
    few = [n for n in dashed if n in left and rows[n].n_unique() <= MOST_DASHES]
    dash = next(iter(few), None) if x != "eps" else next((n for n in few if n != "attack"), None)
    left = [name for name in left if name != dash]
    panels = sorted(left, key=lambda name: (name != "attack", name not in Trial.model_fields))
    kept, notes = _in_few_panels(rows, panels)
    shown = tuple(name for name in panels if kept[name].n_unique() > 1)
    return Axes(kept, x, colour, dash, shown, notes)


def _named(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with `model` and `variant` apart again."""
    parts = pl.col("model").str.splitn(" ", 2)
    model, variant = parts.struct.field("field_0"), parts.struct.field("field_1").fill_null("")
    return rows.with_columns(model=model, variant=variant)


def _several_variants(rows: pl.DataFrame) -> bool:
    return bool((rows.group_by("model").agg(pl.col("variant").n_unique())["variant"] > 1).any())


def _fits_colour(rows: pl.DataFrame, name: str) -> bool:
    return name == "model" or rows[name].n_unique() <= MOST_LINES


def _in_few_panels(rows: pl.DataFrame, panels: list[str]) -> tuple[pl.DataFrame, list[str]]:
    """The rows of as many panels as a page holds: of one field after the other, from the last,
    only the most frequent value."""
    notes = []
    for name in panels[::-1]:
        if rows.select(panels).n_unique() <= MOST_PANELS:
            break
        usual = rows[name].value_counts().sort("count", name, descending=[True, False])[name][0]
        others = rows[name].n_unique() - 1
        rows = rows.filter(pl.col(name) == usual)
        notes.append(f"Only `{name}` {said(name, usual)} is shown, of {others + 1} values.")
    return rows, notes


def label(row: dict[str, object], names: tuple[str, ...]) -> str:
    """What a panel is called: its value of each field."""
    words = {"train_rotation": "trained on", "test_rotation": "tested on"}
    words |= dict.fromkeys(("model", "variant", "attack", "data"), "")
    return ", ".join(
        f"{words.get(name, name.replace('_', ' '))} {said(name, row[name])}".strip()
        for name in names
    )
