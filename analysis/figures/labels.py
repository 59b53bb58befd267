"""Where labels stand beside the points they name, so that none lies on another."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import polars as pl

from analysis.figures import theme

LABEL_GAP = 0.055
"""Least distance between two labels, as a share of the height of a panel."""
CHARACTER, LINE, POINT = 5.6, 11.0, 5.0
"""Pixels of a character and of a line of a label, and the radius of a point with its margin."""
MOST_LABELS, MOST_END_LABELS = 14, 18
"""Of a panel: labels, and labels of the ends of paths where all are too many."""
PLACES = ("_label_x", "_label_y", "_tip_x", "_tip_y")
CORNERS = ((1, 1), (1, -1), (-1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))
BETWEEN = ((1, 0.5), (1, -0.5), (-1, 0.5), (-1, -0.5), (0.5, 1), (-0.5, 1), (0.5, -1), (-0.5, -1))
SIDES = (*CORNERS, *BETWEEN)
CROSSED = 40.0
"""Pixels that a label may stand further off, so that its line crosses nothing."""
RINGS = (0.0, 6.0, 12.0, 20.0, 30.0, 42.0, 56.0, 72.0, 90.0, 110.0, 132.0, 156.0)
"""How far beyond its point, in pixels, a label is tried; the nearest free place is taken."""


class Box(NamedTuple):
    """A rectangle in a panel, in pixels."""

    left: float
    low: float
    right: float
    high: float

    def overlap(self, other: "Box") -> float:
        """The area that two boxes share."""
        across = min(self.right, other.right) - max(self.left, other.left)
        up = min(self.high, other.high) - max(self.low, other.low)
        return max(across, 0.0) * max(up, 0.0)

    def within(self, width: float, height: float) -> bool:
        """Whether it lies in the panel."""
        return self.left >= 0 and self.low >= 0 and self.right <= width and self.high <= height

    def middle(self) -> tuple[float, float]:
        """Its middle."""
        return (self.left + self.right) / 2, (self.low + self.high) / 2

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """Where a line from outside to the box ends."""
        return min(max(x, self.left), self.right), min(max(y, self.low), self.high)

    def lies_on(self, line: Sequence[tuple[float, float]]) -> bool:
        """Whether one of the points of a line lies in it."""
        return any(self.left < x < self.right and self.low < y < self.high for x, y in line)


def boxed(
    points: Sequence[tuple[float, float]],
    texts: Sequence[str | None],
    width: float,
    height: float,
) -> list[Box | None]:
    """A box for each text beside its point: in the panel, on no point and on no other label, as
    near as can be, if possible without a line across them; where nothing is free, where least is
    hidden. None where there is no text."""
    taken = [Box(x - POINT, y - POINT, x + POINT, y + POINT) for x, y in points]
    boxes: list[Box | None] = []
    for (x, y), text in zip(points, texts, strict=True):
        if text is None:
            boxes.append(None)
            continue
        box = _best(text, (x, y), taken, width, height)
        boxes.append(box)
        taken.append(box)
    return boxes


def _best(
    text: str, point: tuple[float, float], taken: Sequence[Box], width: float, height: float
) -> Box:
    """The place that hides least, and of those the nearest with the fewest crossings."""
    others = [box for box in taken if not box.lies_on([point])]
    least, best = (math.inf, math.inf), next(_places(*point, text))[1]
    for ring, box in _places(*point, text):
        if not box.within(width, height):
            continue
        cost = (
            sum(box.overlap(other) for other in taken),
            ring + CROSSED * _crossed(point, box, others),
        )
        if cost < least:
            least, best = cost, box
        if cost == (0, ring):
            break  # none that follows is nearer
    return best


def _crossed(point: tuple[float, float], box: Box, others: Sequence[Box]) -> int:
    """How many boxes the line from a point to its label crosses."""
    (x, y), (to_x, to_y) = point, box.nearest(*point)
    steps = int(math.dist((x, y), (to_x, to_y)) / POINT)
    line = [(x + (to_x - x) * i / steps, y + (to_y - y) * i / steps) for i in range(1, steps)]
    return sum(other.lies_on(line) for other in others)


def _places(x: float, y: float, text: str) -> Iterator[tuple[float, Box]]:
    """Boxes around a point, and how far beyond it they are; the best first."""
    wide, high = CHARACTER * len(text) / 2 + 1, LINE / 2
    for ring, (across, up) in itertools.product(RINGS, SIDES):
        at_x, at_y = x + across * (wide + POINT + ring), y + up * (high + POINT + ring)
        yield ring, Box(at_x - wide, at_y - high, at_x + wide, at_y + high)


class Axis(NamedTuple):
    """An axis of a panel: what it shows, from where to where, on how many pixels."""

    column: str
    lower: float
    upper: float
    size: float
    log: bool = False

    def pixels(self, value: float) -> float:
        """Where a value lies."""
        lower, upper, at = (
            math.log(v) if self.log else v for v in (self.lower, self.upper, value)
        )
        return (at - lower) / (upper - lower) * self.size

    def value(self, pixels: float) -> float:
        """What lies there."""
        share = pixels / self.size
        if self.log:
            return float(self.lower * (self.upper / self.lower) ** share)
        return self.lower + share * (self.upper - self.lower)


def rotation(form: Callable[[float], str] = theme.rotation) -> pl.Expr:
    """What is written at a network: the range of rotations that it was trained on."""
    return pl.col("train_rotation").map_elements(form, return_dtype=pl.String)


def thinned(data: pl.DataFrame, panel: str, *path: str) -> pl.DataFrame:
    """Of many labels in a panel keeps those at the ends of each path over training ranges, of very
    many those at the widest range, and of still more none."""
    degrees, has_label = pl.col("train_rotation"), pl.col("_label").is_not_null()
    last = degrees == degrees.max().over(panel, *path)
    ends = last | (degrees == degrees.min().over(panel, *path))
    all_fit = has_label.sum().over(panel) <= MOST_LABELS
    ends_fit = (has_label & ends).sum().over(panel) <= MOST_END_LABELS
    last_fit = (has_label & last).sum().over(panel) <= MOST_END_LABELS
    kept = all_fit | (ends_fit & ends) | (last_fit & last)
    return data.with_columns(_label=pl.when(kept).then("_label"))


def placed(data: pl.DataFrame, across: Axis, up: Axis, panel: str) -> pl.DataFrame:
    """Adds where each `_label` stands (`_label_x`, `_label_y`) so that none lies on another or on
    a point of its panel, and the end of the line that leads there from its point (`_tip_x`,
    `_tip_y`; null where the label is beside its point)."""
    frames = []
    for frame in data.partition_by(panel, maintain_order=True):
        xs, ys = ([a.pixels(v) for v in frame[a.column]] for a in (across, up))
        at = list(zip(xs, ys, strict=True))
        boxes = boxed(at, frame["_label"].to_list(), across.size, up.size)
        stands = [_stands(point, box, across, up) for point, box in zip(at, boxes, strict=True)]
        places = pl.DataFrame(stands, schema=dict.fromkeys(PLACES, pl.Float64), orient="row")
        frames.append(pl.concat([frame, places], how="horizontal"))
    return pl.concat(frames)


def _stands(
    point: tuple[float, float], box: Box | None, across: Axis, up: Axis
) -> list[float | None]:
    if box is None:
        return [None] * 4
    (x, y), tip = box.middle(), box.nearest(*point)
    middle = [across.value(x), up.value(y)]
    near = math.dist(point, tip) <= 2 * POINT
    return [*middle, *([None, None] if near else [across.value(tip[0]), up.value(tip[1])])]


def end_labels(
    data: pl.DataFrame, x: str, y: str, line: str, text: pl.Expr, domain: tuple[float, float]
) -> pl.DataFrame:
    """Adds `_label` and `_label_y` to the last point of each attack's lines, where `text` is not
    null. Labels that would collide on the axis are moved apart, in the order of the lines."""
    lower, upper = domain
    last = pl.col(x) == pl.col(x).max().over("attack", line)
    height, level = (pl.col(y) - lower) / (upper - lower), pl.col(y).mean().over("attack", line)
    ends = data.with_columns(_label=text, _height=height, _level=level)
    ends = ends.filter(last, pl.col("_label").is_not_null())
    ends = ends.sort("attack", x, (pl.col("_height") / LABEL_GAP).round(), "_level")
    moved = [
        end.with_columns(_label_y=pl.Series(dodged(end["_height"].sort().to_list(), LABEL_GAP)))
        for end in ends.partition_by("attack", x, maintain_order=True)
    ]
    keys = ["attack", line, x]
    places = pl.concat(moved or [ends.with_columns(_label_y="_height")])
    labels = places.select(*keys, "_label", pl.col("_label_y") * (upper - lower) + lower)
    return data.join(labels, on=keys, how="left", maintain_order="left")


def dodged(values: Sequence[float], gap: float) -> list[float]:
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
