import html
import json
import re
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from xml.etree import ElementTree

import polars as pl
import pytest

from analysis.claims.verdicts import Outcome
from analysis.figures.registry import FIGURES
from analysis.report import pictures
from analysis.report.claims_table import tradeoff
from analysis.report.drawing import lay_out
from analysis.report.page import report
from analysis.rows import flags
from analysis.rows.loading import Loaded
from analysis.rows.overview import overview
from analysis.rows.selection import Comparable
from rotgrid.spec import Trial

from made_up import checks, table_of

SHOWN = ("overview", "figure01", "figure10")
MEASURED = (0.1234, 0.1, 0.15, 0.021, 3_000, 3, "Reaches this far.", "fast", "pgd")
OUTCOMES = [
    Outcome("C1", "1 left", "A <sentence>", "holds", "Words.", "Refuted if not.", *MEASURED),
    Outcome("C2", "10, 11", "Another", "holds", "More words.", "Never."),
    Outcome("C3", "figure01", "A third", "not measured", "No rows.", "Rows."),
]


@pytest.fixture(scope="module")
def page(full):
    trial = Trial.model_validate(full.select(*Trial.model_fields).row(0, named=True))
    diagnostics = table_of("diagnostics", checks(trial, zero_gradient=0.25, repeat=0.0))
    failed = flags.failed(full, diagnostics, table_of("training", []))
    loaded = Loaded(full, ["a <problem>"], ["quick"], diagnostics, failed, overview(full))
    loaded = loaded._replace(progress={"a": "done", "b": "in training"})
    with ThreadPoolExecutor() as pool:
        drawn, *_ = lay_out(loaded, pool, {name: FIGURES[name] for name in SHOWN}).drawings()
        bundle = pictures.bundle(pool).result()
    worst = Comparable(pl.DataFrame({"attack": ["rotation-grid"]}), ["Left <out>."])
    return report(drawn, {"figure99": "needs rows with luck"}, loaded, worst, OUTCOMES, bundle)


@pytest.fixture(scope="module")
def elements(page):
    """All start tags with their attributes."""
    return Elements(page).found


class Elements(HTMLParser):
    """Reads start tags and their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_every_figure_is_there_alive_and_as_a_picture(page, elements):
    sections = {attrs.get("id") for tag, attrs in elements if tag == "section"}
    assert set(SHOWN) <= sections
    specs = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert len(specs) == len(SHOWN)
    questions = {json.loads(spec)["title"]["text"] for spec in specs}
    assert len(questions) == len(SHOWN)


def test_its_head_says_how_far_the_grids_are_and_when_it_was_drawn(page):
    head = page.partition("<nav")[0]
    assert re.search(r"1 of 2 networks done, 1 in training\. Drawn on \d{4}-\d\d-\d\d at ", head)


def test_pictures_are_svg_as_text(page, elements):
    sources = [attrs["src"] for tag, attrs in elements if tag == "img"]
    assert len(sources) == len(SHOWN)
    for source in sources:
        kind, _, text = source.partition(",")
        assert kind == "data:image/svg+xml;charset=utf-8"
        assert "#" not in text  # a fragment would begin there
        svg = ElementTree.fromstring(urllib.parse.unquote(text))
        assert svg.tag == "{http://www.w3.org/2000/svg}svg"
        assert "aria-label" not in text


def test_the_page_is_by_what_is_shown_and_says_the_number_of_the_paper(page, elements):
    specs = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    question = json.loads(specs[1])["title"]["text"]
    assert f'<h2 id="figure01-title">{question}<span class="number">Figure 1</span></h2>' in page
    assert f'<li><a href="#figure01">{question} (Figure 1)</a></li>' in page
    overview = json.loads(specs[0])["title"]["text"]
    assert f'<li><a href="#overview">{overview}</a></li>' in page
    caption = " ".join(json.loads(specs[1])["title"]["subtitle"])
    assert f"<figcaption>{html.escape(caption)}</figcaption>" in page


def test_the_page_loads_nothing(page, elements):
    for tag, attrs in elements:
        assert tag not in ("link", "iframe", "object", "embed")
        assert attrs.get("src", "data:").startswith("data:")
        assert attrs.get("href", "#").startswith(("#", "tables/", "claims.")), attrs
    policy = next(attrs["content"] for _, attrs in elements if attrs.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "http" not in policy
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style


def test_there_is_one_bundle_in_a_script_of_its_own(page):
    scripts = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    bundle, ours = scripts
    assert len(bundle) > 500_000
    assert "vegaEmbed" in bundle
    assert len(ours) < 20_000
    assert "actions: false" in ours  # the menu has links to elsewhere


def test_pictures_have_words_and_models_have_buttons(page, elements):
    words = [attrs["alt"] for tag, attrs in elements if tag == "img"]
    assert words
    assert all("MNIST-5k subset" in text for text in words)
    live = [attrs["aria-label"] for _, attrs in elements if attrs.get("class") == "live"]
    assert live == words
    buttons = [attrs["value"] for tag, attrs in elements if tag == "button"]
    assert buttons == ["stdcnn", "gcnn", "capsnet", ""]
    shown = [json.loads(attrs["data-models"]) for tag, attrs in elements if tag == "figure"]
    assert shown == [["stdcnn", "gcnn", "capsnet"], ["stdcnn", "gcnn"], ["stdcnn"]]


def test_everything_that_scrolls_or_is_a_part_has_a_name(elements):
    for tag, attrs in elements:
        if tag == "section":
            assert attrs["aria-labelledby"] == f"{attrs['id']}-title"
        if attrs.get("class") == "wide":
            assert attrs["tabindex"] == "0"
            assert attrs["aria-label"]
    ids = [attrs["id"] for _, attrs in elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    anchors = [attrs["href"] for tag, attrs in elements if tag == "a" and "download" not in attrs]
    assert {anchor.removeprefix("#") for anchor in anchors} <= set(ids)


def test_claims_stand_with_their_numbers_and_what_would_refute_them(page):
    assert "3 claims, judged 2 times by recipe and attack: holds (2), not measured (1)." in page
    assert page.count('<table class="claims">') == 2
    tables = re.findall(r'<table class="claims">(.*?)</table>', page, re.DOTALL)
    first, second, third = [row for table in tables for row in table.split("<tr id=")[1:]]
    assert len(tables[0].split("<tr id=")) == 3
    assert "<details><summary>Claims that were not measured</summary>" in page
    for text in ("C1: A &lt;sentence&gt;", "Figure 1 left", "</span> holds", "Refuted if not."):
        assert text in first
    scope = '<span class="muted">Reaches this far.</span>'
    assert f"Words.<br>p 0.021, n 3,000, seeds 3<br>{scope}" in first
    assert "<td>fast; pgd</td>" in first
    assert '<a href="#figure10">Figures 10, 11</a>' in second
    assert '<td class="numbers">No rows.</td>' in third
    signs = re.findall(r'<span aria-hidden="true">(.)</span> ([^<]+)</td>', "".join(tables))
    assert signs == [("\u2713", "holds"), ("\u2713", "holds"), ("\u2013", "not measured")]


def test_without_claims_there_is_no_headline(full):
    failed = pl.DataFrame(schema=flags.FAILED)
    loaded = Loaded(full, [], [], table_of("diagnostics", []), failed, overview(full))
    text = report({}, {}, loaded)
    assert '<p class="headline">' not in text
    assert 'id="claims"' not in text
    assert text.count("<script") == 1  # tables are sorted also where nothing is drawn


def test_it_says_what_is_missing_wrong_and_where_it_comes_from(page):
    for text in (
        "figure99: needs rows with luck",
        "a &lt;problem&gt;",
        "Quickstart data: numbers are not MNIST test accuracy.",
        "Grids: quick.",
        "<td>0123abc</td>",
        "upper bound of robustness",
        "Networks checked for masked gradients: 1 of 39.",
        '<td>zero-gradient</td><td class="number">0.25</td><td class="number">0.01</td>',
        '<h2 id="worst-case-over-rotations-title">Worst case over rotations</h2>',
        "<td>rotation-grid</td>",
        "Left &lt;out&gt;.",
    ):
        assert text in page


def test_tables_can_be_unfolded(page):
    assert page.count("<details><summary>Table (") == 2


def test_users_words_are_text(full):
    name = "<i>[eps]</i>&{x}"
    failed = pl.DataFrame(schema=flags.FAILED)
    loaded = Loaded(full, [name], [name], table_of("diagnostics", []), failed, overview(full))
    text = report({}, {"figure01": name}, loaded)
    assert "<i>" not in text
    assert text.count("&lt;i&gt;[eps]&lt;/i&gt;&amp;{x}") == 5


def judged(claim, verdict="not measured", **more):
    return Outcome(
        claim, "beyond", f"Sentence {claim}.", verdict, "Needs <rows>. More.", "", **more
    )


def test_the_question_of_the_study_is_answered_under_the_strongest_attack_that_was_measured():
    assert tradeoff([judged("C1")]) == ""
    neither = tradeoff([judged("B1"), judged("B2")])
    assert neither == (
        '<a href="#B1">B1</a>, Sentence B1: <b>\u2013 not measured</b> (Needs &lt;rows&gt;).'
    )
    pgd = [judged("B1", "holds", comparisons=1, recipe=f"r{i}", tier="pgd") for i in range(5)]
    weaker = tradeoff([*pgd, judged("B2")])
    assert "Sentence B1: <b>\u2713 holds</b> (Needs &lt;rows&gt;; r0; pgd); <b>" in weaker
    assert "r2" in weaker
    assert weaker.endswith("; 2 more.")
    stronger = tradeoff([*pgd, judged("B2", "mixed", comparisons=1)])
    assert stronger.startswith('<a href="#B2">B2</a>, Sentence B2: <b>\u00b1 mixed</b>')
