import pytest

from analysis.figures import theme
from rotgrid.results.columns import TABLES


def test_no_two_models_share_a_colour_and_none_of_the_papers_a_shape():
    looks = list(theme.LOOKS.values()) + theme.OTHERS
    assert len({look.colour for look in looks}) == len(looks)
    papers = list(theme.LOOKS.values())[:6]
    assert len({look.shape for look in papers}) == len(papers)
    assert theme.LOOKS["gcnn"].colour == "#0072B2"


def test_a_model_outside_the_paper_is_drawn_under_its_own_name():
    assert theme.look("zeta", ["alpha", "zeta"]) == theme.OTHERS[1]._replace(label="zeta")
    assert theme.look("gcnn", ["alpha"]) == theme.LOOKS["gcnn"]


@pytest.mark.parametrize("unit", ["degrees", "pixels", "pixel units"])
def test_titles_name_the_units_of_the_schema(unit):
    columns = [c.name for c in TABLES["evaluations"] if c.unit == unit]
    shown = [theme.title(name) for name in columns if name in theme.TITLES]
    assert shown
    assert all(unit in title for title in shown)


def test_the_title_of_a_second_measure_is_spelled_out():
    assert theme.title("clean_accuracy") == "Clean: Accuracy (mean over seeds)"
    assert theme.title("anything") == "anything"


def test_the_dark_page_replaces_colours_that_figures_use():
    used = {theme.TEXT, theme.MUTED, theme.GRID, theme.PAPER}
    used |= {look.colour for look in theme.LOOKS.values()}
    assert set(theme.DARK) <= used
