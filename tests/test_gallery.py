import io
import shutil
from pathlib import Path

import pytest
from PIL import Image

from analysis.report import gallery as report_gallery
from rotgrid import experiment, gallery, launch
from rotgrid.pictures.png import GAP
from rotgrid.results import galleries, storage
from rotgrid.spec import Probe, Trial

import own_files

GRID = """
name: g
defaults: {data: mnist5k, recipe: fast, train_size: 300, epochs: 2, train_rotation: 30}
blocks: [{model: stdcnn, seed: [0, 1], probes: {n_images: 20}}]
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    trial = Trial(model="stdcnn", data="mnist5k", recipe="fast", train_size=300, epochs=2,
                  train_rotation=30)  # fmt: skip
    experiment.run(trial, [Probe(n_images=20)], root)
    return root, trial


@pytest.fixture
def results(trained, tmp_path):
    return shutil.copytree(trained[0], tmp_path / "r"), trained[1]


def pages_of(root):
    pages, problems = galleries.read(str(root))
    assert problems == []
    return {
        page.attack or page.kind: (page, galleries.read_pictures(str(root), page))
        for page in pages
    }


def test_every_network_is_drawn_under_each_attack(results, capsys):
    root, trial = results
    arguments = [str(root), "--images", "20", "--attack", "fmn", "--attack", "fgsm"]
    assert gallery.main(arguments) == 0
    names = [f"{trial.key()}-{kind}.json" for kind in ("fmn", "fgsm", "sixes")]
    assert capsys.readouterr().out.split() == [f"{root}/gallery/{name}" for name in names]
    pages = pages_of(root)
    assert set(pages) == {"fmn", "fgsm", "sixes"}
    for page, pngs in pages.values():
        assert (page.trial, page.network) == (trial.key(), trial)
        assert all(len(png) < 4_000 for png in pngs)
        assert len({picture.file for picture in page.pictures}) == len(pngs)
    page, _ = pages["fmn"]
    assert page.n == 20
    assert {picture.group for picture in page.pictures} == {"first", "nearest", "farthest"}
    of = {group: [p.distance for p in page.pictures if p.group == group] for group in
          ("nearest", "farthest")}  # fmt: skip
    assert 0 < max(of["nearest"]) <= page.median <= min(of["farthest"])


def test_images_are_rotated_as_the_rows_say(results):
    """An image is misclassified in the gallery if and only if it is in the row without attack."""
    root, trial = results
    assert gallery.main([str(root), "--images", "20"]) == 0
    page, _ = pages_of(root)["fmn"]
    row, _ = experiment.tables.read(root, "evaluations", ["n", "n_correct"], trial.key())
    (n,), (correct,) = (row[name].to_pylist() for name in ("n", "n_correct"))
    assert (page.n, page.misclassified) == (n, n - correct)


def test_out_may_be_elsewhere_and_trial_a_beginning(results, tmp_path, capsys):
    root, trial = results
    out = tmp_path / "there"
    arguments = ["--trial", trial.key()[:6], "--images", "5", "--out", str(out)]
    assert gallery.main([str(root), *arguments]) == 0
    assert (out / f"{trial.key()}-fmn.json").exists()
    assert not (root / "gallery").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--attack", "pdg"], "no attack 'pdg' to draw; choose from noise"),
        (["--trial", "zz"], "no stored network with a key zz..., of 1 stored"),
        (["--images", "0"], "--images 0: at least 1"),
    ],
)
def test_wrong_words_are_exit_2_before_the_work(results, capsys, words, said):
    root, _ = results
    assert gallery.main([str(root), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (root / "gallery").exists()


def test_without_networks_it_is_exit_2(tmp_path, capsys):
    assert gallery.main([str(tmp_path)]) == 2
    assert "no stored network, of 0 stored" in capsys.readouterr().err


def test_a_damaged_network_is_exit_2(results, capsys):
    root, trial = results
    storage.put(root, f"checkpoints/{trial.key()}.pt", b"torn")
    assert gallery.main([str(root)]) == 2
    assert f"{trial.key()}.pt is damaged" in capsys.readouterr().err


@pytest.fixture
def grid_file(tmp_path, monkeypatch):
    """A grid to launch, without a report and in no hurry."""
    monkeypatch.setattr(launch, "draw_report", lambda *_: 0)
    monkeypatch.setitem(gallery.AFTER_LAUNCH, "seconds", 1_000)
    path = tmp_path / "g.yaml"
    path.write_text(GRID)
    return str(path)


def test_a_launch_ends_with_a_gallery_of_one_network_of_each_kind(tmp_path, grid_file):
    assert launch.main([grid_file, "--local", "--results", str(tmp_path / "r")]) == 0
    pages = pages_of(tmp_path / "r")
    assert set(pages) == {"fmn", "sixes"}
    assert {page.network.seed for page, _ in pages.values()} == {0}


def test_without_a_report_there_is_no_gallery(tmp_path, grid_file):
    out = ["--results", str(tmp_path / "r")]
    assert launch.main([grid_file, "--local", *out, "--no-report"]) == 0
    assert not (tmp_path / "r/gallery").exists()


def test_a_gallery_that_fails_costs_a_launch_nothing(tmp_path, grid_file, capsys, monkeypatch):
    def broken(*_):
        raise RuntimeError("no colours")

    monkeypatch.setattr(gallery, "draw", broken)
    assert launch.main([grid_file, "--local", "--results", str(tmp_path / "r")]) == 0
    assert "no gallery: RuntimeError: no colours" in capsys.readouterr().err
    assert not (tmp_path / "r/gallery").exists()


def test_after_a_launch_it_draws_what_it_has_time_for_and_nothing_again(results, monkeypatch):
    root, trial = results
    untrained = trial.model_copy(update={"model": "gcnn", "variant": "table1"})
    monkeypatch.setitem(gallery.AFTER_LAUNCH, "seconds", 0)
    gallery.illustrate(str(root), [trial, untrained])
    assert pages_of(root) == {}
    monkeypatch.setitem(gallery.AFTER_LAUNCH, "seconds", 1_000)
    gallery.illustrate(str(root), [trial, untrained])
    assert set(pages_of(root)) == {"fmn", "sixes"}
    monkeypatch.setattr(gallery, "draw", None)
    gallery.illustrate(str(root), [trial, untrained])


def test_a_handful_has_one_of_each_kind_plain_and_of_the_widest_range():
    plain = Trial(model="stdcnn", data="mnist5k", recipe="fast")
    wide = plain.model_copy(update={"train_rotation": 90.0})
    fgsm = plain.model_copy(update={"adversary": "fgsm", "train_rotation": 180.0})
    gcnn = fgsm.model_copy(update={"model": "gcnn", "variant": "table1"})
    assert gallery.handful([fgsm, plain, gcnn, wide], 4) == [wide, gcnn]
    assert gallery.handful([fgsm, plain, gcnn, wide], 1) == [wide]


OWN = """
name: own
defaults: {data: mine.npz, train_size: 60, epochs: 1, recipe: fast, train_rotation: 45}
blocks: [{model: "mynets.nets:build", probes: {n_images: 8}}]
"""


def test_own_networks_data_and_attacks_are_drawn_whatever_their_shape(tmp_path, capsys):
    with own_files.forgotten():
        path = own_files.write_all(tmp_path)
        path.write_text(OWN)
        own_files.write_npz(tmp_path / "mine.npz", size=9, channels=3, classes=4)
        root = tmp_path / "r"
        assert launch.main([str(path), "--local", "--results", str(root), "--no-report"]) == 0
        attacks = ["--attack", "fmn", "--attack", "mynets.attacks:mine"]
        assert gallery.main([str(root), *attacks, "--images", "12"]) == 0
        printed = capsys.readouterr().out.split()
        assert [name.rpartition("-")[2] for name in printed] == ["fmn.json", "mine.json"]
        assert all(Path(name).exists() for name in printed)
        pages = pages_of(root)
        assert set(pages) == {"fmn", "mynets.attacks:mine"}  # its classes are no digits
        page, (png, *_) = pages["mynets.attacks:mine"]
        pixels = Image.open(io.BytesIO(png))
        shown = len(page.pictures[0].panels)
        assert (pixels.mode, pixels.height) == ("RGBA", 9)
        assert pixels.width == shown * 9 + (shown - 1) * GAP
    with own_files.forgotten():
        pages = pages_of(root)
        assert pages["fmn"][0].network.model == "mynets.nets:build"
        shown = report_gallery.content(report_gallery.read([str(root)], [page.trial])[0])
        assert "mynets.nets:build" in shown
