"""How far the launched grids are, and the epochs of trainings under way."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from analysis.rows.missing import Asked
from analysis.rows.scan import Place, schema
from rotgrid.results import failures, inventory
from rotgrid.results.inventory import STATES, State
from rotgrid.results.unfinished import Unfinished
from rotgrid.results.unfinished import unfinished as under_way
from rotgrid.spec import Trial

WORDS: dict[State, str] = {"trained": "with rows missing"}
"""Of states whose names need others to be understood."""


def states(place: Place, asked: Asked, begun: Collection[str]) -> dict[str, State]:
    """The state of each trial that a grid asks for, by key; those that have `begun` to be measured
    are trained, also where no weights are stored.

    Raises:
        StoreError: the place cannot be read.
    """
    trained, training = inventory.trained_and_training(place)
    failed = {key for key, failure in failures.read(place).items() if failure.final}
    kinds: list[tuple[State, Collection[str]]] = [
        ("done", asked.trials.keys() - asked.lacking.keys()),
        ("failed", failed),
        ("trained", trained.union(begun)),
        ("in training", training),
        ("to do", asked.trials),
    ]
    return {key: next(state for state, keys in kinds if key in keys) for key in asked.trials}


def furthest(*each: Mapping[str, State]) -> dict[str, State]:
    """Of trials that several grids ask for, what is left to do in any of them: a trial is done if
    it is done in all."""
    found: dict[str, State] = {}
    for part in each:
        found |= {key: state for key, state in part.items() if found.get(key, "done") == "done"}
    return found


def in_words(
    found: Mapping[str, State], now: datetime | None = None, done_then: str = "Drawn"
) -> str:
    """How many trials are in which state, and when that was drawn or read (default: now)."""
    at = f"{done_then} on {now or datetime.now(UTC):%Y-%m-%d at %H:%M} UTC."
    if not found:
        return at
    counts = Counter(found.values())
    done = f"{counts['done']} of {len(found)} networks done"
    rest = [f"{counts[s]} {WORDS.get(s, s)}" for s in STATES if s != "done" and counts[s]]
    return f"{', '.join([done, *rest])}. {at}"


def unfinished(places: Sequence[Place], finished: pl.Series) -> pl.DataFrame:
    """The epochs of the trainings under way, but for those of `finished` trials.

    Raises:
        StoreError: a place cannot be read.
    """
    known = set(finished)
    found = {each.key: each for place in places for each in under_way(place)}
    rows = [row for key, each in found.items() if key not in known for row in epochs(each)]
    return pl.DataFrame(rows, schema("training"), strict=False)


def epochs(training: Unfinished) -> Iterator[dict[str, Any]]:
    """The rows of one training, as those of table `training`; none if it does not say of which
    network it is."""
    if not training.trial:
        return
    try:
        trial = Trial.model_validate(training.trial)
    except ValueError:
        return
    for row in training.rows:
        yield {"trial": training.key, **trial.model_dump(), **row}
