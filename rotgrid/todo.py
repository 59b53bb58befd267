"""What a plan asks for and its results lack: the trials to run, in order, and what they take."""

from collections.abc import Mapping
from typing import NamedTuple

from rotgrid import cost
from rotgrid.cost import speed
from rotgrid.grid import Plan, Resources
from rotgrid.results import failures, inventory
from rotgrid.results.inventory import Inventory, Probes
from rotgrid.results.storage import Root
from rotgrid.spec import Trial

LIMIT, LEAST_LIMIT = 10.0, 3_600.0
"""Times the most seconds expected, and seconds: after so long an attempt is given up."""


class Todo(NamedTuple):
    """What a results location lacks of a plan."""

    trials: Probes
    """The trials to run in the order in which they start, each with the probes that it lacks."""
    failed: Probes
    """Those that lack probes and have failed for good; they are to run if they are tried again."""
    trained: set[Trial]
    """Those of `trials` whose weights are stored."""
    stock: Inventory
    """What is stored."""
    speed: speed.Speed
    """Of this kind of device, as far as finished trials tell."""
    expected: cost.Estimate
    """What `trials` take."""


def find_todo(plan: Plan, root: Root, retry: bool) -> Todo:
    """What is still to do of a plan; with `retry` also what has failed for good.

    Raises:
        StoreError: the results cannot be read.
    """
    stock = inventory.take(root)
    lacking = inventory.lacking(plan, stock)
    failed = {t: left for t, left in lacking.items() if inventory.has_failed(t, stock)}
    wanted = {t: left for t, left in lacking.items() if retry or t not in failed}
    trained = {trial for trial in wanted if stock.trained and trial.key() in stock.trained}
    learned = speed.learn(plan, root, stock)
    expected = cost.estimate(wanted, trained, learned)
    trials = {trial: wanted[trial] for trial in in_order(expected.seconds)}
    return Todo(trials, failed, trained, stock, learned, expected)


def in_order(seconds: Mapping[Trial, float]) -> list[Trial]:
    """The longest first, so that the end is not spent waiting for one; but before them, as
    canaries, the shortest of the first models: a mistake in all trials shows at once."""
    longest = sorted(seconds, key=lambda trial: -seconds[trial])
    shortest = {trial.model: trial for trial in longest}
    canaries = sorted(shortest.values(), key=seconds.__getitem__)[: failures.CANARIES]
    return list(dict.fromkeys([*canaries, *longest]))


def time_limits(expected: cost.Estimate, resources: Resources) -> dict[str, float]:
    """Seconds that an attempt at each trial may take, by its key."""
    most = LIMIT * expected.factor[1]
    return {
        trial.key(): 60 * resources.minutes or max(LEAST_LIMIT, most * seconds)
        for trial, seconds in expected.seconds.items()
    }
