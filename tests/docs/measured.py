"""Numbers as the pages print them, computed from the rows that are stored in docs/."""

import functools
import itertools
import re

import analysis
from analysis.claims import verdicts
from analysis.stats import paired

from pages import FENCED, ROOT

FIRST = ("baseline", "architectures", "recipes")
"""Folders of docs/ whose rows are judged together; the study is judged apart."""
COUNTED = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBER = re.compile(
    rf"(?<![\w.])[+-]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?|\b(?:{'|'.join(COUNTED[2:])})\b|\bone seed\b",
    re.I,
)
"""In figures, or as a word."""


@functools.cache
def stored(*places):
    """The rows of these folders of docs/."""
    return analysis.load(*(ROOT / "docs" / place for place in places))


@functools.cache
def outcomes(*places):
    """What these rows say of every claim."""
    return verdicts.judge(stored(*places))


def judged():
    """The outcomes of every sentence; those of docs/study are judged apart."""
    found = (*outcomes(*FIRST), *outcomes("study"))
    every = dict.fromkeys(one.id for one in found)
    return {
        name: [one for one in found if one.id == name and one.verdict != "not measured"]
        for name in every
    }


def numbers_of(one):
    """The numbers of an outcome, without what is missing and remarks."""
    return one.words.partition(". ")[0].partition("; missing")[0].removesuffix(".")


def estimate(*terms):
    """The weighted sum of accuracies: each term a weight and the rows of a network, a seed each.

    Rows of the same networks are one arm: see `paired.contrast`.
    """
    return paired.contrast(
        [(weight, paired.bits(rows), str(sorted(rows["trial"]))) for weight, rows in terms]
    )


def lost_more(rows):
    """What GCNN changes by from ±0° to ±180°, less what StdCNN does: `rows(model, x)` are those of
    the networks of a model that are trained and tested on [-x, x]."""
    ends = itertools.product((("gcnn", 1.0), ("stdcnn", -1.0)), ((180.0, 1.0), (0.0, -1.0)))
    return estimate(*((a * b, rows(model, x)) for (model, a), (x, b) in ends))


def reach(rows):
    """How many seeds and images rows of one kind are of."""
    (n,) = rows["n"].unique()
    return f"{COUNTED[rows['seed'].n_unique()]} seeds, {n:,} images"


def share(rows):
    """An accuracy over seeds and its interval."""
    return told(estimate((1.0, rows)), "{:.1f}", "%")


def gap(more, less):
    """The difference of two accuracies over seeds, in points, and its interval."""
    return points(estimate((1.0, more), (-1.0, less)))


def points(one):
    """A difference and its interval."""
    return told(one, "{:+.1f}", " points")


def told(one, form, unit):
    """An estimate and its interval."""
    value, low, high = (form.format(100 * x) for x in (one.value, *one.interval()))
    return f"{value}{unit} [{low}, {high}]"


def unaccounted(text, told, settings):
    """The numbers of a text that neither stand in what is told of the rows nor are settings.

    `told` are pieces of the text, word for word but for line breaks; `settings` is a pattern.
    """
    left = " ".join(FENCED.sub("", re.sub(r"\]\([^)]*\)", "]", text)).split())
    for piece in sorted(map(str, told), key=len, reverse=True):
        assert piece in left, piece
        left = left.replace(piece, " ")
    return NUMBER.findall(re.sub(settings, " ", left))
