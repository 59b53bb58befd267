import polars as pl
import pytest

from analysis.question.answer import answer
from analysis.question.leaderboard import leaderboard
from analysis.report.answers import (
    NOTHING,
    Asked,
    headlines,
    in_short,
    marked,
    ranks,
    shows,
    tables_of,
)

from made_up import frame, study


@pytest.fixture(scope="module")
def asked():
    rows = frame(study(train_rotations=(0, 60), test_rotations=(0,), eps=(0.1,)))
    return Asked(answer(rows), leaderboard(rows))


def test_the_grids_own_headline_stands_before_that_of_the_claims(asked):
    text = headlines(asked, "Of claims.")
    assert text.startswith('<p class="headline">Of what this grid varies, <code>')
    assert text.endswith("<p>Of claims.</p>")
    assert headlines(NOTHING, "Of claims.") == '<p class="headline">Of claims.</p>'
    assert headlines(NOTHING, "") == ""


def test_sections_hold_the_effects_and_the_leaderboard(asked):
    (content,) = shows(asked).values()
    assert content.count("<tr>") >= asked.answer.table.height + asked.answer.every.height
    assert "Largest interaction" in content
    (board,) = ranks(asked).values()
    assert board.count("<tr>") == asked.board.table.height + 1
    assert shows(NOTHING) == ranks(NOTHING) == {}


def test_tables_are_those_that_the_rows_allow(asked):
    assert list(tables_of(asked)) == ["effects", "leaderboard"]
    assert tables_of(NOTHING) == {}


def test_effects_in_short_have_their_interval_in_percent(asked):
    effects = asked.answer.table.with_columns(lower=-0.1234, upper=0.5)
    effects = effects.with_columns(p=pl.lit(1e-9)).head(2)
    short = in_short(effects)
    assert short["95% interval"].to_list() == ["[-12.3, 50.0]"] * 2
    assert short["p"].to_list() == ["< 0.001"] * 2
    described = in_short(effects.with_columns(p=pl.lit(None, pl.Float64)))
    assert described["p"].null_count() == 2


def test_names_of_the_grid_are_marked_and_all_else_is_escaped():
    assert marked("`model`: <b> & `x`") == "<code>model</code>: &lt;b&gt; &amp; <code>x</code>"
