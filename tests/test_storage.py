import os

import pytest

from rotgrid import storage


@pytest.fixture(params=["path", "uri"])
def root(request, tmp_path):
    return str(tmp_path / "r") if request.param == "path" else f"file://{tmp_path}/r"


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    storage.put(tmp_path, "a/file", b"old")

    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        storage.put(tmp_path, "a/file", b"new")
    assert (tmp_path / "a/file").read_bytes() == b"old"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["file"]


def test_bytes_in_and_out(root):
    assert storage.get(root, "checkpoints/a.pt") is None
    storage.put(root, "checkpoints/a.pt", b"1")
    storage.put(root, "checkpoints/a.pt", b"22")
    storage.put(root, "checkpoints/.hidden.pt", b"")
    assert storage.get(root, "checkpoints/a.pt") == b"22"
    assert storage.exists(root, "checkpoints/a.pt")
    assert storage.names(root, "checkpoints", ".pt") == ["checkpoints/a.pt"]
    storage.delete(root, "checkpoints/a.pt")
    storage.delete(root, "checkpoints/a.pt")
    assert not storage.exists(root, "checkpoints/a.pt")


def test_an_unknown_kind_of_location_is_an_error():
    with pytest.raises(ValueError, match="ftp://x/y: not a results location"):
        storage.locate("ftp://x/y")


def test_a_check_leaves_nothing_and_says_what_is_wrong(tmp_path):
    storage.check(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(storage.StoreError, match=r"cannot write \.check"):
        storage.check(tmp_path / "file")


def test_what_cannot_be_deleted_is_an_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(storage.StoreError, match="cannot delete file/a"):
        storage.delete(tmp_path, "file/a")
