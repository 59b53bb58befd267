import polars as pl
import pytest

from analysis import captions
from rotgrid.spec import Probe, Trial

from made_up import frame, row


@pytest.mark.parametrize(
    ("numbers", "words"),
    [([3, 3], "3"), ([200, 1_000], "200 to 1,000"), ([0.1], "0.1"), ([0.05, 0.3], "0.05 to 0.3")],
)
def test_span(numbers, words):
    assert captions.span(pl.Series(numbers)) == words


def test_listed():
    assert captions.listed([]) == ""
    assert captions.listed(["a"]) == "a"
    assert captions.listed(["a", "b", "c"]) == "a, b and c"


def test_attack_settings_name_steps_and_starts():
    trial = Trial(model="gcnn", data="mnist5k")
    probes = [
        Probe(attack="pgd", eps=0.1, steps=40, restarts=5),
        Probe(attack="fgsm", eps=0.1),
        Probe(attack="noise", eps=0.2, restarts=10),
        Probe(),
    ]
    rows = frame([row(trial, probe) for probe in probes])
    assert captions.attacks(rows) == (
        "random noise (10 draws), FGSM (1 step), PGD (40 steps, 5 random starts); eps 0.1 to 0.2, "
        "an L-inf radius in pixel units (pixels in [0, 1]) around the rotated image."
    )
    assert captions.attacks(rows.filter(pl.col("attack") == "none")) == ""


def test_headings_are_broken_to_the_width_of_the_figure():
    heading = captions.heading("Why?", ["word " * 60, "", "end"], 540)
    assert heading.text == "Why?"
    assert heading.subtitle[-1] == "end"
    assert all(0 < len(line) <= 100 for line in heading.subtitle)
