"""The report in a real browser: clicks, keys, print, dark, narrow, no requests."""

import base64
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from analysis.claims.verdicts import Outcome
from analysis.figures.registry import FIGURES
from analysis.figures.theme import DIMMED
from analysis.report import pictures
from analysis.report.drawing import lay_out
from analysis.report.gallery import Gallery
from analysis.report.page import report
from analysis.rows.flags import FAILED
from analysis.rows.loading import Loaded
from analysis.rows.overview import overview
from analysis.rows.selection import Comparable
from rotgrid.spec import Trial

from chromium import Browser
from made_up import PNG, pictured, table_of

pytestmark = pytest.mark.browser
SHOWN = ("overview", "figure01", "figure02", "figure10", "tradeoff")
LINKED = ("overview", "figure01", "figure02", "tradeoff")
OUTCOMES = [
    Outcome("C1", "1 left", "A sentence.", "holds", "Some words " * 20, "Refuted if not."),
    Outcome("C2", "2", "Another.", "not measured", "No rows.", "Rows."),
]
NUMBERS = [9.0, 10.0, 1_200.0, None, 0.5, -3.0, 1.25, 100.0, 2.0, 40.0, 7.5, 0.0]
WIDE = pl.DataFrame(
    {"model": ["stdcnn", "gcnn"] * 6, "distance": NUMBERS, "images": range(12)}
    | {f"{of}_{end}": [0.95] * 12 for of in "abcdefgh" for end in ("lower", "upper")}
)
"""A table that no window holds: two models, numbers with a gap."""
VIEWS = [(1_400, "light"), (1_400, "dark"), (400, "light"), (400, "dark")]


@pytest.fixture(scope="module")
def page(full, tmp_path_factory):
    """The address of a report of a full study."""
    failed = pl.DataFrame(schema=FAILED)
    loaded = Loaded(full, [], ["quick"], table_of("diagnostics", []), failed, overview(full))
    with ThreadPoolExecutor() as pool:
        drawn, *_ = lay_out(loaded, pool, {name: FIGURES[name] for name in SHOWN}).drawings()
        bundle = pictures.bundle(pool).result()
    path = tmp_path_factory.mktemp("page") / "report.html"
    image = pictured(Trial(model="gcnn", train_rotation=60.0))
    gallery = Gallery([(image, [PNG] * len(image.pictures))], 0)
    path.write_text(report(drawn, {}, loaded, Comparable(WIDE, []), OUTCOMES, bundle, gallery))
    return path.as_uri()


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(started, page):
    """The page, freshly opened."""
    started.resize(1_200)
    started.show("light")
    return opened(started, page)


def opened(browser, page):
    browser.events.clear()
    browser.send("Page.navigate", url=page)
    browser.until("document.documentElement?.dataset.drawn > 0")
    return browser


@pytest.fixture(params=VIEWS, ids=lambda view: f"{view[0]}-{view[1]}")
def view(started, page, request):
    """The page on a desk and in a hand, light and dark."""
    width, scheme = request.param
    started.resize(width)
    started.show(scheme)
    return opened(started, page)


def all_drawn(browser):
    """Scroll through the page as a reader does."""
    for name in SHOWN:
        browser.js(f"document.getElementById('{name}').scrollIntoView()")
        browser.until(f"document.querySelector('#{name} figure').classList.contains('drawn')")


DIM = (
    "Object.fromEntries([...document.querySelectorAll('section > figure')].map(f => ["
    "f.parentNode.id, [...new Set([...f.querySelectorAll('.live .role-mark path')]"
    f".filter(p => p.getAttribute('opacity') === '{DIMMED}')"
    ".map(p => (p.__data__.datum ?? p.__data__.mark?.items[0].datum)?.model))].sort()]))"
)
"""By figure the models of which marks are dimmed."""


def dimmed(browser):
    return {name: models for name, models in browser.js(DIM).items() if models}


def place(browser, figure, found):
    """Where to click: on an element that is seen, and for which a condition on `e` holds."""
    return browser.js(
        f"(() => {{ const figure = document.querySelector('#{figure} .live');"
        "figure.scrollIntoView({block: 'center'});"
        f"for (const e of figure.querySelectorAll('svg text, svg path')) {{ if (!({found})) "
        "continue; const b = e.getBoundingClientRect(), x = b.x + b.width / 2,"
        "y = b.y + b.height / 2; if (document.elementFromPoint(x, y) === e) return [x, y]; }"
        "return null; })()"
    )


def legend(browser, figure, label):
    return place(browser, figure, f"e.closest('.role-legend') && e.textContent === '{label}'")


def point(browser, figure, model):
    mark = "e.closest('.mark-symbol.role-mark')"
    return place(browser, figure, f"{mark} && e.__data__?.datum?.model === '{model}'")


def blank(browser, figure):
    """A place in the margin of a figure."""
    return browser.js(
        f"(() => {{ const svg = document.querySelector('#{figure} .live svg');"
        "svg.scrollIntoView({block: 'center'}); const b = svg.getBoundingClientRect();"
        "return [b.x + 4, b.y + b.height / 2]; })()"
    )


def test_figures_come_alive_when_near_and_nothing_is_loaded_or_wrong(browser):
    assert browser.js("Number(document.documentElement.dataset.drawn)") < len(SHOWN)
    all_drawn(browser)
    assert browser.js("Number(document.documentElement.dataset.drawn)") == len(SHOWN)
    events = [(event["method"], event.get("params", {})) for event in browser.events]
    asked = [p["request"]["url"] for method, p in events if method == "Network.requestWillBeSent"]
    assert asked
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}
    assert [url for url in asked if url.startswith("file:")] == [browser.js("location.href")]
    wrong = [p for method, p in events if method in ("Runtime.exceptionThrown", "Log.entryAdded")]
    said = [p for method, p in events if method == "Runtime.consoleAPICalled"]
    assert wrong == []
    assert [p for p in said if p["type"] in ("error", "warning", "assert")] == []


def test_a_click_on_a_legend_dims_the_other_models_in_all_figures(browser):
    all_drawn(browser)
    assert dimmed(browser) == {}
    browser.click(*legend(browser, "figure02", "GCNN"))
    found = dimmed(browser)
    assert set(found) == set(LINKED)
    assert all("gcnn" not in models for models in found.values())
    assert all("stdcnn" in models for models in found.values())
    browser.click(*legend(browser, "figure02", "GCNN"))
    assert dimmed(browser) == {}


def test_a_click_on_a_mark_does_too_and_one_beside_shows_all(browser):
    all_drawn(browser)
    browser.click(*point(browser, "tradeoff", "stdcnn"))
    found = dimmed(browser)
    assert set(found) == set(LINKED)
    assert all("gcnn" in models and "stdcnn" not in models for models in found.values())
    pressed = "document.querySelector('.pick button[aria-pressed=true]').value"
    assert browser.js(pressed) == "stdcnn"
    browser.click(*point(browser, "figure01", "gcnn"), modifiers=8)  # with Shift: both
    assert set(dimmed(browser)) < set(LINKED)
    assert all(models == ["capsnet"] for models in dimmed(browser).values())
    browser.click(*blank(browser, "figure01"))
    assert dimmed(browser) == {}


def test_the_keyboard_highlights_and_shows_all(browser):
    all_drawn(browser)
    browser.js("document.querySelector('.pick button[value=gcnn]').focus()")
    browser.key("Enter")
    assert set(dimmed(browser)) == set(LINKED)
    assert browser.js("document.querySelector('.pick output').textContent") == "Shown: GCNN"
    browser.key("Escape")
    assert dimmed(browser) == {}
    assert browser.js("document.querySelectorAll('.pick [aria-pressed=true]').length") == 0


def test_a_figure_drawn_later_follows_what_was_chosen_before(browser):
    browser.js("document.querySelector('.pick button[value=gcnn]').click()")
    all_drawn(browser)
    assert set(dimmed(browser)) == set(LINKED)


def test_the_first_key_leads_to_the_content(browser):
    browser.key("Tab")
    assert browser.js("document.activeElement.textContent") == "Skip to the content"
    assert browser.js("document.activeElement.getBoundingClientRect().left") > 0


def test_print_shows_every_figure_as_a_picture(browser):
    browser.show("light", "print")
    shown = "getComputedStyle(document.querySelector('{}')).display"
    for name in SHOWN:
        assert browser.js(shown.format(f"#{name} .still")) == "block"
        assert browser.js(shown.format(f"#{name} .live")) == "none"
    assert browser.js(shown.format(".pick")) == "none"
    pdf = base64.b64decode(browser.send("Page.printToPDF")["data"])
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") >= 3


def test_print_cuts_no_table_and_opens_no_empty_fold(browser):
    paper = 688  # A4 at 96 dpi
    browser.resize(paper, 1_000)
    browser.show("light", "print")
    tables = browser.boxes("section > .wide > table")
    assert len(tables) == 3  # claims, worst case, provenance
    assert max(table["right"] for table in tables) <= paper
    for selector in ("details:not([open])", ".tools, .find, .hint, nav"):
        assert set(browser.each(selector, "getComputedStyle(e).display")) == {"none"}


def test_a_claim_leads_to_its_figure(browser):
    href = browser.js("document.querySelector('#C1 a').getAttribute('href')")
    assert href == "#figure01"
    browser.js("document.querySelector('#C1 a').focus()")
    browser.key("Enter")
    browser.until("document.querySelector('#figure01 figure').classList.contains('drawn')")
    top = browser.js("document.getElementById('figure01').getBoundingClientRect().top")
    assert 0 <= top < 200


def test_the_page_that_becomes_dark_draws_its_black_marks_light(browser):
    paper = "getComputedStyle(document.body).backgroundColor"
    stroke = (
        "[...document.querySelectorAll('#overview .live .mark-line path')]"
        ".map(p => p.getAttribute('stroke'))"
    )
    assert browser.js(paper) == "rgb(255, 255, 255)"
    assert "#000000" in browser.js(stroke)
    browser.show("dark")
    browser.until(f"{paper} !== 'rgb(255, 255, 255)'")
    browser.until(f"{stroke}.includes('#f2f2f2')")
    assert "#000000" not in browser.js(stroke)


WIDTH = "innerWidth"


def test_nothing_is_wider_than_the_window_and_figures_use_it(view):
    all_drawn(view)
    width = view.js(WIDTH)
    assert view.js("document.documentElement.scrollWidth") <= width
    svgs = view.boxes("figure .live > svg, figure .live .vega-embed > svg")
    boxes = view.boxes("figure[data-models]")
    assert len(svgs) == len(SHOWN)
    assert all(svg["right"] <= width for svg in svgs)
    used = [svg["width"] / box["width"] for svg, box in zip(svgs, boxes, strict=True)]
    assert max(used) > 0.9
    if width < 1_000:
        assert min(used) > 0.8
    sizes = view.each("figure .live .role-axis-label text", "e.getBoundingClientRect().height")
    assert min(size for size in sizes if size) >= 8  # pixels: it can be read


def test_there_is_no_white_box_in_the_dark(view):
    dark = view.js("matchMedia('(prefers-color-scheme: dark)').matches")
    assert set(view.each("figure:not(.drawn) .still", "getComputedStyle(e).visibility")) == {
        "hidden"
    }
    all_drawn(view)
    papers = "figure .live svg, figure, .picture button, thead th, body"
    fills = view.each(papers, "getComputedStyle(e).backgroundColor")
    fills += view.each("figure .live svg > rect", "e.getAttribute('fill')")
    white = {"rgb(255, 255, 255)", "white", "#ffffff", "#fff"}
    assert bool(white & set(fills)) is not dark


def test_legends_dim_at_every_size(view):
    all_drawn(view)
    view.click(*legend(view, "figure02", "GCNN"))
    assert set(dimmed(view)) == set(LINKED)


def test_what_a_mark_says_stays_on_the_screen(view):
    all_drawn(view)
    for figure, model in (("overview", "gcnn"), ("tradeoff", "stdcnn"), ("figure01", "gcnn")):
        at = point(view, figure, model)
        view.js("new Promise(done => setTimeout(done, 200))")  # scrolling hides what a mark says
        view.move(*at)
        view.until("!document.getElementById('tip').hidden")
        (box,) = view.boxes("#tip")
        assert box["left"] >= 0
        assert box["top"] >= 0
        assert box["right"] <= view.js(WIDTH)
        assert box["bottom"] <= view.js("innerHeight")
        assert "Model" in view.each("#tip dt", "e.textContent")
        assert view.js("document.getElementById('tip').scrollHeight") <= box["height"] + 1
        view.move(*blank(view, figure))
        view.until("document.getElementById('tip').hidden")


TABLE = "#worst-case-over-rotations"


def column(browser, at):
    """What the rows that are shown say in a column."""
    return browser.each(f"{TABLE} tbody tr:not([hidden])", f"e.cells[{at}].textContent")


def choose(browser, selector, value):
    browser.js(
        f"(() => {{ const e = document.querySelector({selector!r}); e.value = {value!r};"
        "e.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def test_a_table_is_filtered_and_searched(view):
    said = f"document.querySelector('{TABLE} .find output').textContent"
    assert view.js(said) == "12 of 12"
    choose(view, f"{TABLE} .find select", "gcnn")
    assert column(view, 0) == ["gcnn"] * 6
    assert view.js(said) == "6 of 12"
    choose(view, f"{TABLE} .find input", "GCNN 100")
    assert column(view, 1) == ["100"]
    choose(view, f"{TABLE} .find select", "")
    choose(view, f"{TABLE} .find input", "")
    assert view.js(said) == "12 of 12"
    filters = view.each(f"{TABLE} .find label", "e.firstChild.textContent.trim()")
    assert filters[:2] == ["Search", "model"]


def test_a_table_is_sorted_by_size_both_ways_with_gaps_last(view):
    numbers = sorted(number for number in NUMBERS if number is not None)
    button = f"{TABLE} thead th:nth-child(2) button"
    heads = f"{TABLE} thead th"
    view.press(button)
    assert column(view, 1) == [*(f"{number:g}" for number in numbers), ""]
    assert view.each(heads, "e.ariaSort")[:3] == ["none", "ascending", "none"]
    view.press(button)
    assert column(view, 1) == [*(f"{number:g}" for number in reversed(numbers)), ""]
    assert view.each(heads, "e.ariaSort")[:3] == ["none", "descending", "none"]
    view.js(f"document.querySelector('{TABLE} thead th button').focus()")
    view.key("Enter")
    assert column(view, 0) == ["gcnn"] * 6 + ["stdcnn"] * 6


def test_a_wide_table_scrolls_in_its_box_and_says_so(view):
    box, hint = f"{TABLE} .wide", f"{TABLE} .hint"
    assert view.js(f"document.querySelector('{box}').scrollWidth > innerWidth")
    view.until(f"!document.querySelector('{hint}').hidden")
    assert view.boxes(box)[0]["right"] <= view.js(WIDTH)


def test_a_picture_is_enlarged_and_closed(view):
    (small,) = view.boxes(".gallery .picture:first-child img")
    view.press(".gallery .picture button")
    (large,) = view.boxes("dialog[open] img")
    assert large["width"] > 1.02 * small["width"] or large["width"] > 0.8 * view.js(WIDTH)
    assert large["right"] <= view.js(WIDTH)
    words = view.js("document.querySelector('dialog figcaption').textContent")
    assert "distance 0.087" in words
    view.key("Escape")
    assert not view.js("document.querySelector('dialog').open")
    view.press(".gallery .picture button")
    view.press("dialog button")
    assert not view.js("document.querySelector('dialog').open")


def test_contents_stay_in_sight_and_lead_to_what_is_shown(view):
    width = view.js(WIDTH)
    assert view.js("document.querySelector('nav details').open") == (width >= 1_024)
    view.js("document.getElementById('provenance').scrollIntoView()")
    assert view.boxes("nav")[0]["top"] == pytest.approx(0, abs=1)
    if width < 1_024:
        view.press("nav summary")
    view.press("nav a[href='#figure02']")
    view.until("document.querySelector('#figure02 figure').classList.contains('drawn')")
    view.until("document.querySelector('nav a[aria-current]')?.hash === '#figure02'")
    assert 0 <= view.boxes("#figure02")[0]["top"] < 200
    assert view.js("document.querySelector('nav details').open") == (width >= 1_024)


def test_a_figure_is_saved_as_it_would_be_printed(view):
    all_drawn(view)  # nothing moves any more
    view.js(
        "window.saved = [];"
        "HTMLAnchorElement.prototype.click ="
        " function() { saved.push([this.download, this.href]); }"
    )
    view.press("#figure01 .tools button:nth-of-type(1)")
    view.press("#figure01 .tools button:nth-of-type(2)")
    view.until("saved.length === 2")
    (svg, text), (png, pixels) = view.js("saved")
    assert (svg, png) == ("figure01.svg", "figure01.png")
    assert text.startswith("data:image/svg+xml")
    content = base64.b64decode(pixels.removeprefix("data:image/png;base64,"))
    assert content.startswith(b"\x89PNG")
    assert len(content) > 10_000


def test_a_narrower_window_puts_panels_below_each_other(browser):
    browser.resize(1_400)
    all_drawn(browser)
    heights = "document.querySelector('#overview .live svg').getBoundingClientRect().height"
    before = browser.js(heights)
    browser.resize(400)
    browser.until(f"{heights} > 1.2 * {before}")
    assert browser.js("document.documentElement.scrollWidth") <= 400
