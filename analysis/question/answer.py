"""The answer to the question that a grid asks: a sentence and a table."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from analysis.question import fields as of_fields
from analysis.question.effects import Effect, interactions, largest, main_effects
from analysis.question.fields import said
from analysis.question.outcomes import CLEAN_WORDS, Headline, headline, outcomes
from analysis.rows import versions
from analysis.rows.phrases import listed, plural
from analysis.rows.scan import TRIAL

MOST_NAMED = 5
"""Values of a field that are named; of more the outermost and their number."""
UNDECIDED = ("too close to call", "at the floor")
AMONG_ALL = " once all comparisons are counted"
MOST_FIELDS = 3
"""Fields that the headline names."""
SCHEMA = {
    **dict.fromkeys(("field", "compared", "outcome"), pl.String()),
    **dict.fromkeys(("difference", "lower", "upper", "p"), pl.Float64()),
    "verdict": pl.String(),
    **dict.fromkeys(("settings", "n", "seeds"), pl.Int64()),
}


class Answer(NamedTuple):
    """What a grid shows."""

    headline: str
    lines: list[str]
    """The largest interaction, what varies, and what was left out or could not be compared."""
    table: pl.DataFrame
    """The largest effect of each field on each kind of accuracy."""
    every: pl.DataFrame
    """Every effect, then every interaction."""


def answer(rows: pl.DataFrame) -> Answer | None:
    """What is varied among the rows and what it does; None if nothing is, or if it is not known
    which images the networks got right. Of own names the newest version counts, and no row under
    attack of a network that fails a check.

    The headline begins with the largest effect of all. Then come the fields of training on robust
    accuracy (on accuracy without attack if nothing was attacked).
    """
    believed = (pl.col("flags").fill_null("") == "") | (pl.col("attack") == "none")
    kept = rows.filter(believed)
    if versions.mixed(kept):
        kept = versions.newest_versions(kept)
    fields = of_fields.with_fields(kept)
    varied = of_fields.varied(fields)
    asked = outcomes(fields)
    effects = main_effects(asked)
    if not effects:
        return None
    top, changes = headline(fields), interactions(asked, effects)
    found = {effect.field for effect in effects}
    missing = [name for name in varied if name not in found and not _as_trained(fields, name)]
    tops = largest(effects)
    left_out = [*_left_out(rows, kept), *of_fields.other_balls(kept, fields)]
    lines = [*_interaction(changes), _varied(fields, varied), *left_out, *_not_compared(missing)]
    return Answer(_headline(tops, top), lines, _table(tops), _table([*effects, *changes]))


def _headline(effects: Sequence[Effect], top: Headline | None) -> str:
    """The largest effect that can be told from none, if there is one, then those of training."""
    told = [e for e in effects if e.field != "eps" and e.verdict not in UNDECIDED]
    first = next(iter([*told, *effects]))
    words = top.words if top else CLEAN_WORDS
    others = [e for e in effects if e.field in TRIAL and e.field != first.field]
    others.sort(key=lambda effect: effect.outcome != words)  # robust accuracy first
    named = list({e.field: e for e in others[::-1]}.values())[::-1][: MOST_FIELDS - 1]
    start = f"Of what this grid varies, `{first.field}` matters most: "
    clauses = [(start, first), *((f"`{effect.field}`: ", effect) for effect in named)]
    scopes = [scope(effect) for _, effect in clauses]
    once = f" ({scopes[0]})" if len(set(scopes)) == 1 else ""
    each = [f"{name}{sentence(e)}" + ("" if once else f" ({scope(e)})") for name, e in clauses]
    return f"{'; '.join(each)}{once}."


def sentence(effect: Effect) -> str:
    """`GCNN halved instead of StdCNN doubled changes accuracy under PGD at eps 0.1 by -3.2 points
    [-5.0, -1.4]`."""
    return f"{compared(effect)} changes accuracy {effect.outcome} by {numbers(effect)}"


def compared(effect: Effect) -> str:
    """`60 instead of 0`, and of interactions both."""
    words = [
        f"{said(f, high)} instead of {said(f, low)}" for f, (low, high) in effect.signs.items()
    ]
    return " and ".join(words)


def numbers(effect: Effect) -> str:
    """The difference in points and its interval."""
    lower, upper = map(_points, interval(effect))
    return f"{_points(effect.value)} points [{lower}, {upper}]"


def scope(effect: Effect) -> str:
    """How far it reaches: the seeds and, unless it holds, the verdict; where the interval, which
    is of one comparison, seems to say otherwise, also why."""
    seeds = plural(pl.Series([effect.found.estimate.seeds]), "seed")
    if effect.verdict == "described":
        return f"described: {seeds}, these networks only"
    if effect.verdict == "holds":
        return seeds
    lower, upper = interval(effect)
    alone = effect.verdict == "too close to call" and not lower <= 0 <= upper
    return f"{seeds}, {effect.verdict}{AMONG_ALL if alone else ''}"


def interval(effect: Effect) -> tuple[float, float]:
    """The 95 % interval; a difference of accuracies is at most 1, one of differences 2."""
    lower, upper = effect.found.estimate.interval()
    most = float(len(effect.signs))
    return max(lower, -most), min(upper, most)


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "\u2212")


def _interaction(effects: Sequence[Effect]) -> list[str]:
    """How far one field changes the effect of another, where that can be told from none."""
    told = [effect for effect in effects if effect.verdict not in UNDECIDED]
    if not told:
        return ["No two fields change each other's effect by more than chance."] if effects else []
    (first, (low, high)), (second, (other, one)) = told[0].signs.items()
    return [
        f"Largest interaction: `{second}` {said(second, one)} instead of {said(second, other)} "
        f"changes the effect of `{first}` ({said(first, high)} instead of {said(first, low)}) on "
        f"accuracy {told[0].outcome} by {numbers(told[0])} ({scope(told[0])})."
    ]


def _varied(fields: pl.DataFrame, varied: Sequence[str]) -> str:
    words = [f"`{name}` ({_values(fields, name)})" for name in varied]
    count = fields["seed"].n_unique()
    return f"Varied: {', '.join(words)}; {count} seed{'' if count == 1 else 's'}."


def _values(fields: pl.DataFrame, name: str) -> str:
    found = [said(name, value) for value in of_fields.values(fields, name)]
    if len(found) <= MOST_NAMED:
        return ", ".join(found)
    return f"{found[0]} to {found[-1]}, {len(found)} values"


def _left_out(rows: pl.DataFrame, kept: pl.DataFrame) -> list[str]:
    """How many rows do not count here."""
    left = rows.height - kept.height
    words = "of networks that fail checks, or of earlier versions of own names"
    return [f"Left out: {left:,} rows {words}."] if left else []


def _not_compared(missing: Sequence[str]) -> list[str]:
    names = listed([f"`{name}`" for name in missing])
    return [f"Never varied with all else equal, so not compared: {names}."] if missing else []


def _as_trained(fields: pl.DataFrame, name: str) -> bool:
    """Whether tests follow training, so that this field was compared together with that."""
    return name == "test_rotation" and of_fields.follows(fields, name, "train_rotation")


def _table(effects: Sequence[Effect]) -> pl.DataFrame:
    """A row per effect."""
    rows = [
        [
            " x ".join(effect.signs),
            compared(effect),
            f"accuracy {effect.outcome}",
            effect.value,
            *interval(effect),
            effect.p,
            effect.verdict,
            effect.found.settings,
            effect.found.n,
            effect.found.estimate.seeds,
        ]
        for effect in effects
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
