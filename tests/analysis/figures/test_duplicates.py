import polars as pl

from analysis.figures.duplicates import panels, shown_by

from made_up import chart, frame, study

SMALL = {"train_rotations": (0, 60), "seeds": (0,), "test_rotations": ()}
PAIR = (("stdcnn", "doubled"), ("gcnn", "halved"))


def spec_of(name, rows):
    return chart(name, rows).to_dict()


def test_a_figure_is_the_same_picture_as_itself_and_its_part():
    rows = frame(study(PAIR, adversaries=("none",), **SMALL))
    spec = spec_of("figure10", rows)
    assert shown_by(spec, {"one": spec}) == "one"
    fewer = spec | {"concat": spec["concat"][:1]}
    assert shown_by(fewer, {"one": spec}) is None
    assert shown_by(fewer, {"one": spec}, part=True) == "one"
    assert shown_by(spec, {"one": fewer}, part=True) is None


def test_attacks_over_eps_are_a_part_of_the_figure_of_any_grid():
    rows = frame(study(**SMALL))
    own = {"against": spec_of("against", rows)}
    assert shown_by(spec_of("attacks", rows), own, part=True) == "against"
    assert shown_by(spec_of("tradeoff", rows), own, part=True) is None
    assert shown_by(spec_of("figure10", rows), own) is None


def test_other_numbers_are_another_picture():
    rows = frame(study(**SMALL))
    other = rows.with_columns(n_correct=pl.col("n_correct") - 1, correct=pl.lit(None, pl.Binary))
    one, another = (spec_of("figure11", each) for each in (rows, other))
    assert shown_by(one, {"other": another}, part=True) is None


def test_panels_without_points_are_never_the_same():
    spec = {"concat": [{"layer": [{"mark": "rect", "encoding": {}}]}]}
    assert panels(spec) == []
    assert shown_by(spec, {"one": spec}, part=True) is None
