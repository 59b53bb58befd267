"""Chromium without a window, driven over a pipe in its own language (the DevTools protocol)."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "microsoft-edge")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars")
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

    def resize(self, width, height=900):
        """Give the window this size in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **size)

    def show(self, scheme, media=""):
        """A light or a dark page, on the screen or in print."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", media=media, features=features)

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

    def each(self, selector, expression):
        """The value of an expression on each element `e`."""
        return self.js(
            f"[...document.querySelectorAll({json.dumps(selector)})].map(e => {expression})"
        )

    def boxes(self, selector):
        """Where each element is."""
        return self.each(selector, "e.getBoundingClientRect().toJSON()")

    def until(self, expression):
        """Wait for an expression to become true."""
        end = time.monotonic() + PATIENCE
        while not (value := self.js(expression)):
            assert time.monotonic() < end, f"never: {expression}"
            time.sleep(0.05)
        return value

    def move(self, x, y):
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.js("new Promise(done => setTimeout(done, 100))")

    def press(self, selector):
        """Click on the middle of an element, which must be seen there."""
        x, y = self.js(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            "const at = [b.x + b.width / 2, b.y + b.height / 2];"
            "return e.contains(document.elementFromPoint(...at)) ? at : [null, null]; })()"
        )
        assert x is not None, f"{selector} is hidden"
        self.click(x, y)

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
