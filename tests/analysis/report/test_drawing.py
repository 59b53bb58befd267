from types import SimpleNamespace

import polars as pl
import pytest

from analysis.figures.registry import FIGURES
from analysis.report.drawing import chart_of
from analysis.rows.selection import NotMeasured

from made_up import frame, learned, study, table_of, trials_of


@pytest.fixture(scope="module")
def both():
    """More rows of L2 than of L-inf, whose eps are those of the paper."""
    rows = frame(study(test_rotations=(), adversaries=("none",)))
    attacked = rows.filter(pl.col("eps") > 0)
    far = [attacked.with_columns(pl.col("eps") * n, threat=pl.lit("l2")) for n in (10, 7)]
    return pl.concat([rows, *far])


@pytest.mark.parametrize("name", ["tradeoff", "figure04", "figure07", "figure11"])
def test_what_shows_the_eps_of_the_paper_is_of_the_linf_ball(name, both):
    chart = chart_of(FIGURES[name], SimpleNamespace(rows=both))
    words = " ".join(chart.to_dict(validate=False)["title"]["subtitle"])
    assert "in pixel units" in words
    assert "(L2)" not in words
    far = both.filter((pl.col("threat") == "l2") | (pl.col("eps") == 0))
    if name == "tradeoff":  # it shows that of what there is
        spec = chart_of(FIGURES[name], SimpleNamespace(rows=far)).to_dict(validate=False)
        assert "PGD at eps 1 (L2)" in str(spec["concat"])
        assert "eps 1 (L2) in pixel units" in " ".join(spec["title"]["subtitle"])
        return
    with pytest.raises(NotMeasured, match=r"^needs rows .*, in the L-inf ball$"):
        chart_of(FIGURES[name], SimpleNamespace(rows=far))


def test_what_was_measured_in_another_ball_is_said_to_be_left_out(both):
    far = (pl.col("attack") == "fgsm") | (pl.col("eps") == 0) | (pl.col("threat") == "l2")
    rows = both.filter(far, (pl.col("attack") != "fgsm") | (pl.col("threat") == "linf"))
    notes = " ".join(
        chart_of(FIGURES["figure10"], SimpleNamespace(rows=rows)).to_dict()["usermeta"]["notes"]
    )
    assert "Not measured: PGD." in notes
    assert notes.endswith(
        "Of attacks only rows in the L-inf ball are shown; those of other balls are left out."
    )
    near = SimpleNamespace(rows=rows.filter(threat="linf"))
    assert "L-inf ball" not in str(chart_of(FIGURES["figure10"], near).to_dict()["usermeta"])


def test_what_training_costs_is_shown_of_l2_where_there_is_no_other_ball(both):
    rows = both.filter((pl.col("threat") == "l2") | (pl.col("eps") == 0))
    training = table_of(
        "training", [one for trial in trials_of(study()) for one in learned(trial, 2.0)]
    )
    spec = chart_of(FIGURES["cost"], SimpleNamespace(rows=rows, training=training)).to_dict()
    assert [panel["title"]["text"] for panel in spec["concat"]] == [
        "No attack",
        "PGD at eps 1 (L2)",
    ]
    assert "Not measured" not in str(spec["usermeta"])
    assert "L-inf ball" not in str(spec["usermeta"])


def test_of_one_threat_model_none_is_named(both):
    near = both.filter(pl.col("threat") == "linf", pl.col("model") == "gcnn")
    with pytest.raises(NotMeasured, match=r"train_rotation = test_rotation$"):
        chart_of(FIGURES["figure10"], SimpleNamespace(rows=near))
