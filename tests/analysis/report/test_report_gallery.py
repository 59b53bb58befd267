"""The pictures of images in the report."""

import base64
import re

import pytest

from analysis.report import gallery
from rotgrid.results import galleries
from rotgrid.spec import Trial

from made_up import PNG, pictured


def trial(model="stdcnn", **fields):
    return Trial(model=model, data="mnist5k", recipe="fast", **fields)


def pages(*each):
    return [(page, [PNG] * len(page.pictures)) for page in each]


def test_a_picture_stands_with_its_words():
    text = gallery.content(pages(pictured(trial(train_rotation=60.0))))
    assert "StdCNN table1, ±60°, recipe fast, seed 0: Fast minimum norm</summary>" in text
    for words in (
        "50 test images, 4 of them misclassified before the attack; 46 broken; median distance "
        "0.091.",
        'upright<br><b class="right">6</b>',
        'rotated -30°<br><b class="right">6</b>',
        'perturbed<br><b class="wrong">0</b>',
        "<li>perturbation, 5.74 times</li>",
        "Test image 2, class 6; distance 0.087",
    ):
        assert words in text
    sources = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    assert [base64.b64decode(source) for source in sources] == [PNG] * 3


@pytest.mark.parametrize(
    ("distance", "words"),
    [(None, "not broken"), (0.0, "misclassified before the attack"), (0.25, "distance 0.250")],
)
def test_what_an_attack_did_is_said(distance, words):
    page = pictured(trial(), pictures=1)
    one = page.pictures[0].model_copy(update={"distance": distance, "enlarged": None})
    text = gallery.picture(one, PNG)
    assert f"<p>Test image 0, class 6; {words}</p>" in text
    assert "<li>not perturbed</li>" in text


def test_sixes_are_said_to_become_nines():
    page = pictured(trial(), "", kind="sixes", n=40, reached=30, median=95.0)
    assert gallery.heading(page).endswith("seed 0: 6 becomes 9")
    assert gallery.summary(page) == (
        "Of 40 images of a 6 that the network knows, 30 become a 9 by a rotation of at most 180°, "
        "half of them within 95°."
    )
    assert gallery.summary(page.model_copy(update={"median": None})).endswith("at most 180°.")


def test_the_first_fold_is_open_and_names_are_text():
    foreign = pictured(trial()).model_copy(update={"attack": "<i>&"})
    text = gallery.content(pages(pictured(trial()), foreign))
    assert text.count('<details class="gallery" open>') == 1
    assert text.count("<details") == 2
    assert "<i>" not in text
    assert "&lt;i&gt;&amp;" in text


def test_all_results_are_read_each_page_once_in_the_order_of_the_models(tmp_path):
    each = [pictured(trial("gcnn")), pictured(trial(seed=1)), pictured(trial()),
            pictured(trial(), "pgd")]  # fmt: skip
    for at, page in enumerate([*each, each[0]]):
        galleries.write(f"{tmp_path}/{at % 2}/gallery", page, [PNG] * 3)
    found, problems = gallery.read([f"{tmp_path}/0", f"{tmp_path}/1", f"{tmp_path}/2"])
    shown = [(page.network.model, page.network.seed, page.attack) for page, _ in found]
    assert shown == [
        ("stdcnn", 0, "fmn"), ("stdcnn", 0, "pgd"), ("stdcnn", 1, "fmn"), ("gcnn", 0, "fmn"),
    ]  # fmt: skip
    assert problems == []


def test_of_many_pages_one_of_each_kind_comes_first_and_the_rest_is_counted():
    each = pages(*(pictured(trial(seed=seed)) for seed in range(9)), pictured(trial("gcnn")))
    size = sum(map(len, each[0][1]))
    for most in (10, 5, 2):
        shown = [page.network for page, _ in gallery.fitting(each, most * size)]
        assert len(shown) == most
        assert {one.model for one in shown} == {"stdcnn", "gcnn"}
        assert [one.seed for one in shown[:-1]] == list(range(most - 1))
    assert gallery.fitting(each, size - 1) == []


def test_pages_that_do_not_fit_are_counted(monkeypatch):
    each = pages(pictured(trial()), pictured(trial("gcnn")))
    assert "more of" not in gallery.content(each)
    monkeypatch.setattr(gallery, "MOST_BYTES", 3 * len(PNG))
    text = gallery.content(each)
    assert "1 more of 2 are in RESULTS/gallery." in text
    assert text.count("<details") == 1
