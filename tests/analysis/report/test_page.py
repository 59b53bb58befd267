"""The report in a real browser, Chromium without a window: clicks, keys, print, dark, no requests.

The browser is driven over a pipe in its own language (the DevTools protocol).
"""

import base64
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest
import vl_convert

from analysis.__main__ import drawings
from analysis.claims.verdicts import Outcome
from analysis.figures.registry import FIGURES
from analysis.figures.theme import DIMMED
from analysis.report.page import report
from analysis.rows.flags import FAILED
from analysis.rows.loading import Loaded
from analysis.rows.overview import overview
from analysis.rows.selection import Comparable

from made_up import table_of

pytestmark = pytest.mark.browser
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "microsoft-edge")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars")
SHOWN = ("overview", "figure01", "figure02", "figure10", "tradeoff")
LINKED = ("overview", "figure01", "figure02", "tradeoff")
OUTCOMES = [
    Outcome("C1", "1 left", "A sentence.", "holds", "Some words " * 20, "Refuted if not."),
    Outcome("C2", "2", "Another.", "not measured", "No rows.", "Rows."),
]
PATIENCE = 60


class Browser:
    """One page of a browser."""

    def __init__(self, profile):
        program = next(filter(None, map(shutil.which, NAMES)), None)
        assert program, f"these tests need one of {', '.join(NAMES)} (apt-get install chromium)"
        ours, theirs = zip(*(self.pipe(writing) for writing in (True, False)), strict=True)
        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe"],
            preexec_fn=lambda: [os.dup2(fd, to) for to, fd in enumerate(theirs, 3)],
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in theirs:
            os.close(fd)
        self.to, self.back = os.fdopen(ours[0], "wb", 0), os.fdopen(ours[1], "rb")
        self.session, self.last, self.events, self.rest = None, 0, [], b""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        size = {"width": 1200, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **size)

    @staticmethod
    def pipe(writing):
        """Our end and the browser's, with numbers that those it expects (3, 4) do not hit."""
        low = os.pipe()
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in low]
        for fd in low:
            os.close(fd)
        return tuple(reversed(ends)) if writing else tuple(ends)

    def send(self, method, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        message |= {"sessionId": self.session} if self.session else {}
        self.to.write(json.dumps(message).encode() + b"\0")
        while (answer := self.receive()).get("id") != self.last:
            self.events.append(answer)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def receive(self):
        while b"\0" not in self.rest:
            got = self.back.read1(1 << 20)
            assert got, "the browser has ended"
            self.rest += got
        text, _, self.rest = self.rest.partition(b"\0")
        return json.loads(text)

    def js(self, expression):
        """The value of an expression; promises are awaited."""
        found = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression):
        """Wait for an expression to become true."""
        end = time.monotonic() + PATIENCE
        while not (value := self.js(expression)):
            assert time.monotonic() < end, f"never: {expression}"
            time.sleep(0.05)
        return value

    def click(self, x, y, **more):
        for kind in ("mousePressed", "mouseReleased"):
            where = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
            self.send("Input.dispatchMouseEvent", **where, **more)
        self.js("new Promise(done => setTimeout(done, 100))")

    def key(self, name):
        for kind in ("keyDown", "keyUp"):
            code = {"Enter": 13, "Escape": 27, "Tab": 9}[name]
            text = {"text": "\r"} if (kind, name) == ("keyDown", "Enter") else {}
            fields = {"type": kind, "key": name, "code": name, "windowsVirtualKeyCode": code}
            self.send("Input.dispatchKeyEvent", **fields, **text)
        self.js("new Promise(done => setTimeout(done, 100))")

    def close(self):
        with contextlib.suppress(AssertionError, OSError):
            self.session = None
            self.send("Browser.close")
        self.to.close()
        self.back.close()
        self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def page(full, tmp_path_factory):
    """The address of a report of a full study."""
    failed = pl.DataFrame(schema=FAILED)
    loaded = Loaded(full, [], ["quick"], table_of("diagnostics", []), failed, overview(full))
    with ThreadPoolExecutor() as pool:
        drawn, *_ = drawings(loaded, pool, {name: FIGURES[name] for name in SHOWN})
    path = tmp_path_factory.mktemp("page") / "report.html"
    wide = pl.DataFrame(
        {f"{of}_{end}": [0.95] * 3 for of in "abcdefgh" for end in ("lower", "upper")}
    )
    bundle = vl_convert.javascript_bundle()
    path.write_text(report(drawn, {}, loaded, Comparable(wide, []), OUTCOMES, bundle=bundle))
    return path.as_uri()


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(started, page):
    """The page, freshly opened."""
    started.send("Emulation.setEmulatedMedia", media="", features=[])
    started.events.clear()
    started.send("Page.navigate", url=page)
    started.until("document.documentElement?.dataset.drawn > 0")
    return started


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
    browser.send("Emulation.setEmulatedMedia", media="print")
    shown = "getComputedStyle(document.querySelector('{}')).display"
    for name in SHOWN:
        assert browser.js(shown.format(f"#{name} .still")) == "block"
        assert browser.js(shown.format(f"#{name} .live")) == "none"
    assert browser.js(shown.format(".pick")) == "none"
    pdf = base64.b64decode(browser.send("Page.printToPDF")["data"])
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") >= 3


def test_print_cuts_no_table_and_opens_no_empty_fold(browser):
    paper = {"width": 688, "height": 1000, "deviceScaleFactor": 1, "mobile": False}  # A4 at 96 dpi
    browser.send("Emulation.setDeviceMetricsOverride", **paper)
    browser.send("Emulation.setEmulatedMedia", media="print")
    try:
        tables = browser.js(
            "[...document.querySelectorAll('section > .wide > table')]"
            ".map(table => table.getBoundingClientRect().right)"
        )
        assert len(tables) == 3  # claims, worst case, provenance
        assert max(tables) <= paper["width"]
        folds = "[...document.querySelectorAll('details')].map(d => getComputedStyle(d).display)"
        assert set(browser.js(folds)) == {"none"}
    finally:
        browser.send("Emulation.setDeviceMetricsOverride", **paper | {"width": 1200})


def test_a_claim_leads_to_its_figure(browser):
    href = browser.js("document.querySelector('#C1 a').getAttribute('href')")
    assert href == "#figure01"
    browser.js("document.querySelector('#C1 a').focus()")
    browser.key("Enter")
    browser.until("document.querySelector('#figure01 figure').classList.contains('drawn')")
    top = browser.js("document.getElementById('figure01').getBoundingClientRect().top")
    assert 0 <= top < 200


def test_the_dark_page_is_dark_and_its_black_marks_are_light(browser):
    paper = "getComputedStyle(document.body).backgroundColor"
    stroke = (
        "[...document.querySelectorAll('#overview .live .mark-line path')]"
        ".map(p => p.getAttribute('stroke'))"
    )
    assert browser.js(paper) == "rgb(255, 255, 255)"
    assert "#000000" in browser.js(stroke)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.send("Emulation.setEmulatedMedia", media="", features=dark)
    browser.until(f"{paper} !== 'rgb(255, 255, 255)'")
    browser.until(f"{stroke}.includes('#f2f2f2')")
    assert "#000000" not in browser.js(stroke)
