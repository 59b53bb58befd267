import errno
import os
import re
import stat

import pyarrow as pa
import pyarrow.fs as pafs
import pytest
from pyarrow.fs import FileSystemHandler

from rotgrid.results import location, storage


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
    storage.require_writable(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(storage.StoreError, match=r"cannot write .*/\.check"):
        storage.require_writable(tmp_path / "file")


def test_what_cannot_be_deleted_is_an_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(storage.StoreError, match=r"cannot delete .*file/a"):
        storage.delete(tmp_path, "file/a")


def folders_are_not_flushed(monkeypatch, number):
    """As on file systems that flush files alone."""
    flush = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES])
def test_folders_need_not_be_flushed(tmp_path, monkeypatch, number):
    folders_are_not_flushed(monkeypatch, number)
    storage.put(tmp_path, "a/file", b"x")
    assert storage.create(tmp_path, "a/other", b"y")
    storage.require_writable(tmp_path)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["file", "other"]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    folders_are_not_flushed(monkeypatch, errno.EIO)
    with pytest.raises(storage.StoreError, match=r"cannot write .*a/file: Input/output error"):
        storage.put(tmp_path, "a/file", b"x")


def test_what_is_there_is_not_created_again(root):
    assert storage.create(root, "a/file", b"first")
    assert not storage.create(root, "a/file", b"second")
    assert storage.get(root, "a/file") == b"first"
    assert storage.names(root, "a", "") == ["a/file"]


@pytest.mark.parametrize("links", [True, False])
def test_of_many_that_create_a_file_one_succeeds(tmp_path, monkeypatch, links):
    """All see that it is not there, and then write it: without links the last one stays."""
    monkeypatch.setattr(storage, "exists", lambda *_: False)
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    made = [storage.create(tmp_path, "file", bytes([i])) for i in range(4)]
    assert made == [True] + 3 * [not links]
    assert storage.get(tmp_path, "file") == bytes([0 if links else 3])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def no_links(*_):
    raise OSError(errno.EPERM, "Operation not permitted")


def broken(error):
    """A store that answers everything with one error."""

    def fails(*_):
        raise error

    names = FileSystemHandler.__abstractmethods__
    methods = {**dict.fromkeys(names, fails), "normalize_path": lambda _, path: path}
    return pafs.PyFileSystem(type("Broken", (FileSystemHandler,), methods)())


ACCESSES = [
    lambda root: storage.put(root, "a/b", b""),
    lambda root: storage.create(root, "a/b", b""),
    lambda root: storage.get(root, "a/b"),
    lambda root: storage.delete(root, "a/b"),
    lambda root: storage.exists(root, "a/b"),
    lambda root: storage.names(root, "a", ""),
    lambda root: storage.infos(root, "a"),
    lambda root: storage.opened(root, "a/b").__enter__(),
    storage.require_writable,
]


@pytest.mark.parametrize("access", ACCESSES)
@pytest.mark.parametrize(
    "error",
    [
        OSError("AWS Error NETWORK_CONNECTION during HeadBucket operation"),
        PermissionError(13, "PERMISSION_DENIED"),
        pa.ArrowException("SLOW_DOWN"),
        pa.ArrowInvalid("no such bucket"),
    ],
)
def test_whatever_a_store_answers_is_a_store_error(monkeypatch, access, error):
    store = broken(error)
    monkeypatch.setattr(location, "_locate_uri", lambda _: storage.Location(store, "bucket/r"))
    with pytest.raises(storage.StoreError) as found:
        access("s3://bucket/r")
    assert "cannot" in str(found.value)
    assert str(error).rpartition("] ")[2] in str(found.value)
    assert "None" not in str(found.value)


@pytest.mark.parametrize("access", ACCESSES)
def test_a_server_that_is_not_there_is_a_store_error(access):
    nobody = "endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1"
    with pytest.raises(storage.StoreError, match="cannot"):
        access(f"s3://key:secret@bucket/x?{nobody}")


def test_requests_to_object_stores_have_an_end():
    """The options of a URI are kept."""
    uri = "s3://key:secret@bucket/x?region=eu-north-1&scheme=http&endpoint_override=localhost:9"
    store, path = storage.locate(uri)
    _, (options,) = store.__reduce__()
    assert path == "bucket/x"
    assert {name: options[name] for name in location.LIMITS} == location.LIMITS
    assert (options["region"], options["scheme"]) == ("eu-north-1", "http")
    assert (options["endpoint_override"], options["access_key"]) == ("localhost:9", "key")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("gs://b/x", "gs://b/x?retry_limit_seconds=8"),
        ("gcs://b/x?scheme=http", "gcs://b/x?scheme=http&retry_limit_seconds=8"),
        ("gs://b/x?retry_limit_seconds=300", "gs://b/x?retry_limit_seconds=300"),
        ("s3://b/x?region=a", "s3://b/x?region=a"),
    ],
)
def test_google_s_client_gives_up_soon_unless_told_otherwise(uri, expected):
    assert location._retrying_briefly(uri) == expected
    assert storage.locate("gs://anonymous@b/x").path == "b/x"


def test_waiting_ends_when_the_store_is_back(tmp_path, monkeypatch):
    (tmp_path / "r").write_text("in the way")
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            (tmp_path / "r").unlink()

    monkeypatch.setattr(storage.time, "sleep", sleep)
    assert storage.wait_until_writable(tmp_path / "r", 1e9) == ""
    assert waits == [1, 1, 1]


def test_waiting_ends_when_it_is_of_no_use(tmp_path, monkeypatch):
    (tmp_path / "r").write_text("in the way")
    assert re.search(r"cannot write .*/\.check", storage.wait_until_writable(tmp_path / "r", 0.0))

    def full(*_):
        raise storage.StoreError(errno.ENOSPC, "cannot write: No space left on device")

    monkeypatch.setattr(storage, "require_writable", full)
    assert "No space left" in storage.wait_until_writable(tmp_path, 1e9)
