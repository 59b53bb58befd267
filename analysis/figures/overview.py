"""Robustness to rotations beside the trade-off: what the report shows first."""

import altair as alt
import polars as pl

from analysis.figures import captions, layers, panels, thinning, tradeoff
from analysis.rows import selection
from analysis.rows.conditions import CLEAN, NO_ADVERSARY, TIPS, UPRIGHT
from analysis.rows.selection import Comparable, NotMeasured, comparable, where
from analysis.stats.summary import summary


def overview(rows: pl.DataFrame) -> alt.ConcatChart:
    """Both robustnesses side by side, linked: a click on a model dims the others."""
    needs = "attack none or pgd, adversary none"
    rows = where(rows, needs, NO_ADVERSARY, pl.col("attack").is_in(["none", "pgd"]))
    rows, trained = selection.trained_alike(rows)
    rows, tested = selection.tested_alike(rows)
    upright, ranges = at_test_rotations(rows)
    points, notes, lacking = None, [*trained, *tested, *ranges], []
    try:
        points = tradeoff.points_of(rows)
        notes = [*points.words, *points.notes, *notes]
    except NotMeasured as error:
        if upright.is_empty():
            raise
        lacking = [f"The trade-off is not shown: it {error}."]
    return panels.figure(
        "Robustness to rotations beside robustness to PGD",
        points.rows if points else upright,
        [captions.NO_ADVERSARY, *notes, *lacking],
        linked(summary(upright, TIPS), points),
        None,
        legend=captions.BOTH,
    )


def at_test_rotations(rows: pl.DataFrame) -> Comparable:
    """The rows without attack of networks trained upright; none and a note unless they were tested
    at two ranges."""
    upright = rows.filter(CLEAN, UPRIGHT)
    if upright["test_rotation"].n_unique() > 1:
        kept, notes = comparable(upright)
        kept, more = thinning.thinned_to_fit(kept, "test_rotation", ["model"])
        return Comparable(kept, [*notes, *more])
    note = "Not measured: networks trained with train_rotation 0 at two test ranges."
    return Comparable(upright.clear(), [note])


def linked(upright: pl.DataFrame, points: tradeoff.Points | None) -> list[alt.LayerChart]:
    """A panel over test rotations and one of the trade-off, each with its frame, as far as there
    are rows; a click in the last one chooses a model in both."""
    click = layers.click_selection()
    models = {*upright["model"], *(points.data["model"] if points else ())}
    look = layers.model_encodings(models, click)
    drawn = []
    if not upright.is_empty():
        name = "Trained on upright images, no attack"
        drawn.append(panels.against_rotation(name, upright, look))
        drawn[-1].data = upright
    if points:
        drawn.append(tradeoff.panel(points, "none", look))
        drawn[-1].data = points.data
    drawn[-1] = drawn[-1].add_params(click)
    return drawn
