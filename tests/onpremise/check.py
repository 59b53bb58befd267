"""`python check.py RESULTS HOSTS`: all rows of the launched grid are there, from HOSTS hosts."""

import sys

from rotgrid import grid, results
from rotgrid.results import storage

root, hosts = sys.argv[1], int(sys.argv[2])
rows, skipped = results.read(root, "evaluations", ["trial", "probe", "host"])
(name,) = storage.names(root, "grids", ".yaml")
plan = grid.parse(storage.get(root, name).decode(), name)
wanted = {(t.key(), p.key()) for t, probes in plan.trials.items() for p in probes}
found = list(zip(rows["trial"].to_pylist(), rows["probe"].to_pylist(), strict=True))
computed = sorted(set(rows["host"].to_pylist()))
print(f"{len(plan.trials)} trials, {len(found)} rows, from {', '.join(computed)}")
assert not skipped, skipped
assert sorted(found) == sorted(wanted), "rows are missing, or there twice"
assert len(computed) == hosts, f"rows should come from {hosts} hosts"
