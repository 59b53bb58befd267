import json

import polars as pl
import pytest
import vl_convert

from analysis.explorer import charts, choices, points
from analysis.explorer.charts import Axes
from analysis.figures import theme
from analysis.figures.panels import MOST_ROWS
from analysis.rows.selection import CannotShow, NotMeasured

from made_up import epochs, frame, study, table_of, trials_of


@pytest.fixture(scope="module")
def rows():
    made = study(seeds=(0, 1, 2), train_rotations=(0, 60), test_rotations=(0, 60), eps=(0.1, 0.3))
    learned = [r for trial in trials_of(made) for r in epochs(trial, [None])]
    return choices.with_measures(frame(made), table_of("training", learned))


def drawn(rows, *names):
    axes = Axes(*names)
    return charts.charts(points.points(rows, axes.used()), axes)


def test_any_column_against_any_other(rows):
    """Every pair is a valid chart of all the points, whatever is coloured."""
    columns = [*choices.axes(rows).values()]
    for at, (x, y) in enumerate((x, y) for x in columns for y in columns if x != y):
        others = [name for name in columns if name not in (x, y)]
        axes = Axes(x, y, ["", *others][at % (len(others) + 1)])
        (chart,) = drawn(rows, *axes).values()
        spec = chart.to_dict()
        (data,) = spec["datasets"].values()
        used = axes.used()
        assert len(data) == points.points(rows, used).drop_nulls(used).height
        json.dumps(spec, allow_nan=False)


@pytest.mark.parametrize("names", [("test_rotation", "accuracy", "model", "attack"),
                                   ("clean_accuracy", "accuracy", "eps", "model"),
                                   ("adversary", "accuracy", "train_rotation")])  # fmt: skip
def test_vega_draws_it(rows, names):
    for chart in drawn(rows, *names).values():
        spec = chart.properties(width=300).to_dict()
        assert vl_convert.vegalite_to_svg(spec).count("aria-roledescription") > 3


def test_facets_share_their_scales_and_part_the_points(rows):
    found = drawn(rows, "test_rotation", "accuracy", "model", "attack")
    assert list(found) == list(choices.values(rows, "attack"))
    specs = [chart.to_dict() for chart in found.values()]
    scales = {json.dumps(s["layer"][-1]["encoding"]["y"]["scale"]) for s in specs}
    assert len(scales) == 1
    sizes = [len(data) for spec in specs for data in spec["datasets"].values()]
    axes = ["test_rotation", "accuracy", "model", "attack"]
    assert sum(sizes) == points.points(rows, axes).height


def marks(chart):
    return [layer["mark"]["type"] for layer in chart.to_dict()["layer"]]


def test_lines_join_numbers_bands_need_seeds_and_words_have_rules(rows):
    (numbers,) = drawn(rows, "test_rotation", "accuracy").values()
    assert marks(numbers) == ["area", "line", "point"]
    (measures,) = drawn(rows, "clean_accuracy", "accuracy").values()
    assert marks(measures) == ["rule", "point"]
    (names,) = drawn(rows, "model", "accuracy").values()
    assert marks(names) == ["rule", "point"]
    (few,) = drawn(rows.filter(pl.col("seed") < 2), "test_rotation", "accuracy").values()
    assert marks(few) == ["line", "point"]


def test_models_have_the_colours_of_the_report_on_any_paper(rows):
    (chart,) = drawn(rows, "test_rotation", "accuracy", "model").values()
    colours = chart.to_dict()["layer"][-1]["encoding"]["color"]["scale"]
    assert colours["domain"] == ["stdcnn", "gcnn"]
    for model, colour in zip(colours["domain"], colours["range"], strict=True):
        assert theme.STYLES[model][0] in colour
    assert all(colour.startswith("var(--c") for colour in colours["range"])


def test_the_page_knows_the_colours_of_a_dark_page():
    from analysis.explorer.__main__ import APP

    css = APP.with_name("app.css").read_text()
    used = {colour for colour, _ in theme.STYLES.values()} & theme.DARK.keys()
    for colour in used:
        assert f"--c{colour[1:]}: {theme.DARK[colour]}" in css


def test_what_cannot_be_drawn_is_said(rows):
    with pytest.raises(NotMeasured, match="Median distance"):
        drawn(rows, "test_rotation", "distance")
    many = pl.concat([rows.with_columns(pl.col("eps") + k / 1e6) for k in range(40)])
    many = many.with_columns(seed=pl.lit(0), steps=pl.int_range(pl.len()))
    assert many.height > MOST_ROWS
    with pytest.raises(CannotShow, match=f"at most {MOST_ROWS:,}: choose fewer rows"):
        drawn(many, "steps", "accuracy")
    with pytest.raises(CannotShow, match="facets, at most"):
        drawn(many.head(100), "test_rotation", "accuracy", "", "steps")


def test_the_caption_says_what_tells_points_apart(rows):
    plain = rows.filter(attack="none", adversary="none")
    axes = Axes("test_rotation", "accuracy", "model")
    found = points.points(plain, axes.used())
    assert charts.apart(found, axes) == ["train_rotation"]
    assert "apart by Train rotation (± degrees), too" in charts.caption(found, axes)
    facets = axes._replace(facet="train_rotation")
    assert "apart" not in charts.caption(found, facets)
    assert "intervals" not in charts.caption(found, facets._replace(y="parameters"))


def test_tooltips_are_short(rows):
    axes = Axes("test_rotation", "accuracy", "model", "attack")
    found = points.points(rows, axes.used())
    assert len(charts.told(found, axes)) <= 8
