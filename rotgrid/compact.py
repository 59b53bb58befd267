"""`python -m rotgrid.compact RESULTS`: merge many small Parquet parts into few large files.

It may run while others launch, read or compact, and may be killed: no row is lost.

Exit codes: 0 done, 2 usage or no results, 5 the results cannot be read or written.
"""

import argparse
import contextlib
import datetime
import sys
from collections.abc import Iterator, Sequence

from rotgrid.console import tolerate_lost_output
from rotgrid.results import storage
from rotgrid.results.columns import KEYS, TableName
from rotgrid.results.compaction import compact
from rotgrid.results.storage import Root

MOST_FILES = 300
"""Of one table: more take long to read."""
DEAD = datetime.timedelta(hours=1)
"""No file takes as long to write."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m rotgrid.compact",
        description="Merge many small Parquet parts into few large files.",
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", metavar="RESULTS", help="folder, s3:// or gs://")
    root = parser.parse_args(arguments).results
    try:
        with contextlib.suppress(OSError):  # it will be met again
            storage.locate(root)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        return compact_all(root)
    except OSError as error:
        print(f"{error}; nothing is lost: run it again", file=sys.stderr)
        return 5


def compact_all(root: Root) -> int:
    """Merge and report each table; the exit code."""
    if not any(storage.infos(root, folder) for folder in (*KEYS, "grids")):
        print(f"{root}: no launched grid and no rows", file=sys.stderr)
        return 2
    for table in KEYS:
        count, size = usage(root, table)
        rows, problems = compact(root, table)
        left, smaller = usage(root, table)
        print(
            f"{table}: {count:,} -> {left:,} files, {rows:,} rows, "
            f"{size / 1e6:,.1f} -> {smaller / 1e6:,.1f} MB"
        )
        for line in problems:
            print(line, file=sys.stderr)
    for line in (*tidied(root), *left_over(root)):
        print(line, file=sys.stderr)
    return 0


def compact_large(root: Root) -> None:
    """Merge the tables that have more than `MOST_FILES` files.

    What fails costs no row, is told on stderr, and is left to the next time.
    """
    for table in KEYS:
        try:
            if len(storage.names(root, table, ".parquet")) > MOST_FILES:
                compact(root, table)
        except storage.StoreError as error:
            print(f"{error}; small files are left as they are", file=sys.stderr)


def tidied(root: Root) -> Iterator[str]:
    """Delete the states of trainings whose weights are stored."""
    weights = set(storage.names(root, "checkpoints", ".pt"))
    for name in sorted(weights):
        key, training, _ = name.partition(".training.pt")
        if training and f"{key}.pt" in weights:
            storage.delete(root, name)
            yield f"{name}: deleted: the training is complete"


def left_over(root: Root) -> Iterator[str]:
    """What writers that were killed have left."""
    now = datetime.datetime.now(datetime.UTC)
    for folder in (*KEYS, "checkpoints", "failures", "grids"):
        for info in storage.infos(root, folder):
            hidden = info.base_name.startswith(".") and info.base_name.endswith(".tmp")
            if hidden and info.mtime and now - info.mtime > DEAD:
                yield f"{folder}/{info.base_name}: half written by a process that died: delete it"


def usage(root: Root, table: TableName) -> tuple[int, int]:
    """How many files a table has, and their bytes."""
    sizes = [info.size for info in storage.infos(root, table) if info.base_name[0] != "."]
    return len(sizes), sum(sizes)


if __name__ == "__main__":
    tolerate_lost_output()
    sys.exit(main())
