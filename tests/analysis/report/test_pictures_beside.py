from concurrent.futures import ThreadPoolExecutor

import pytest

from analysis.report import pictures


def test_the_script_is_made_once_and_then_read(tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / name)
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda: "// déjà vu")
    with ThreadPoolExecutor(1) as pool:
        assert pictures.bundle(pool).result() == "// déjà vu"
    (kept,) = (tmp_path / "rotgrid").iterdir()
    assert kept.suffix == ".js"
    assert pictures.bundle(pool).result() == "// déjà vu"  # the pool takes nothing any more


def test_without_a_cache_the_script_is_made_each_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "file")
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda: "text")
    with ThreadPoolExecutor(1) as pool:
        assert [pictures.bundle(pool).result() for _ in range(2)] == ["text"] * 2
    with pytest.raises(RuntimeError):
        pictures.bundle(pool)
