"""The app in a real browser: it fits, light and dark, and a click on a point shows its rows."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from chromium import Browser

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[3]
VIEWS = [(1_400, "light"), (1_400, "dark"), (400, "light"), (400, "dark")]
CHART = "document.querySelector('marimo-vega')?.shadowRoot"
POINTS = f"[...{CHART}.querySelectorAll('.mark-symbol.role-mark path')]"
SAYS = "document.body.innerText.includes('{}')"


@pytest.fixture(scope="module")
def page(root):
    """The address of the app, served from results of a launched grid."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-m", "rotgrid", "explore", root, "--headless", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen([sys.executable, *words], env=environment, stdout=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(address)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def wait_for(address):
    end = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            assert time.monotonic() < end, "no server"
            time.sleep(0.2)
        else:
            return


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(params=VIEWS, ids=lambda view: f"{view[0]}-{view[1]}")
def opened(request, browser, page):
    """The app with its first chart, in a view."""
    width, scheme = request.param
    browser.resize(width, 2_400)
    browser.show(scheme)
    browser.send("Page.navigate", url=page)
    browser.until(f"{CHART}?.querySelectorAll('.mark-symbol.role-mark path').length > 1")
    browser.until(SAYS.format("verdicts"))
    browser.scheme = scheme
    browser.width = width
    return browser


def test_it_fits_and_is_legible(opened):
    assert opened.js("document.documentElement.scrollWidth") <= opened.width
    right = opened.js(f"{CHART}.querySelector('svg').getBoundingClientRect().right")
    assert right <= opened.width
    fills = set(opened.js(f"{POINTS}.map(e => getComputedStyle(e).fill)"))
    black = {"light": "rgb(0, 0, 0)", "dark": "rgb(242, 242, 242)"}
    assert black[opened.scheme] in fills
    paper = opened.js("getComputedStyle(document.body).backgroundColor")
    assert paper not in fills


def test_a_click_shows_rows_and_command(opened):
    assert not opened.js(SAYS.format("--only"))
    at = opened.js(
        f"(() => {{ const b = {POINTS}[0].getBoundingClientRect();"
        "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    opened.click(*at)
    opened.until(SAYS.format("--only"))
    assert opened.js(SAYS.format("rotgrid.launch"))
    assert opened.js("document.documentElement.scrollWidth") <= opened.width
