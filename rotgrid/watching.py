"""`rotgrid.status RESULTS --watch`: how far running trainings are, from the files alone."""

import time
from collections.abc import Callable, Sequence

from rich.console import Group
from rich.live import Live
from rich.table import Table

from rotgrid.console import wide
from rotgrid.results.storage import Root
from rotgrid.results.unfinished import Unfinished, unfinished

BARS = "▁▂▃▄▅▆▇█"
COLUMNS = 20
"""Bars of a curve, at most."""


def watch(root: Root, summary: Callable[[], tuple[Table, bool]], seconds: float) -> int:
    """Show the state again and again until everything is done; the exit code. Ctrl-C ends it.

    Args:
        root: results location.
        summary: makes the table of states, and says whether anything is left to do.
        seconds: between two looks.

    Raises:
        StoreError: the results cannot be read.
    """
    console = wide()
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                table, left = summary()
                shown = Group(table, "", curves(unfinished(root)))
                if console.is_terminal:
                    live.update(shown, refresh=True)
                else:
                    console.print(shown)
                if not left:
                    return 0
                time.sleep(seconds)
    except KeyboardInterrupt:
        return 0


def curves(trainings: Sequence[Unfinished]) -> Table:
    """A line for each training under way: its last epoch, and validation accuracy over epochs."""
    table = Table("training", "model", "epochs", "loss", "accuracy", "curve", box=None)
    for training in trainings:
        rows, trial = training.rows, training.trial
        name = f"{trial.get('model', '?')} {trial.get('variant', '')}".strip()
        total = trial.get("epochs") or "?"
        shares = [row["val_n_correct"] / row["val_n"] for row in rows]
        last = (f"{rows[-1]['train_loss']:.3g}", f"{shares[-1]:.2%}") if rows else ("", "")
        table.add_row(training.key, name, f"{len(rows)}/{total}", *last, sparkline(shares))
    return table


def sparkline(values: Sequence[float]) -> str:
    """The last values as bars between their least and their greatest."""
    some = values[-COLUMNS:]
    if not some:
        return ""
    low, high = min(some), max(some)
    steps = len(BARS) - 1
    return "".join(
        BARS[round(steps * (v - low) / (high - low)) if high > low else 0] for v in some
    )
