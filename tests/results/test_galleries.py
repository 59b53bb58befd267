import pytest

from rotgrid.results import galleries, storage
from rotgrid.results.galleries import PNG, Page, Panel, Picture
from rotgrid.spec import Trial

PANELS = [Panel(shows="upright", predicted=3), Panel(shows="perturbation")]


@pytest.fixture
def page():
    trial = Trial(model="gcnn")
    picture = Picture(file="a-fmn-00.png", group="first", position=4, true=3, panels=PANELS)
    fields = {"kind": "attack", "attack": "fmn", "n": 5, "reached": 4, "pictures": [picture]}
    return Page(trial=trial.key(), network=trial, **fields)


def written(root, page, png=PNG + b"..."):
    return galleries.write(f"{root}/{galleries.FOLDER}", page, [png])


def test_what_is_written_is_read(tmp_path, page):
    assert written(tmp_path, page) == f"{page.trial}-fmn.json"
    sixes = page.model_copy(update={"kind": "sixes", "attack": "", "pictures": []})
    assert galleries.write(f"{tmp_path}/gallery", sixes, []) == f"{page.trial}-sixes.json"
    pages, problems = galleries.read(str(tmp_path))
    assert pages == [page, sixes]
    assert galleries.read_pictures(str(tmp_path), page) == [PNG + b"..."]
    assert problems == []


def test_without_a_gallery_there_is_none(tmp_path):
    assert galleries.read(str(tmp_path)) == ([], [])


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"trial": "a"}', b"\xff"])
def test_a_damaged_page_is_named_and_the_others_are_read(tmp_path, page, text):
    written(tmp_path, page)
    storage.put(tmp_path, "gallery/torn.json", text)
    pages, (problem,) = galleries.read(str(tmp_path))
    assert pages == [page]
    assert "gallery/torn.json: skipped: " in problem


def test_a_picture_that_is_none_is_named(tmp_path, page):
    written(tmp_path, page, b"<svg>")
    with pytest.raises(ValueError, match=r"a-fmn-00\.png: skipped: missing or no PNG file"):
        galleries.read_pictures(str(tmp_path), page)
    storage.delete(tmp_path, "gallery/a-fmn-00.png")
    with pytest.raises(ValueError, match="missing"):
        galleries.read_pictures(str(tmp_path), page)


@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", ".a.png", "a.svg", "a/b.png", ""])
def test_a_page_names_no_file_elsewhere(name):
    with pytest.raises(ValueError, match="file"):
        Picture(file=name, group="first", position=0, true=0, panels=PANELS)
