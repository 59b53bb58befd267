"""Rows as tests compare them, without what differs from run to run, and rows that they make up."""

from rotgrid import results

VARYING = {"seconds", "finished_at", "host"}


def stored(root, table="evaluations"):
    """All rows of a table, sorted; no file may have been skipped."""
    rows, skipped = results.read(root, table)
    assert skipped == []
    kept = [{k: v for k, v in row.items() if k not in VARYING} for row in rows.to_pylist()]
    return sorted(kept, key=lambda row: (row["trial"], str(row.get("probe")), row.get("epoch", 0)))


def of_accuracies(pairs):
    """Rows of epochs with (clean, robust) validation accuracies."""
    return [
        {
            "epoch": epoch, "val_n": 500, "val_n_correct": round(500 * clean),
            "val_robust_n": 100, "val_robust_n_correct": round(100 * robust),
        }
        for epoch, (clean, robust) in enumerate(pairs, 1)
    ]  # fmt: skip
