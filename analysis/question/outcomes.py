"""What accuracy is asked for: without attack, under the strongest attack at one eps, and what of
the tests is compared on which rows."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from analysis.question.fields import OF_ATTACK, said
from analysis.rows import vocabulary
from analysis.rows.conditions import CLEAN, SAME_RANGE, SPATIAL, USUAL_EPS
from rotgrid.spec import ADDED_FIELDS

CHANCE = ("noise", "sign-noise", "class-means")
"""Attacks that do not look at the network."""
SEARCHED = (~CLEAN) & ~pl.col("attack").is_in([*SPATIAL, *CHANCE, "spatial-pgd"])
"""Whether a row is of an attack on pixels that looks at the network, or of the user's own."""
CLEAN_WORDS = "without attack"
BY_STRENGTH = ("strong", "fmn-pgd", "apgd", "pgd", "bim")
"""Of these attacks the first that was run is the strongest."""
PROTOCOL = tuple(name for name in OF_ATTACK if name != "eps")
"""How an attack is run."""


class Headline(NamedTuple):
    """The attack and the eps whose accuracy counts as robust."""

    attack: str
    eps: float
    threat: str = "linf"

    @property
    def words(self) -> str:
        """`under PGD at eps 0.1`, `under PGD at eps 1 (L2)`."""
        return f"under {vocabulary.ATTACKS[self.attack]} {self.at_eps}"

    @property
    def at_eps(self) -> str:
        """`at eps 0.1`, `at eps 1 (L2)`."""
        return f"at eps {self.eps:g}{self.ball}"

    @property
    def ball(self) -> str:
        """` (L2)`; empty of L-inf."""
        return "" if self.threat == "linf" else f" ({vocabulary.THREATS[self.threat]})"


class Outcome(NamedTuple):
    """Rows with one kind of accuracy, the words for it, and the fields that are compared there."""

    words: str
    rows: pl.DataFrame
    fields: tuple[str, ...] | None = None
    """None: all that vary."""
    apart: tuple[str, ...] = ()
    """Fields that may differ between the rows that are compared."""


def headline(fields: pl.DataFrame) -> Headline | None:
    """The eps at which most networks were attacked, of several the nearest to the usual one, and
    the strongest attack of those that at least half as many networks were tested with there; None
    if nothing was attacked. An attack that is not known to be weaker is stronger if it leaves
    less.
    """
    attacked = fields.filter(SEARCHED, pl.col("eps") > 0)
    if attacked.is_empty():
        return None
    counts = attacked.group_by("eps").agg(pl.col("trial").n_unique())
    threat = attacked["threat"][0]
    far = (pl.col("eps") - USUAL_EPS[threat]).abs().round(9)
    eps = float(counts.sort(-pl.col("trial").cast(pl.Int64), far, "eps")["eps"][0])
    at = attacked.filter(pl.col("eps") == eps)
    tested = at.group_by("attack").agg(pl.col("trial").n_unique())
    often = tested.filter(2 * pl.col("trial") >= pl.col("trial").max())["attack"]
    best = next((name for name in BY_STRENGTH if name in set(often)), None)
    unknown = [name for name in often if name == best or name not in ("fgsm", *BY_STRENGTH)]
    means = at.filter(pl.col("attack").is_in(unknown or list(often)))
    means = means.group_by("attack").agg((pl.col("n_correct") / pl.col("n")).mean())
    return Headline(means.sort("n_correct", "attack")["attack"][0], eps, threat)


def outcomes(fields: pl.DataFrame) -> list[Outcome]:
    """Robust accuracy, accuracy without attack, and those on which attacks, eps and training
    together with tests are compared; only what has rows."""
    top = headline(fields)
    clean = Outcome(CLEAN_WORDS, fields.filter(CLEAN))
    found = [clean, *_tested_as_trained(clean)]
    if top:
        of_attack = fields.filter(pl.col("attack") == top.attack, pl.col("eps") > 0)
        at_eps = of_attack.filter(pl.col("eps") == top.eps)
        robust = Outcome(top.words, at_eps)
        found = [robust, *_tested_as_trained(robust), *found]
        under = f"under {said('attack', top.attack)}{top.ball}"
        found.append(Outcome(under, of_attack, fields=("eps",)))
    found.append(_attacks(fields, top))
    return [one for one in found if one.rows.height]


def _tested_as_trained(outcome: Outcome) -> list[Outcome]:
    """The rows tested at the range of training: there both ranges vary together."""
    same = outcome.rows.filter(SAME_RANGE)
    words = f"{outcome.words} (tested at the range of training)"
    return [Outcome(words, same, fields=("train_rotation",), apart=("test_rotation",))]


def _attacks(fields: pl.DataFrame, top: Headline | None) -> Outcome:
    """No attack and every attack at the eps of the headline, or with none, as most often run."""
    at_eps = (pl.col("eps") == top.eps) if top else pl.lit(False)
    rows = fields.filter(CLEAN | pl.col("attack").is_in(SPATIAL) | at_eps)
    words = top.at_eps if top else "of all pixels"
    return Outcome(words, usual_protocol(rows), fields=("attack",), apart=OF_ATTACK)


def usual_protocol(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of the most frequent protocol of each attack."""
    return most_frequent(rows, PROTOCOL)


def most_frequent(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The rows of each attack whose values of these fields are together the most frequent; of
    several those that are in most fields as by default, then those with the largest numbers."""
    counts = rows.group_by("attack", *names).len()
    odd = pl.sum_horizontal(pl.col(n) != ADDED_FIELDS[n] for n in names if n in ADDED_FIELDS)
    numbers = [rows.schema[name].is_numeric() for name in names]
    counts = counts.sort("len", odd, *names, descending=[True, False, *numbers])
    usual = counts.unique("attack", keep="first", maintain_order=True)
    return rows.join(usual, on=["attack", *names], how="semi", maintain_order="left")
