import polars as pl
import pytest

from analysis.rows.selection import NotMeasured

from made_up import chart, whole, words_of


@pytest.fixture(scope="module")
def rows():
    return whole()["rows"]


def test_figure03_has_a_line_over_the_sizes_for_each_range(rows):
    found = chart("figure03", rows)
    spec = found.to_dict()
    assert [panel["title"]["text"] for panel in spec["concat"]] == [
        "Upright images",
        "Trained and tested with rotations in [-180, 180]",
    ]
    sizes = found.data.group_by("model", "train_rotation").agg(pl.col("train_size"))
    most = rows["train_size"].max()
    assert {tuple(row) for row in sizes["train_size"]} == {(500, 1_000, most)}
    assert set(sizes["model"]) == {"stdcnn", "gcnn"}
    assert "Measured at one size only: RotEqNet and CapsNet." in words_of(spec)
    x = spec["concat"][0]["layer"][2]["encoding"]["x"]
    assert x["scale"]["type"] == "log"
    assert x["scale"]["domain"] == [500, most]


def test_figure03_draws_what_was_measured(rows):
    point = {"model": "gcnn", "train_size": 500, "train_rotation": 180.0}
    of = rows.filter(**point, attack="none", adversary="none", test_rotation=180.0)
    (shown,) = chart("figure03", rows).data.filter(**point).iter_rows(named=True)
    assert (shown["seeds"], shown["n"]) == (3, of["n"].min())
    assert shown["accuracy"] == pytest.approx((of["n_correct"] / of["n"]).mean())


def test_figure03_needs_two_sizes_of_one_model(rows):
    """As in results of which each model has another size."""
    size = pl.when(pl.col("model") == "gcnn").then(1_000).otherwise(500)
    with pytest.raises(NotMeasured, match="of one model at two values of train_size"):
        chart("figure03", rows.filter(pl.col("train_size") == size))


def test_figure03_says_what_is_missing(rows):
    found = chart("figure03", rows.filter(pl.col("train_rotation") == 180))
    assert len(found.to_dict()["concat"]) == 1
    assert "Not measured at two sizes: Upright" in words_of(found.to_dict())
    with pytest.raises(NotMeasured, match="two values of train_size or more"):
        chart("figure03", rows.filter(pl.col("train_size") == 500))
