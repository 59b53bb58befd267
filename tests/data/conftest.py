"""Small files in the official forms, a mirror that serves them, and an empty cache."""

import functools
import http.server
import threading

import pytest

from rotgrid.data import files


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The user's cache, empty."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(files.pooch, "os_cache", lambda name: folder / name)
    return folder / "rotgrid"


@pytest.fixture
def served(tmp_path, cache, monkeypatch):
    """A folder, and the address at which this machine serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.delenv("ROTGRID_DATA", raising=False)
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty folder that `ROTGRID_DATA` names."""
    folder = tmp_path / "root"
    folder.mkdir()
    monkeypatch.setenv("ROTGRID_DATA", str(folder))
    return folder
