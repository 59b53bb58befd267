"""Where labels stand beside the points they name, so that none lies on another."""

from collections.abc import Sequence

import polars as pl

LABEL_GAP = 0.055
"""Least distance between two labels, as a share of the height of a panel."""


def end_labels(data: pl.DataFrame, x: str, panel: str, label: str) -> pl.DataFrame:
    """Adds `_label` and `_label_y` to the last point of each range's line; labels that would
    collide are moved apart."""
    last = pl.col(x) == pl.col(x).max().over(panel, "train_rotation")
    ends = data.filter(last).sort(panel, x, "accuracy")
    moved = [
        end.with_columns(
            _label=pl.Series([label.format(value) for value in end["train_rotation"]]),
            _label_y=pl.Series(spread(end["accuracy"].to_list(), LABEL_GAP)),
        )
        for end in ends.partition_by(panel, x, maintain_order=True)
    ]
    keys = [panel, "train_rotation", x]
    labels = pl.concat(moved).select(*keys, "_label", "_label_y")
    return data.join(labels, on=keys, how="left", maintain_order="left")


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Ascending values moved as little as it takes to lie `gap` apart and half a gap above 0."""
    runs: list[tuple[float, int]] = []
    for value in values:
        runs.append((value, 1))
        while len(runs) > 1 and _too_close(runs[-2], runs[-1], gap):
            (lower, below), (upper, above) = runs[-2:]
            both = below + above
            runs[-2:] = [((upper * above + lower * below) / both, both)]
    moved: list[float] = []
    for middle, count in runs:
        bottom = middle - gap * (count - 1) / 2
        floor = moved[-1] + gap if moved else gap / 2
        moved += [max(bottom, floor) + gap * index for index in range(count)]
    return moved


def _too_close(lower: tuple[float, int], upper: tuple[float, int], gap: float) -> bool:
    return upper[0] - lower[0] < gap * (upper[1] + lower[1]) / 2
