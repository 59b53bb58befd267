import itertools
import json

import numpy as np
import polars as pl
import pytest

from analysis.figures import boundaries, pareto_fronts, theme
from analysis.rows.selection import NotMeasured
from rotgrid.spec import Probe, Trial

from made_up import chart, frame, learned, row, study, table_of, trials_of, turned, whole, words_of


@pytest.fixture(scope="module")
def everything():
    return whole()


def titles(found):
    return [panel["title"]["text"] for panel in found.to_dict()["concat"]]


def words(found):
    return words_of(found.to_dict())


def test_a_front_holds_what_nothing_excels():
    data = pl.DataFrame(
        {
            "model": ["a", "a", "a", "b", "b"],
            "recipe": "fast",
            "adversary": "none",
            "clean_accuracy": [0.9, 0.8, 0.7, 0.95, 0.6],
            "robust_accuracy": [0.1, 0.3, 0.2, 0.25, 0.3],
        }
    )
    found = pareto_fronts.with_fronts(data).sort(
        "model", "clean_accuracy", descending=[False, True]
    )
    assert found["front"].to_list() == [True, True, False, True, True]
    assert found["_front_of_all"].to_list() == [False, True, False, True, False]


def test_frontier_has_a_panel_per_architecture_with_all_recipes_and_adversaries(everything):
    rows = everything["rows"]
    other = frame(study(seeds=(0,), adversaries=("none",))).with_columns(recipe=pl.lit("paper"))
    found = chart("frontier", pl.concat([rows, other]))
    assert titles(found) == ["StdCNN", "GCNN", "RotEqNet"]
    kinds = set(found.data.filter(model="gcnn").select("recipe", "adversary").rows())
    assert kinds == {("fast", "none"), ("fast", "fgsm"), ("paper", "none")}
    assert set(found.data["variant"]) == {"table1", "exact"}
    shape = found.to_dict()["concat"][0]["layer"][-1]["encoding"]["shape"]["scale"]
    assert shape["domain"] == ["fast none", "paper none", "fast fgsm"]
    assert len(set(shape["range"])) == 3


def test_difference_is_that_of_the_same_images(everything):
    found = chart("difference", everything["rows"])
    assert titles(found) == ["No attack", "FGSM", "PGD", "Fast minimum norm"]
    point = {"attack": "pgd", "eps": 0.1, "test_rotation": 180.0}
    (shown,) = found.data.filter(**point).iter_rows(named=True)
    of = everything["rows"].filter(**point, train_rotation=180.0, adversary="none")
    gcnn, stdcnn = (
        of.filter(model=model, variant="table1").sort("seed")["n_correct"].to_numpy() / 1_000
        for model in ("gcnn", "stdcnn")
    )
    assert shown["difference"] == pytest.approx((gcnn - stdcnn).mean())
    assert shown["difference_min"] == pytest.approx((gcnn - stdcnn).min())
    assert shown["difference_max"] == pytest.approx((gcnn - stdcnn).max())
    assert shown["lower"] < shown["difference"] < shown["upper"]
    assert shown["seeds"] == 3


def test_difference_needs_both_networks(everything):
    with pytest.raises(NotMeasured, match="model gcnn and stdcnn"):
        chart("difference", everything["rows"].filter(pl.col("model") != "gcnn"))


def test_difference_of_one_seed_has_its_interval():
    rows = study(seeds=(0,), adversaries=("none",))
    data = chart("difference", frame(rows)).data
    assert (data["lower"] <= data["difference"]).all()
    assert (data["upper"] >= data["difference"]).all()
    assert (data["lower"] < data["upper"]).any()


def test_cube_has_every_measured_cell_once(everything):
    found = chart("cube", everything["rows"])
    assert titles(found) == [
        f"{model}, {name}"
        for model in ("StdCNN", "GCNN")
        for name in ("no attack", "PGD at eps 0.1", "PGD at eps 0.3")
    ]
    cells = found.data.select("model", "eps", "train_rotation", "test_rotation").rows()
    ranges = (0.0, 60.0, 180.0)
    assert set(cells) == set(
        itertools.product(("stdcnn", "gcnn"), (0.0, 0.1, 0.3), ranges, ranges)
    )
    assert len(cells) == len(set(cells))
    same = pl.col("test_rotation") == pl.col("train_rotation")
    with pytest.raises(NotMeasured, match="other than train_rotation"):
        chart("cube", everything["rows"].filter(same))


def test_numbers_in_cells_are_read_on_light_and_on_dark_paper(everything):
    """A dark page replaces colours, but cells stay as light or dark as they are."""
    (texts,) = [
        layer["encoding"]["color"]
        for layer in chart("cube", everything["rows"]).to_dict()["concat"][0]["layer"]
        if layer["mark"]["type"] == "text"
    ]
    inks = {texts["value"], texts["condition"][0]["value"]}
    assert len(inks) == 2
    assert not inks & theme.DARK.keys()
    legend = chart("frontier", everything["rows"]).to_dict()["concat"][0]["layer"][-1]
    assert legend["encoding"]["shape"]["legend"]["symbolFillColor"] in theme.DARK


def test_quantiles_of_distances_are_the_shares_that_survive():
    distances = np.linspace(0, 0.4, 81)
    trial, probe = Trial(model="gcnn", data="mnist5k"), Probe(attack="fmn", eps=0.1, n_images=81)
    rows = frame([row(trial, probe, distances=distances.tolist())])
    data = boundaries.quantiles(rows)
    assert data.height == 41
    beyond = [(distances >= d - 1e-6).mean() for d in data["distance"]]
    assert beyond == pytest.approx(data["share"].to_list(), abs=1 / 81)


def test_images_without_a_known_boundary_count_but_are_not_drawn():
    trial, probe = Trial(model="gcnn", data="mnist5k"), Probe(attack="fmn", eps=0.1, n_images=4)
    rows = frame([row(trial, probe, distances=[0.0, 0.1, float("inf"), float("inf")])])
    data = boundaries.quantiles(rows)
    assert data["share"].min() == pytest.approx(0.5, abs=0.2)
    assert data["distance"].max() == pytest.approx(0.1)


def test_a_share_that_one_seed_does_not_know_is_not_drawn_from_the_others():
    """Those with a boundary within reach are the less robust: their mean is too small."""
    probe, far = Probe(attack="fmn", eps=0.1, n_images=2), [[0.1, 0.2], [0.1, float("inf")]]
    rows = [
        row(Trial(model="gcnn", data="mnist5k", seed=seed), probe, distances=distances)
        for seed, distances in enumerate(far)
    ]
    data = boundaries.quantiles(frame(rows))
    assert set(data["seeds"]) == {2}
    assert data["distance"].to_list() == pytest.approx([0.1] * data.height)


def test_boundary_counts_each_network_once_and_says_what_is_missing(everything):
    data = chart("boundary", everything["rows"]).data
    assert set(data["n"]) == {200}
    assert set(data["seeds"]) == {3}
    assert set(data["model"]) == {"stdcnn", "gcnn"}
    assert data.height <= 2_000
    with pytest.raises(NotMeasured, match="attack fmn"):
        chart("boundary", everything["rows"].filter(pl.col("attack") != "fmn"))


def test_equivariance_shows_the_logits_beside_robustness(everything):
    found = chart("equivariance", **everything)
    assert titles(found)[:2] == ["Trained on upright images", "Trained on ±180°"]
    table = everything["equivariance"].filter(layer="logits", model="gcnn", train_rotation=60.0)
    shown = found.data.filter(model="gcnn", train_rotation=60.0)
    assert shown.filter(degrees=90.0)["error"][0] == pytest.approx(
        table.filter(degrees=90.0)["error"].mean()
    )
    (mean,) = shown.filter(pl.col("degrees").is_null()).iter_rows(named=True)
    assert mean["error"] == pytest.approx(table["error"].mean())
    of = everything["rows"].filter(
        model="gcnn",
        variant="table1",
        adversary="none",
        attack="pgd",
        eps=0.1,
        train_rotation=60.0,
        test_rotation=60.0,
    )
    assert mean["accuracy"] == pytest.approx((of["n_correct"] / of["n"]).mean())


def test_equivariance_without_attack_shows_errors_only(everything):
    clean = everything["rows"].filter(pl.col("attack") == "none")
    found = chart("equivariance", clean, equivariance=everything["equivariance"])
    assert len(titles(found)) == 2
    assert "Not measured: attack pgd" in words(found)
    with pytest.raises(NotMeasured, match="table equivariance"):
        chart("equivariance", clean)


def test_learning_shows_robust_validation_of_adversarial_training_only(everything):
    found = chart("learning", **everything)
    assert titles(found) == [
        "Training loss",
        "Validation accuracy",
        "Trained with FGSM: under PGD-10",
    ]
    by = found.data.group_by("measure").agg(pl.col("adversary").unique())
    assert {name: set(values) for name, values in by.iter_rows()} == {
        "loss": {"none"},
        "validation": {"none"},
        "robust": {"fgsm"},
    }
    point = {"model": "gcnn", "train_rotation": 180.0, "adversary": "none", "epoch": 2}
    of = everything["training"].filter(**point, variant="table1")
    shown = found.data.filter(**point, measure="loss")
    assert shown["value"][0] == pytest.approx(of["train_loss"].mean())
    assert set(found.data["train_rotation"]) == {0.0, 180.0}


def test_trainings_under_way_are_lines_of_their_own():
    """No mean has both, and where there is none the figure is as ever."""
    trial = Trial(model="gcnn", data="mnist5k", recipe="fast")
    done = table_of("training", learned(trial))
    begun = table_of("unfinished", learned(trial.model_copy(update={"seed": 1}))).filter(
        pl.col("epoch") <= 2
    )
    found = chart("learning", frame([]), training=done, unfinished=begun)
    epochs = found.data.filter(measure="validation").group_by("unfinished").agg("epoch", "seeds")
    assert {row[0]: sorted(row[1]) for row in epochs.iter_rows()} == {
        False: sorted(done["epoch"]),
        True: [1, 2],
    }
    assert set(found.data["seeds"]) == {1}
    assert "trainings under way" in words(found)
    alone = chart("learning", frame([]), training=done)
    assert "unfinished" not in alone.data.columns
    assert "under way" not in words(alone)
    only = chart("learning", frame([]), unfinished=begun)
    assert set(only.data["unfinished"]) == {True}


def test_of_many_epochs_some_are_drawn_with_the_last():
    trial = Trial(model="gcnn", data="mnist5k", epochs=5_000)
    data = chart("learning", frame([]), training=table_of("training", learned(trial))).data
    assert data.height <= 2_000
    assert (data["epoch"].min(), data["epoch"].max()) == (1, 5_000)


def test_cost_sums_the_seconds_of_all_epochs(everything):
    found = chart("cost", **everything)
    assert titles(found) == ["No attack", "PGD at eps 0.1"]
    (trial,) = {t.epochs for t in trials_of(study(seeds=(0,), eps=()))}
    assert set(found.data["seconds"]) == {10.0 * trial}
    assert set(found.data["train_rotation"]) == {180.0} or set(found.data["train_rotation"]) == {0}


def test_cost_leaves_out_unfinished_networks_and_other_devices(everything):
    training = everything["training"].with_columns(
        device=pl.when(pl.col("seed") == 2).then(pl.lit("a GPU")).otherwise(pl.lit("cpu"))
    )
    unfinished = (pl.col("seed") == 1) & (pl.col("epoch") == 1)
    found = chart("cost", everything["rows"], training=training.filter(~unfinished))
    assert set(found.data["seeds"]) == {1}
    assert "Device: cpu. Left out: networks trained on a GPU." in words(found)
    with pytest.raises(NotMeasured, match="table training"):
        chart("cost", everything["rows"])


def test_one_network_is_enough():
    (trial, *_) = trials_of(study(seeds=(0,), adversaries=("none",)))
    rows = frame(
        [r for r in study(seeds=(0,), adversaries=("none",)) if r["trial"] == trial.key()]
    )
    tables = {
        "training": table_of("training", learned(trial)),
        "equivariance": table_of("equivariance", turned(trial)),
    }
    for name in ("frontier", "equivariance", "learning", "cost"):
        assert chart(name, rows, **tables).to_dict()["concat"]


@pytest.mark.parametrize("name", ["overview", "tradeoff", "equivariance"])
def test_ranges_in_training_are_sizes_where_there_are_several(name, everything):
    def sizes(**tables):
        panel = chart(name, **tables).to_dict(validate=False)["concat"][-1]
        points = [one for one in panel["layer"] if one["mark"]["type"] == "point"]
        return [one["encoding"]["size"] for one in points]

    for size in sizes(**everything):
        assert size["field"] == "train_rotation"
        assert size["scale"]["domain"] == [0, 180]
        assert size["legend"]["values"] == [0, 60, 180]
    one = everything["rows"].filter(pl.col("train_rotation") == 60)
    found = sizes(**everything | {"rows": one})
    assert found
    assert all(size == {"value": 70} for size in found)


def test_an_eps_that_has_no_line_is_named():
    eps = (0.05, 0.1, 0.15, 0.2, 0.3)
    made = study(seeds=(0,), adversaries=("none",), eps=eps)
    rows = frame([one for one in made if one["eps"] != 0.05 or one["train_rotation"] < 180])
    found = chart("difference", rows)
    assert set(found.data["eps"]) == {0.0, 0.1, 0.15, 0.2, 0.3}
    assert "4 of 5 values of eps are shown: 0.1, 0.15, 0.2 and 0.3." in words(found)
    few = chart("difference", rows.filter(pl.col("eps") < 0.3))
    assert "values of eps are shown" not in words(few)


def test_variants_of_models_without_a_point_are_not_named():
    """Narrow capsules that were never attacked have no place in a trade-off."""
    capsules = study([("capsnet", "narrow")], (0,), ("none",), (0,), eps=())
    rows = frame([*study(seeds=(0,), adversaries=("none",)), *capsules])
    for name in ("frontier", "overview"):
        found = chart(name, rows)
        frames = [found.data, *(panel.data for panel in found.concat)]
        models = {m for one in frames if isinstance(one, pl.DataFrame) for m in one["model"]}
        assert ("capsnet narrow" in words(found)) == ("capsnet" in models)
    assert "capsnet narrow" in words(chart("figure12", rows))


def test_equivariance_of_networks_without_rows_is_not_measured(everything):
    errors = everything["equivariance"]
    for rows in (frame([]), everything["rows"].filter(~pl.col("trial").is_in(errors["trial"]))):
        with pytest.raises(NotMeasured, match="needs rows with the networks that have layer"):
            chart("equivariance", rows, equivariance=errors)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_errors_that_are_no_numbers_are_left_out_and_counted(everything, wrong):
    first = (pl.col("seed") == 0) & (pl.col("degrees") == 90) & (pl.col("model") == "gcnn")
    error = pl.when(first).then(wrong).otherwise("error")
    found = chart(
        "equivariance",
        **everything | {"equivariance": everything["equivariance"].with_columns(error=error)},
    )
    assert "Left out: 3 errors that are not finite." in words(found)
    assert set(found.data.filter(model="gcnn", degrees=90.0)["seeds"]) == {2}
    text = json.dumps(found.to_dict(validate=False))
    assert "NaN" not in text
    assert "Infinity" not in text
    none = everything["equivariance"].with_columns(error=pl.lit(wrong))
    with pytest.raises(NotMeasured, match="that are finite"):
        chart("equivariance", everything["rows"], equivariance=none)


def test_without_any_boundary_there_is_no_figure():
    trial, probe = Trial(model="gcnn", data="mnist5k"), Probe(attack="fmn", eps=0.1, n_images=2)
    rows = frame([row(trial, probe, distances=[float("inf")] * 2)])
    with pytest.raises(NotMeasured, match="of which one is finite"):
        chart("boundary", rows)


def test_a_loss_of_zero_has_no_place_on_a_log_axis():
    trial = Trial(model="gcnn", data="mnist5k", epochs=4)
    rows = table_of("training", learned(trial))
    last = rows.with_columns(train_loss=pl.col("train_loss") * (pl.col("epoch") < 4))
    data = chart("learning", frame([]), training=last).data
    assert data.filter(measure="loss")["epoch"].to_list() == [1, 2, 3]
    assert data.filter(measure="validation")["epoch"].to_list() == [1, 2, 3, 4]
    zero = rows.with_columns(train_loss=pl.lit(0.0))
    assert titles(chart("learning", frame([]), training=zero)) == ["Validation accuracy"]


def test_cost_leaves_out_networks_that_took_no_time(everything):
    timed = pl.when(pl.col("seed") > 0).then("seconds").otherwise(0.0)
    training = everything["training"].with_columns(seconds=timed)
    found = chart("cost", everything["rows"], training=training)
    assert set(found.data["seeds"]) == {2}
    assert "networks that took 0 seconds." in words(found)
    none = training.with_columns(seconds=pl.lit(0.0))
    with pytest.raises(NotMeasured, match="seconds > 0"):
        chart("cost", everything["rows"], training=none)
