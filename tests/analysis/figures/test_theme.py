import pytest

from analysis.figures import theme
from rotgrid.results.columns import TABLES


def test_no_two_models_share_a_colour_and_none_of_the_papers_a_shape():
    looks = list(theme.LOOKS.values())
    colours = [look.colour for look in looks] + list(theme.OTHER_COLOURS)
    assert len(set(colours)) == len(colours)
    papers = list(theme.LOOKS.values())[:6]
    assert len({look.shape for look in papers}) == len(papers)
    assert theme.LOOKS["gcnn"].colour == "#0072B2"


def test_a_model_outside_the_paper_is_drawn_under_its_own_name():
    style = theme.OTHER_COLOURS[1], theme.OTHER_SHAPES[1]
    assert theme.look("zeta", ["alpha", "zeta"]) == theme.Look("zeta", *style)
    assert theme.look("gcnn", ["alpha"]) == theme.LOOKS["gcnn"]


@pytest.mark.parametrize("count", [1, 20, 64, 200])
def test_any_number_of_own_models_have_looks_that_differ_as_long_as_they_can(count):
    models = [f"nets:build{index:03}" for index in range(count)]
    looks = [theme.look(model, [*models, "gcnn"]) for model in models]
    styles = {look[1:] for look in looks}
    assert len(styles) == min(count, 64)
    assert styles.isdisjoint(look[1:] for look in theme.LOOKS.values())
    assert len({look.colour for look in looks[:8]}) == min(count, 8)
    assert {look.label for look in looks} == set(models)


def test_the_title_of_an_own_attack_is_its_name():
    assert theme.attack("nets.attacks:mine") == "nets.attacks:mine"
    assert theme.attack("noise") == "Random noise"


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
