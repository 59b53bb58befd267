import contextlib
import itertools
import json

import polars as pl
import pytest
import vl_convert

from analysis.claims import verdicts
from analysis.figures import captions, panels
from analysis.figures.registry import FIGURES
from analysis.report import methods
from analysis.rows import selection
from analysis.rows.overview import overview
from analysis.rows.selection import NotMeasured
from analysis.stats import paired
from rotgrid.spec import Probe
from rotgrid.spec.attacks import ATTACKS

from made_up import (
    chart,
    frame,
    learned,
    row,
    shown_by,
    study,
    table_of,
    trials_of,
    whole,
    words_of,
)

PAIR = (("stdcnn", "doubled"), ("gcnn", "halved"))
OF_FULL = ("overview", "tradeoff", "figure01", "figure02", "figure04", "figure07", "figure11")
OF_SMALL = (*OF_FULL, "frontier", "figure10", "figure12")
GCNN_60 = (pl.col("model") == "gcnn") & (pl.col("train_rotation") == 60)


@pytest.fixture(scope="module")
def everything():
    """Every table of a study that has all that figures ask for."""
    return whole()


@pytest.fixture(scope="module")
def specs(full, sparse, everything):
    """Every figure of the whole study, and some of the full and of the sparse one, drawn once."""
    some = ("figure04", "figure07", "tradeoff")
    return {
        "whole": {n: chart(n, **shown_by(n, everything)).to_dict() for n in FIGURES},
        "full": {name: drawn(name, full) for name in (*OF_FULL, "figure12")},
        "sparse": {name: drawn(name, sparse) for name in some},
    }


def drawn(name, rows):
    return chart(name, rows).to_dict()


def layers(panel, mark):
    return [layer for layer in panel["layer"] if layer["mark"]["type"] == mark]


def encoding(panel, mark, channel):
    return layers(panel, mark)[0]["encoding"][channel]


def subtitle(spec):
    return words_of(spec)


def titles(spec):
    return [panel["title"]["text"] for panel in spec["concat"]]


def values(spec, column):
    (rows,) = spec["datasets"].values()
    return sorted({row[column] for row in rows})


@pytest.mark.parametrize(
    ("which", "name"),
    [*(("whole", name) for name in FIGURES), ("sparse", "figure04"), ("sparse", "tradeoff")],
)
def test_every_figure_says_what_it_shows(which, name, specs):
    spec = specs[which][name]
    words = subtitle(spec)
    seeds = {"whole": "3 seeds", "sparse": "1 seed;"}[which]
    subset = "MNIST-5k subset (not MNIST test accuracy)"
    assert all(fact in words for fact in (subset, seeds, "n = ", "test images"))
    assert spec["description"].startswith(spec["title"]["text"])
    assert "ean over seeds" in words or "mean over the seeds" in words
    points = ("boundary", "learning", "tradeoff", "frontier", "cube", "equivariance", "cost")
    assert "95% interval" in words or name in points
    clean = [f"figure{n:02}" for n in (1, 2, 3, 5, 12)]
    if name not in (*clean, "learning", "boundary", "against"):
        assert "L-inf radius in pixel units" in words
        assert "step" in words


@pytest.mark.parametrize("name", FIGURES)
def test_every_panel_has_one_scale_on_each_axis(name, specs):
    """A layer that asks for another one would change it for all, and nothing would say so."""
    for panel in specs["whole"][name]["concat"]:
        for axis in "xy":
            encodings = [layer["encoding"] for layer in panel["layer"]]
            scales = [json.dumps(e[axis]["scale"]) for e in encodings if axis in e]
            assert len(set(scales)) == 1


@pytest.mark.parametrize("name", FIGURES)
def test_no_tooltip_has_more_than_eight_fields(name, specs):
    tips = [
        layer["encoding"]["tooltip"]
        for panel in specs["whole"][name]["concat"]
        for layer in panel["layer"]
        if "tooltip" in layer["encoding"]
    ]
    assert tips
    assert all(3 <= len(fields) <= 8 for fields in tips)
    for fields in tips:
        titles = [field["title"] for field in fields]
        assert len(set(titles)) == len(titles)
        assert "Seeds; images of each network" in " ".join(titles)


@pytest.mark.parametrize("name", FIGURES)
def test_no_caption_is_longer_than_two_lines_of_the_figure(name, specs):
    spec = specs["whole"][name]
    width = sum(panel["width"] + 60 for panel in spec["concat"][: spec["columns"]])
    lines = spec["title"]["subtitle"]
    assert len(lines) == 2
    assert all(len(line) * captions.CHARACTER <= max(width + 60, 640) for line in lines)
    assert not any(line.endswith("...") for line in lines)
    assert spec["description"] == " ".join([spec["title"]["text"], *lines])


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_aggregated_by_vega_and_every_field_exists(name, specs):
    spec = specs["whole"][name]
    text = json.dumps(spec["concat"])
    assert '"aggregate"' not in text
    assert '"stack"' not in text
    fields = set(itertools.chain.from_iterable(found_fields(spec["concat"])))
    columns = {key for rows in spec["datasets"].values() for key in rows[0]}
    assert fields <= columns
    assert all(len(rows) <= panels.MOST_ROWS for rows in spec["datasets"].values())


def found_fields(part):
    if isinstance(part, list):
        yield from (field for item in part for field in found_fields(item))
    elif isinstance(part, dict):
        if isinstance(part.get("field"), str):
            yield [part["field"]]
        for value in part.values():
            yield from found_fields(value)


@pytest.mark.parametrize("name", FIGURES)
def test_no_row_at_all_is_not_measured(name):
    with pytest.raises(NotMeasured, match="needs rows"):
        chart(name, frame([]))


def test_too_many_rows_are_refused():
    data = pl.DataFrame({"accuracy": [0.5] * 2_001})
    with pytest.raises(ValueError, match="2001 rows"):
        panels.embeddable(data)


def test_numbers_that_json_lacks_are_not_embedded():
    data = pl.DataFrame({"a": [0.5, float("nan"), float("inf"), None], "b": [1, 2, 3, 4]})
    kept = panels.embeddable(data)
    assert kept["a"].to_list() == [0.5, None, None, None]
    assert kept["b"].to_list() == [1, 2, 3, 4]


def test_figure01_zooms_into_small_rotations_and_shows_all(specs):
    spec = specs["full"]["figure01"]
    small, whole = spec["concat"]
    assert titles(spec) == ["Small rotations", "All rotations"]
    assert encoding(small, "line", "x")["scale"]["domain"] == [0, 40]
    assert encoding(small, "line", "y")["scale"]["zero"] is False
    assert small["title"]["subtitle"] == ["y axis fitted to the data"]
    assert encoding(whole, "line", "x")["scale"]["domain"] == [0, 180]
    assert encoding(whole, "line", "y")["scale"]["domain"] == [0, 1]
    assert values(spec, "test_rotation") == [0, 20, 40, 60, 90, 180]


def test_figure01_draws_the_numbers_that_were_measured(full):
    chart = FIGURES["figure01"].draw(full)
    point = (pl.col("model") == "gcnn") & (pl.col("test_rotation") == 40)
    rows = full.filter(
        point,
        pl.col("attack") == "none",
        pl.col("adversary") == "none",
        pl.col("train_rotation") == 0,
    )
    (shown,) = chart.data.filter(point).iter_rows(named=True)
    shares = (rows["n_correct"] / rows["n"]).to_list()
    assert len(shares) == shown["seeds"] == 3
    assert shown["accuracy"] == pytest.approx(sum(shares) / 3)
    assert (shown["accuracy_min"], shown["accuracy_max"]) == (min(shares), max(shares))
    assert (shown["n"], shown["interval"]) == (1_000, "seeds and images")
    bits = paired.bits(rows)
    interval = paired.contrast([(1.0, bits, "")]).interval()
    assert (shown["lower"], shown["upper"]) == pytest.approx(interval)


def test_models_keep_their_order_colour_and_shape(specs):
    panel = specs["full"]["figure01"]["concat"][0]
    colour, shape = (encoding(panel, "point", channel) for channel in ("color", "shape"))
    assert colour["scale"] == {"domain": ["stdcnn", "gcnn"], "range": ["#000000", "#0072B2"]}
    assert shape["scale"] == {"domain": ["stdcnn", "gcnn"], "range": ["circle", "square"]}
    assert colour["legend"]["symbolOpacity"] == 1


def test_capsules_have_figure12_to_themselves(full):
    assert set(FIGURES["figure01"].draw(full).data["model"]) == {"stdcnn", "gcnn"}
    assert set(FIGURES["figure12"].draw(full).data["model"]) == {"stdcnn", "gcnn", "capsnet"}
    with pytest.raises(NotMeasured, match="needs rows with model capsnet"):
        FIGURES["figure12"].draw(full.filter(pl.col("model") != "capsnet"))


def test_figure01_with_one_test_range_is_not_measured(full):
    words = r"two values of test_rotation or more, with .* than capsnet.* \(measured: 20\)"
    with pytest.raises(NotMeasured, match=words):
        FIGURES["figure01"].draw(full.filter(pl.col("test_rotation") == 20))


def test_figure02_has_a_solid_line_with_and_a_dashed_line_without_rotation(full):
    chart = FIGURES["figure02"].draw(full)
    dash = encoding(chart.to_dict()["concat"][0], "line", "strokeDash")
    assert dash["field"] == "augmentation"
    assert dash["scale"] == {"domain": ["same range", "none"], "range": [[1, 0], [6, 3]]}
    ranges = chart.data.group_by("augmentation").agg(pl.col("test_rotation").unique().sort())
    assert dict(ranges.iter_rows()) == {
        "same range": [0, 60, 180],
        "none": [0, 20, 40, 60, 90, 180],
    }


def test_figure04_without_the_pair_draws_table_1_and_says_so(specs):
    spec = specs["full"]["figure04"]
    assert titles(spec) == ["As in Table 1"]
    assert values(spec, "pair") == ["As in Table 1"]
    assert "(stdcnn doubled and gcnn halved)" in subtitle(spec)
    assert "Not measured: StdCNN double, GCNN half width" in subtitle(spec)
    assert spec["title"]["text"] == "Accuracy under FGSM at eps 0.3 against rotation"
    assert values(spec, "eps") == [0.3]
    assert values(spec, "attack") == ["fgsm"]


def test_figure04_with_the_pair_has_a_panel_for_each():
    rows = frame(study(models=(("stdcnn", "table1"), ("gcnn", "table1"), *PAIR), seeds=(0,)))
    spec = drawn("figure04", rows)
    chosen = [panel["transform"][0]["filter"] for panel in spec["concat"]]
    assert chosen == [
        {"field": "pair", "oneOf": ["As in Table 1"]},
        {"field": "pair", "oneOf": ["StdCNN double, GCNN half width"]},
    ]
    assert "Not measured" not in subtitle(spec)


def test_figure04_shows_networks_of_really_equal_parameters_where_they_were_measured():
    models = (("stdcnn", "matched-table1"), ("gcnn", "table1"))
    found = chart("figure04", frame(study(models, seeds=(0,), adversaries=("none",))))
    spec = found.to_dict()
    assert titles(spec) == ["As in Table 1", "Equal parameters"]
    shown = found.data.select("pair", "model", "variant").unique().sort(pl.all()).rows()
    assert shown == [
        ("As in Table 1", "gcnn", "table1"),
        ("Equal parameters", "gcnn", "table1"),
        ("Equal parameters", "stdcnn", "matched-table1"),
    ]
    assert spec["concat"][1]["title"]["subtitle"][0] == (
        "StdCNN 25,000 and GCNN 25,000 parameters"
    )


@pytest.mark.parametrize("name", ["figure04", "figure07"])
def test_a_missing_paper_eps_is_replaced_by_the_nearest_and_named(name, specs):
    spec = specs["sparse"][name]
    assert "eps 0.15" in spec["title"]["text"]
    assert "paper's eps 0.3 was not measured: the nearest that was, 0.15," in subtitle(spec)


@pytest.mark.parametrize("name", ["figure01", "figure11", "tradeoff"])
def test_a_study_without_table_1_shows_what_it_has(name):
    spec = drawn(name, frame(study(models=PAIR, seeds=(0,), adversaries=("none",))))
    assert "gcnn halved" in subtitle(spec)


def test_figure07_compares_attacks_per_model_and_models_under_pgd(full, specs):
    spec = specs["full"]["figure07"]
    assert titles(spec) == ["StdCNN", "GCNN", "PGD: StdCNN against GCNN"]
    dash = encoding(spec["concat"][0], "line", "strokeDash")["scale"]
    assert dash["domain"] == ["none", "fgsm", "pgd"]
    partial = drawn("figure07", full.filter(pl.col("model") == "gcnn", pl.col("attack") != "pgd"))
    assert titles(partial) == ["GCNN"]
    assert "Not measured: StdCNN. Not measured: PGD" in subtitle(partial)


@pytest.mark.parametrize(("name", "model"), [("figure10", "stdcnn"), ("figure11", "gcnn")])
def test_accuracy_against_eps_has_a_shade_per_range(name, model, full):
    chart = FIGURES[name].draw(full)
    spec = chart.to_dict()
    assert titles(spec) == ["FGSM", "PGD"]
    assert set(chart.data["model"]) == {model}
    colour = encoding(spec["concat"][0], "line", "color")
    assert colour["type"] == "ordinal"
    assert colour["scale"]["domain"] == [0, 60, 180]
    assert colour["scale"]["scheme"]["name"] == "viridis"
    assert encoding(spec["concat"][0], "line", "x")["scale"]["domain"] == [0, 0.3]
    assert colour["legend"]["title"] == "Rotation"


def test_accuracy_at_eps_zero_is_that_without_attack(full):
    data = FIGURES["figure11"].draw(full).data
    chosen = full.filter(
        pl.col("model") == "gcnn",
        pl.col("adversary") == "none",
        pl.col("attack") == "none",
        pl.col("train_rotation") == 60,
        pl.col("test_rotation") == 60,
    )
    zero = data.filter(pl.col("eps") == 0, pl.col("train_rotation") == 60)
    assert zero["attack"].to_list() == ["fgsm", "pgd"]
    mean = (chosen["n_correct"] / chosen["n"]).mean()
    assert zero["accuracy"].to_list() == pytest.approx([mean] * 2)


def test_accuracy_against_eps_with_one_attack_says_which_is_missing(full):
    spec = drawn("figure10", full.filter(pl.col("attack") != "pgd"))
    assert titles(spec) == ["FGSM"]
    assert "Not measured: PGD." in subtitle(spec)
    with pytest.raises(NotMeasured, match="attack fgsm or pgd, model stdcnn"):
        FIGURES["figure10"].draw(full.filter(pl.col("attack") == "none"))


def test_tradeoff_has_a_panel_per_adversary_and_a_path_by_train_range(full):
    chart = FIGURES["tradeoff"].draw(full)
    spec = chart.to_dict()
    assert titles(spec) == ["No adversarial training", "Trained with FGSM"]
    assert encoding(spec["concat"][0], "line", "order")["field"] == "train_rotation"
    assert chart.data["clean_test_rotation"].unique().to_list() == [180]
    assert chart.data["eps"].unique().to_list() == [0.1]
    assert chart.data.height == 2 * 2 * 3
    assert "U[-180, 180]" in subtitle(spec)
    assert "Adversary fgsm: eps 0.3 in training." in subtitle(spec)


def test_tradeoff_says_when_it_shows_less_than_it_should(specs):
    words = subtitle(specs["sparse"]["tradeoff"])
    assert "The whole circle (test_rotation 180) was not measured." in words
    assert "U[-60, 60]" in words
    assert "eps 0.1 was not measured" in words


def test_tradeoff_needs_both_robustnesses(full):
    with pytest.raises(NotMeasured, match="needs rows with attack pgd, eps > 0"):
        FIGURES["tradeoff"].draw(full.filter(pl.col("attack") != "pgd"))
    with pytest.raises(NotMeasured, match="needs rows with attack none"):
        FIGURES["tradeoff"].draw(full.filter(pl.col("attack") == "pgd"))


def test_overview_links_its_panels(specs):
    spec = specs["full"]["overview"]
    assert titles(spec) == ["Trained on upright images, no attack", "No adversarial training"]
    leg, click = sorted(spec["params"], key=lambda param: param["name"])
    assert (leg["name"], leg["bind"], leg["select"]) == (
        "leg",
        "legend",
        {"type": "point", "fields": ["model"]},
    )
    assert (click["name"], click["select"]) == (
        "mrk",
        {"type": "point", "fields": ["model"], "on": "click"},
    )
    first, second = (panel["layer"][0]["name"] for panel in spec["concat"])
    assert (leg["views"], click["views"]) == ([first], [second])
    for panel in spec["concat"]:
        opacity = encoding(panel, "line", "opacity")
        assert opacity["condition"] == [
            {"test": {"and": [{"param": "leg"}, {"param": "mrk"}]}, "value": 1}
        ]
        assert opacity["value"] == 0.1


def test_overview_without_rotated_tests_draws_the_scatter_and_says_so(full):
    clean = pl.col("attack") == "none"
    rows = full.filter(~clean | (pl.col("test_rotation") == 180))
    spec = drawn("overview", rows)
    assert titles(spec) == ["No adversarial training"]
    assert "Not measured: networks trained with train_rotation 0" in subtitle(spec)
    assert {param["name"] for param in spec["params"]} == {"leg", "mrk"}


def test_overview_without_attacks_draws_the_rotations_and_says_so(full):
    spec = drawn("overview", full.filter(pl.col("attack") == "none"))
    assert titles(spec) == ["Trained on upright images, no attack"]
    assert "not shown: it needs rows with attack pgd, eps > 0." in subtitle(spec)
    assert {param["name"] for param in spec["params"]} == {"leg", "mrk"}


def test_one_network_is_enough_for_an_overview(full):
    first = full.filter(pl.col("trial") == full["trial"][0])
    chart = FIGURES["tradeoff"].draw(first)
    assert chart.data.height == 1
    assert "1 seed;" in subtitle(drawn("overview", first))


def test_missing_seeds_are_counted_not_hidden(full):
    gone = (pl.col("model") == "gcnn") & (pl.col("seed") > 0)
    chart = FIGURES["figure01"].draw(full.filter(~gone))
    assert "1 to 3 seeds" in subtitle(chart.to_dict())
    seeds = chart.data.group_by("model").agg(pl.col("seeds").unique().first()).sort("model")
    assert dict(seeds.iter_rows()) == {"gcnn": 1, "stdcnn": 3}


@pytest.mark.parametrize("name", ["figure01", "figure10", "tradeoff"])
def test_two_data_sets_are_never_mixed(name, full):
    extra = frame(study(seeds=(0,), adversaries=("none",), data="mnist"))
    spec = drawn(name, pl.concat([extra, full]))
    assert "data mnist5k. Left out:" in subtitle(spec)
    assert "MNIST-5k subset" in subtitle(spec)


@pytest.fixture(scope="module")
def small():
    """Enough for every figure, and little to draw."""
    return study(
        (("stdcnn", "table1"), ("gcnn", "table1"), ("capsnet", "table")),
        train_rotations=(0, 60),
        adversaries=("none",),
        seeds=(0,),
        test_rotations=(0, 40, 180),
        eps=(0.1, 0.3),
    )


@pytest.fixture(scope="module")
def alone(small):
    """What the figures show of these rows."""
    return {name: contents(chart(name, frame(small))) for name in OF_SMALL}


def contents(chart):
    """What a figure shows: its frames and its words."""
    frames = [part.data for part in (chart, *chart.concat) if isinstance(part.data, pl.DataFrame)]
    assert frames
    return [frame.to_dicts() for frame in frames], words_of(chart.to_dict(validate=False))


def with_probes(rows, *probes):
    """The rows, and rows of these probes of every network."""
    return frame(rows + [row(trial, probe) for trial in trials_of(rows) for probe in probes])


@pytest.mark.parametrize("name", OF_SMALL)
def test_other_attacks_change_no_figure(name, small, alone):
    others = [
        Probe(attack=attack, test_rotation=turn, test_translation=shift, eps=eps, source="stdcnn")
        for attack in ATTACKS
        if attack not in ("none", "fgsm", "pgd")
        for turn, shift in ((0.0, 0.0), (30.0, 3.0), (180.0, 0.0))
        for eps in (0.1, 0.3)
    ]
    among = with_probes(small, *dict.fromkeys(others))
    assert contents(FIGURES[name].draw(among)) == alone[name]


@pytest.mark.parametrize("name", ["overview", "figure01", "figure11", "tradeoff"])
def test_a_few_other_ways_to_attack_change_no_number(name, small, alone):
    other = [{"loss": "margin"}, {"label_rule": "predicted"}]
    probes = [Probe(attack="pgd", eps=0.1, steps=20, **fields) for fields in other]
    probes += [Probe(attack="pgd", eps=0.3, steps=20, eps_unit="normalised")]
    probes += [Probe(attack="pgd", eps=0.3, steps=20, clip="none")]
    probes += [Probe(test_rotation=180.0, test_translation=3.0)]
    probes += [Probe(test_rotation=180.0, mode="train")]
    among, said = contents(FIGURES[name].draw(with_probes(small, *probes)))
    assert among == alone[name][0]
    assert "Left out: " in said
    assert ("test_translation" in said) == (name != "figure11")
    assert ("eps_unit" in said) == (name != "figure01")


def test_an_attack_in_another_unit_of_eps_is_not_shown_beside_the_others(small):
    unit = pl.when(pl.col("attack") == "fgsm").then(pl.lit("normalised")).otherwise("eps_unit")
    spec = drawn("figure11", frame(small).with_columns(eps_unit=unit))
    assert titles(spec) == ["PGD"]
    assert "Not measured: FGSM." in subtitle(spec)
    assert values(spec, "eps_unit") == ["pixel"]


def test_normalised_eps_are_called_so(small):
    attacked = pl.col("attack") != "none"
    unit = pl.when(attacked).then(pl.lit("normalised")).otherwise("eps_unit")
    spec = drawn("figure11", frame(small).with_columns(eps_unit=unit))
    assert titles(spec) == ["FGSM", "PGD"]
    assert encoding(spec["concat"][0], "line", "x")["title"] == (
        "eps (L-inf, deviations of the data's pixels)"
    )
    assert "an L-inf radius in deviations of the data's pixels (1 is 0.3081" in subtitle(spec)
    assert values(spec, "eps_unit") == ["normalised"]


def test_an_eps_of_the_euclidean_ball_is_called_so(small):
    attacked = pl.col("attack") != "none"
    ball = pl.when(attacked).then(pl.lit("l2")).otherwise("threat")
    rows = frame(small).with_columns(threat=ball)
    names = ("figure11", "against", "against_other")
    found = [encoding(drawn(name, rows)["concat"][0], "line", "x")["title"] for name in names]
    assert found[0] == "eps (L2, pixel units)"
    assert found.count(found[0]) == 2
    assert "an L2 radius in pixel units (pixels in [0, 1])" in subtitle(drawn("figure11", rows))


@pytest.fixture(scope="module")
def flagged(small):
    """One network fails checks."""
    rows = frame(small)
    return rows.with_columns(flags=pl.when(GCNN_60).then(pl.lit("repeat")).otherwise(pl.lit("")))


@pytest.mark.parametrize("name", ["overview", "tradeoff", "figure07", "figure11"])
def test_points_that_are_not_to_be_believed_are_hollow_and_named(name, flagged):
    spec = drawn(name, flagged)
    assert "Not to be believed (dotted outlines): GCNN table1, range 60 (repeat)." in subtitle(
        spec
    )
    hollow, *others = layers(spec["concat"][-1], "point")
    assert hollow["mark"]["filled"] is False
    assert hollow["mark"]["strokeDash"]
    assert hollow["transform"] == [{"filter": "datum.flags !== ''"}]
    assert all({"filter": "datum.flags === ''"} in layer["transform"] for layer in others)
    assert {"field": "flags", "title": "Failed checks", "type": "nominal"} in hollow["encoding"][
        "tooltip"
    ]
    rows = [row for part in spec["datasets"].values() for row in part if row["flags"]]
    assert rows
    assert all((row["model"], row["flags"]) == ("gcnn", "repeat") for row in rows)
    assert all(row["eps"] > 0 for row in rows)


@pytest.mark.parametrize("name", FIGURES)
def test_captions_speak_of_outlines_exactly_where_they_are_drawn(name, everything):
    flags = pl.when(pl.col("model") == "stdcnn").then(pl.lit("repeat")).otherwise(pl.lit(""))
    rows = everything["rows"].with_columns(flags=flags)
    spec = chart(name, **shown_by(name, everything | {"rows": rows})).to_dict(validate=False)
    points = [layer for panel in spec["concat"] for layer in layers(panel, "point")]
    outlined = any("strokeDash" in layer["mark"] for layer in points)
    assert ("outlines" in subtitle(spec)) == outlined
    if name in ("frontier", "difference", "cube", "boundary"):
        assert "fail checks." in spec["title"]["subtitle"][0]
        assert not outlined
        assert "Not to be believed: " in subtitle(spec)


@pytest.mark.parametrize("name", ["figure01", "figure02", "figure12"])
def test_without_an_attack_everything_is_believed(name, flagged, alone):
    assert contents(FIGURES[name].draw(flagged)) == alone[name]


def test_registry_has_a_function_named_as_the_figure():
    assert list(FIGURES)[:3] == ["against", "against_other", "by_category"]
    assert all(figure.draw.__name__ == name for name, figure in FIGURES.items())
    assert selection.SETTING[1] == "data"


STRANGE = """c'ar"li <b>"""


@pytest.mark.parametrize(
    "name", ["attack", "adversary", "eps_unit", "loss", "clip", "recipe", "data"]
)
def test_words_of_another_version_are_shown_as_they_are(full, name):
    strange = pl.when(pl.col(name) == "none").then(name).otherwise(pl.lit(STRANGE)).alias(name)
    rows = full.with_columns(strange)
    drawn = []
    for figure in FIGURES.values():
        empty = [table_of(table, []) for table in figure.needs]
        with contextlib.suppress(NotMeasured):
            drawn.append(json.dumps(figure.draw(rows, *empty).to_dict(validate=False)))
    assert drawn
    notes = "".join(methods.notes(overview(rows)))
    verdicts.judge(rows)
    assert STRANGE in notes


def test_a_model_with_quotes_in_its_name_is_drawn(full):
    rows = full.with_columns(model=pl.col("model").replace("gcnn", STRANGE))
    spec = FIGURES["frontier"].draw(rows).to_dict(validate=False)
    assert vl_convert.vegalite_to_svg(spec).startswith("<svg")
    filters = [layer["transform"][0]["filter"] for layer in spec["concat"][-1]["layer"][2:]]
    assert filters == [{"field": "model", "equal": STRANGE}] * 2


@pytest.mark.parametrize("name", FIGURES)
def test_no_stored_word_is_part_of_an_expression(name, everything):
    """Vega parses expressions; a word there must be a literal, whatever characters it has."""
    renamed = "roteqnet" if name == "figure12" else "capsnet"
    strange = {
        table: rows.with_columns(model=pl.col("model").replace(renamed, STRANGE))
        for table, rows in shown_by(name, everything).items()
    }
    spec = chart(name, **strange).to_dict(validate=False)
    for text in set(expressions(spec)):
        assert STRANGE not in text
        assert "b>" not in text or json.dumps(STRANGE) in text


def expressions(part):
    """Every Vega expression of a specification."""
    if isinstance(part, list):
        for item in part:
            yield from expressions(item)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key in ("filter", "test", "labelExpr", "expr") and isinstance(value, str):
                yield value
            else:
                yield from expressions(value)


def test_robust_accuracy_of_an_unknown_adversary_has_a_panel():
    trial = trials_of(study(adversaries=("fgsm",), seeds=(0,)))[0]
    rows = table_of("training", [{**one, "adversary": STRANGE} for one in learned(trial)])
    panels = chart("learning", frame([]), training=rows).to_dict(validate=False)["concat"]
    titles = [panel["title"]["text"] for panel in panels]
    assert f"{STRANGE}: under PGD-10" in titles
