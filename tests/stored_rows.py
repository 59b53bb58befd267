"""Rows as tests compare them: without what differs from run to run."""

from rotgrid import results

VARYING = {"seconds", "finished_at", "host"}


def stored(root, table="evaluations"):
    """All rows of a table, sorted; no file may have been skipped."""
    rows, skipped = results.read(root, table)
    assert skipped == []
    kept = [{k: v for k, v in row.items() if k not in VARYING} for row in rows.to_pylist()]
    return sorted(kept, key=lambda row: (row["trial"], str(row.get("probe")), row.get("epoch", 0)))
