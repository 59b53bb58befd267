import polars as pl
import pytest

from analysis.rows.selection import NotMeasured

from made_up import chart, frame, study, whole, words_of

TABLE1 = (("stdcnn", "table1"), ("gcnn", "table1"))


@pytest.fixture(scope="module")
def rows():
    return whole()["rows"]


def titles(found):
    return [panel["title"]["text"] for panel in found.to_dict()["concat"]]


def words(found):
    return words_of(found.to_dict())


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
    assert "Table 1" not in words(found)
    with pytest.raises(NotMeasured, match="stdcnn doubled and gcnn halved"):
        chart("figure08", rows.filter(pl.col("variant") == "table1"))


def test_of_the_papers_pair_alone_figure07_does_not_show_what_figure08_does(rows):
    pair = rows.filter(pl.col("variant").is_in(["doubled", "halved"]))
    with pytest.raises(NotMeasured, match="other than stdcnn doubled and gcnn halved of Figure 8"):
        chart("figure07", pair)
    assert titles(chart("figure08", pair))
    mixed = (pl.col("model") == "stdcnn") | (pl.col("variant") == "halved")
    assert set(chart("figure07", rows.filter(mixed)).data["variant"]) == {"table1", "halved"}


@pytest.mark.parametrize("name", ["figure07", "figure08"])
@pytest.mark.parametrize(("gone", "there"), [("fgsm", "PGD"), ("pgd", "FGSM")])
def test_without_an_attack_it_is_only_said_to_be_missing(name, gone, there, rows):
    found = chart(name, rows.filter(pl.col("attack") != gone))
    spec = found.to_dict()
    assert spec["title"]["text"] == f"Accuracy under {there} at eps 0.3 against rotation"
    missing = f"Not measured: {gone.upper()} at eps 0.3."
    assert missing in words(found)
    assert f" {gone.upper()} " not in f" {words(found)} ".replace(missing, "")
    dashes = [layer["encoding"].get("strokeDash") for layer in spec["concat"][0]["layer"]]
    assert [dash["scale"]["domain"] for dash in dashes if dash] == [["none", there.lower()]]


def test_an_eps_of_one_attack_only_is_not_called_unmeasured(rows):
    weaker = rows.filter((pl.col("attack") != "pgd") | (pl.col("eps") < 0.3))
    found = chart("figure07", weaker)
    assert set(found.data["eps"]) == {0.0, 0.2}
    assert "The paper's eps 0.3 was measured under FGSM only: the nearest" in words(found)
    assert "was not measured" not in words(found)


def test_networks_trained_at_another_eps_are_tested_there_whatever_else_was_measured():
    rows = frame(study(TABLE1, (0, 60), ("fgsm",), (0,), eps=(0.1, 0.3)))
    found = chart("figure06", rows.with_columns(adversary_eps=pl.lit(0.1)))
    assert set(found.data["eps"]) == {0.1}
    assert words(found).count("was not measured") == 1


def test_one_network_of_equal_parameters_makes_no_figure():
    rows = frame(study([("stdcnn", "matched-table1")], (0, 60), ("none",), (0,)))
    with pytest.raises(NotMeasured, match="attack fgsm"):
        chart("figure04", rows)


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
