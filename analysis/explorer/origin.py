"""Where rows come from: the command that makes them again."""

from collections.abc import Sequence

import polars as pl

from analysis.rows.scan import Place
from rotgrid.console import command
from rotgrid.results.grids import launched_plans

AGAIN = "results/again"
"""Where the printed commands put what they make: where rows are, nothing is made again."""


def relaunch_commands(places: Sequence[Place], rows: pl.DataFrame) -> list[str]:
    """A command for each network of the rows and each stored grid that asks for any of them.

    Raises:
        StoreError: the grids cannot be read.
    """
    wanted: dict[str, set[str]] = {}
    for trial, probe in rows.select("trial", "probe").iter_rows():
        wanted.setdefault(trial, set()).add(probe)
    found = []
    for place in places:
        for name, plan in launched_plans(place)[0].items():
            keys = {trial.key(): probes for trial, probes in plan.trials.items()}
            for trial in [key for key in wanted if key in keys]:
                if answered := wanted[trial] & {probe.key() for probe in keys[trial]}:
                    wanted[trial] -= answered
                    file = f"{place}/grids/{name}.yaml"
                    found.append(
                        command("rotgrid.launch", file, "--only", trial, "--results", AGAIN)
                    )
    return found
