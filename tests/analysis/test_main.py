import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from analysis.__main__ import draw, main
from analysis.figures.registry import FIGURES
from analysis.rows.loading import NoResults
from analysis.rows.selection import CannotShow
from rotgrid.results import galleries, storage
from rotgrid.spec import Probe, Trial

from made_up import PNG, pictured, row, store, study


@pytest.fixture(scope="module")
def small():
    """Enough for Figures 1 and 2 only."""
    return study(
        train_rotations=(0, 60),
        seeds=(0,),
        adversaries=("none",),
        test_rotations=(0, 60),
        eps=(),
    )


def test_main_writes_every_file(tmp_path, capsys):
    models = (("stdcnn", "table1"), ("gcnn", "table1"), ("capsnet", "table"))
    store(tmp_path, study(models, seeds=(0,), adversaries=("none",)))
    assert main([str(tmp_path), "--pictures"]) == 0
    out = tmp_path / "report"
    printed = capsys.readouterr()
    assert printed.out == f"{out / 'report.html'}\n"
    page = (out / "report.html").read_text()
    missing = {name for name in FIGURES if f'<section id="{name}"' not in page}
    assert all(f"<li>{name}: needs " in page for name in missing)
    assert printed.err == (
        f"{len(FIGURES) - len(missing)} figures drawn; {len(missing)} not, for the reasons in "
        'report.html, section "Figures that could not be drawn"\n'
    )
    assert "Figures that could not be drawn</h2>" in page
    assert {"against", "overview", "figure01", "figure02", "figure10"}.isdisjoint(missing)
    assert "<li>tradeoff: needs more than overview shows</li>" in page
    drawn = [name for name in FIGURES if name not in missing]
    figures = {f"{name}.{kind}" for name in drawn for kind in ("svg", "pdf", "png")}
    assert {path.name for path in (out / "figures").iterdir()} == figures
    kinds = ("md", "csv", "tex", "parquet")
    tables = {f"{name}.{kind}" for name in drawn if name != "overview" for kind in kinds}
    tables |= {f"{name}.{kind}" for name in ("effects", "leaderboard") for kind in kinds}
    assert {path.name for path in (out / "tables").iterdir()} == tables
    links = {link for link in re.findall(r'href="([^"]*)"', page) if not link.startswith("#")}
    assert {f"tables/{name}" for name in tables} | {"claims.json", "claims.md"} == links
    effects = pl.read_parquet(out / "tables/effects.parquet")
    assert effects.equals(pl.read_csv(out / "tables/effects.csv", schema=effects.schema))
    assert 'url=report.html"' in (out / "index.html").read_text()
    outcomes = json.loads((out / "claims.json").read_text())
    assert all(f'<tr id="{one["id"]}"' in page for one in outcomes)
    assert (out / "claims.md").read_text().count("\n| ") >= len(outcomes)
    magic = {"svg": b"<svg", "pdf": b"%PDF", "png": b"\x89PNG"}
    for path in (out / "figures").iterdir():
        assert path.read_bytes().startswith(magic[path.suffix[1:]])


def test_partial_results_are_drawn_and_what_is_missing_is_said(tmp_path, capsys, small):
    store(tmp_path / "run", small)
    (tmp_path / "run" / "evaluations" / "torn.parquet").write_bytes(b"no")
    storage.put(tmp_path / "run", "grids/quick.yaml", b"blocks: [{model: gcnn, data: mnist5k}]")
    out = str(tmp_path / "out")
    assert main([str(tmp_path / "run"), "--verbose", "--out", out]) == 0
    printed = capsys.readouterr().err
    assert "torn.parquet: skipped" in printed
    assert "no rows of 1 of 1 trials" in printed
    assert "figure04 not drawn: needs rows with attack fgsm" in printed
    drawn = {path.stem for path in (tmp_path / "out" / "figures").iterdir()}
    assert {"against", "figure01", "figure02"} <= drawn
    assert "figure04" not in drawn
    page = (tmp_path / "out" / "report.html").read_text()
    assert "figure04: needs rows with attack fgsm" in page
    assert "torn.parquet: skipped" in page
    assert "rotgrid: quick" in page


def test_drawing_again_gives_the_same_pictures_and_tables(tmp_path, small):
    run = store(tmp_path / "run", small[:8])
    written = [draw([run], str(tmp_path / out)) for out in "ab"]
    assert written == [str(tmp_path / out / "report.html") for out in "ab"]
    for name in ("figures/figure01.svg", "tables/figure01.md", "report.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    kinds = {path.suffix for path in (tmp_path / "a" / "figures").iterdir()}
    assert kinds == {".svg"}  # what takes longer is made if asked for


def test_a_gallery_beside_the_rows_is_in_the_report_and_a_damaged_page_is_said(
    tmp_path, capsys, small
):
    run = store(tmp_path / "run", small[:8])
    page = pictured(Trial.model_validate({name: small[0][name] for name in Trial.model_fields}))
    galleries.write(f"{run}/gallery", page, [PNG] * len(page.pictures))
    storage.put(run, "gallery/torn.json", b"{")
    text = Path(draw([run], str(tmp_path / "out"))).read_text()
    assert text.count('<figure class="picture">') == len(page.pictures)
    assert "gallery/torn.json: skipped" in text
    assert "gallery/torn.json: skipped" in capsys.readouterr().err


def test_worst_cases_over_rotations_are_a_table(tmp_path, small):
    trial = Trial.model_validate({name: small[0][name] for name in Trial.model_fields})
    tried = row(trial, Probe(attack="rotation-grid", test_rotation=60.0))
    draw([store(tmp_path / "run", [*small[:2], tried])], str(tmp_path / "out"))
    (line,) = pl.read_csv(tmp_path / "out/tables/worst_case.csv").iter_rows(named=True)
    assert (line["attack"], line["test_rotation"], line["worst_n"]) == ("rotation-grid", 60, 1_000)
    assert "rotation-grid" in (tmp_path / "out/tables/worst_case.md").read_text()
    page = (tmp_path / "out/report.html").read_text()
    assert '<section id="worst-case-over-rotations"' in page


def test_several_results_need_an_out(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "a"), str(tmp_path / "b")])
    assert stopped.value.code == 2
    assert "--out is needed" in capsys.readouterr().err


def undrawn(*_):
    raise AssertionError("this work is for nothing")


@pytest.mark.parametrize("out", ["report", "report/below"])
def test_an_out_that_cannot_be_written_is_5_before_the_work(
    tmp_path, capsys, monkeypatch, small, out
):
    run = store(tmp_path / "run", small[:1])
    (tmp_path / "run" / "report").write_text("a file")
    monkeypatch.setattr("analysis.__main__.lay_out", undrawn)
    assert main([run, "--out", f"{run}/{out}"]) == 5
    printed = capsys.readouterr().err
    assert printed.startswith(f"cannot write the report to {run}/{out}: ")
    assert printed.endswith("name another folder with --out\n")


def test_results_that_may_only_be_read_need_an_out(tmp_path, capsys, monkeypatch, small):
    def refuse(root, name, data):
        raise storage.StoreError(errno.EROFS, f"cannot write {name}: {os.strerror(errno.EROFS)}")

    run = store(tmp_path, small[:1])
    monkeypatch.setattr(storage, "put", refuse)
    monkeypatch.setattr("analysis.__main__.lay_out", undrawn)
    assert main([run]) == 5
    why = "Read-only file system; name another folder with --out"
    printed = capsys.readouterr().err
    assert printed.startswith(f"cannot write the report to {run}/report: ")
    assert printed.endswith(f"{why}\n")


def test_an_out_below_folders_that_are_not_there_yet_is_made(tmp_path, small):
    out = tmp_path / "not" / "yet"
    assert main([store(tmp_path / "run", small[:8]), "--out", str(out)]) == 0
    assert (out / "report.html").exists()
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_results_that_cannot_be_reached_are_5(tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    assert main([str(tmp_path / "file")]) == 5
    assert "file" in capsys.readouterr().err


def test_interrupted_is_130(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("analysis.__main__.written", interrupt)
    assert main([str(tmp_path)]) == 130


def test_the_report_is_written_though_nobody_listens(tmp_path, small):
    run = store(tmp_path / "run", small[:8])
    (tmp_path / "run" / "evaluations" / "torn.parquet").write_bytes(b"no")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "analysis", run]
    with open("/dev/full", "w") as full:
        assert subprocess.run(command, stdout=writing, stderr=full).returncode == 0
    os.close(writing)
    assert "torn.parquet" in (tmp_path / "run" / "report" / "report.html").read_text()


def test_rows_with_words_of_another_version_are_named_and_the_rest_is_drawn(
    tmp_path, capsys, small
):
    trial = Trial.model_validate({name: small[0][name] for name in Trial.model_fields})
    later = {**row(trial, Probe(attack="pgd", eps=0.1)), "attack": "carlini"}
    run = store(tmp_path / "run", [*small, later])
    assert main([run]) == 0
    assert "attack carlini: not known to this version" in capsys.readouterr().err
    page = (tmp_path / "run" / "report" / "report.html").read_text()
    assert "attack carlini: not known to this version" in page
    assert "<li>carlini: eps 0.1; n = 1,000 test images per network" in page
    assert '<section id="figure01"' in page


def test_no_rows_at_all_is_2_and_writes_nothing(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "there are no results to draw" in printed.err
    assert "nowhere: no evaluations" in printed.err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NoResults):
        draw([str(tmp_path)], str(tmp_path / "out"))


def test_several_runs_are_drawn_together(tmp_path, small):
    first, second = small[: len(small) // 2], small[len(small) // 2 :]
    runs = [store(tmp_path / name, rows) for name, rows in (("a", first), ("b", second))]
    out = tmp_path / "out"
    assert main([*runs, "--out", str(out)]) == 0
    shown = pl.read_csv(out / "tables/figure02.csv")
    assert set(shown["model"]) == {"stdcnn", "gcnn"}
    assert f"<dd>{len(small)}</dd>" in (out / "report.html").read_text()


def test_a_figure_that_cannot_hold_the_rows_does_not_stop_the_others(tmp_path, small, monkeypatch):
    def full(rows):
        raise CannotShow("9999 rows are more than the 2000 that a figure may hold")

    monkeypatch.setitem(FIGURES, "figure04", FIGURES["figure04"]._replace(draw=full))
    page = Path(draw([store(tmp_path / "run", small)], str(tmp_path / "out")))
    assert "figure04: 9999 rows are more than the 2000" in page.read_text()
    assert (page.parent / "figures/figure01.svg").exists()


def test_a_figure_whose_code_fails_is_1_and_the_rest_is_drawn(
    tmp_path, small, monkeypatch, capsys
):
    def broken(rows):
        raise ValueError("math domain error")

    monkeypatch.setitem(FIGURES, "figure04", FIGURES["figure04"]._replace(draw=broken))
    run = store(tmp_path / "run", small)
    assert main([run]) == 1
    assert "Traceback" in capsys.readouterr().err
    page = (tmp_path / "run/report/report.html").read_text()
    assert "figure04: its code failed: ValueError: math domain error" in page
    assert '<section id="figure01"' in page
