import polars as pl
import pytest

from analysis.rows.selection import NotMeasured

from made_up import chart, frame, study, whole

TABLE1 = (("stdcnn", "table1"), ("gcnn", "table1"))


@pytest.fixture(scope="module")
def rows():
    return whole()["rows"]


def titles(found):
    return [panel["title"]["text"] for panel in found.to_dict()["concat"]]


def words(found):
    return " ".join(found.to_dict()["title"]["subtitle"])


@pytest.mark.parametrize(("name", "attack"), [("figure05", "none"), ("figure06", "fgsm")])
def test_fgsm_trained_networks_are_shown_alone(name, attack, rows):
    found = chart(name, rows)
    assert titles(found) == ["As in Table 1", "StdCNN double, GCNN half width"]
    assert set(found.data["attack"]) == {attack}
    assert "Adversary in training: FGSM at eps 0.3." in words(found)
    shown = found.data.filter(pair="As in Table 1", model="gcnn", test_rotation=60.0)
    of = rows.filter(
        pl.col("model") == "gcnn",
        pl.col("variant") == "table1",
        pl.col("adversary") == "fgsm",
        pl.col("attack") == attack,
        pl.col("train_rotation") == 60,
        pl.col("test_rotation") == 60,
        pl.col("eps").is_in([0.0, 0.3]),
    )
    assert shown["accuracy"].to_list() == pytest.approx([(of["n_correct"] / of["n"]).mean()])
    with pytest.raises(NotMeasured, match=f"attack {attack}, .*adversary fgsm"):
        chart(name, rows.filter(pl.col("adversary") == "none"))


def test_without_the_papers_eps_training_and_test_share_another():
    rows = frame(study(TABLE1, (0, 60), ("fgsm",), (0,), eps=(0.1, 0.2)))
    trained = rows.with_columns(adversary_eps=pl.lit(0.1))
    found = chart("figure06", trained)
    assert set(found.data["eps"]) == {0.1}
    assert "eps 0.3 in training was not measured: the nearest that was, 0.1," in words(found)


def test_of_two_eps_in_training_the_papers_is_shown():
    rows = frame(study(TABLE1, (0, 60), ("fgsm",), (0,), eps=()))
    changed = {
        "adversary_eps": pl.lit(0.1),
        "n_correct": pl.lit(1, pl.Int64),
        "trial": pl.lit("weak"),
    }
    weak = rows.with_columns(**changed)
    shown = chart(
        "figure05", pl.concat([weak, weak.with_columns(seed=pl.col("seed") + 7), rows])
    ).data
    assert shown["accuracy"].min() > 0.9
    assert set(shown["seeds"]) == {1}


def test_figure08_is_figure07_of_the_pair(rows):
    found = chart("figure08", rows)
    assert titles(found) == ["StdCNN", "GCNN", "PGD: StdCNN against GCNN"]
    kinds = set(found.data.select("model", "variant").rows())
    assert kinds == {("stdcnn", "doubled"), ("gcnn", "halved")}
    assert set(found.data["attack"]) == {"none", "fgsm", "pgd"}
    assert set(found.data["eps"]) == {0.0, 0.3}
    assert "the first variants were not measured" not in words(found)
    with pytest.raises(NotMeasured, match="stdcnn doubled and gcnn halved"):
        chart("figure08", rows.filter(pl.col("variant") == "table1"))


def test_figure09_shows_roteqnet_by_range_and_by_eps(rows):
    found = chart("figure09", rows)
    assert titles(found) == ["FGSM and PGD at eps 0.3", "FGSM", "PGD"]
    assert set(found.data["model"]) == {"roteqnet"}
    assert {r["test_rotation"] - r["train_rotation"] for r in found.data.to_dicts()} == {0}
    first = found.to_dict()["concat"][0]
    filters = [step["filter"] for step in first["transform"]]
    assert {"field": "eps", "oneOf": [0.3]} in filters
    colours = [layer["encoding"]["color"] for layer in first["layer"]]
    assert colours == [{"value": "#CC79A7"}] * len(colours)
    one = chart("figure09", rows.filter(pl.col("train_rotation") == 60))
    assert titles(one) == ["FGSM", "PGD"]
    assert "Not measured: two ranges" in words(one)
    with pytest.raises(NotMeasured, match="needs rows with model roteqnet"):
        chart("figure09", rows.filter(pl.col("model") != "roteqnet"))
