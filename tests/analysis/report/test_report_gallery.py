"""The pictures of images in the report."""

import base64
import re

import pytest

from analysis.report import gallery
from rotgrid.results import galleries, storage
from rotgrid.spec import Trial

from made_up import DIGEST, PNG, pictured


def trial(model="stdcnn", **fields):
    return Trial(model=model, data="mnist5k", recipe="fast", **fields)


def shown(*pages, left=0):
    return gallery.Gallery([(page, [PNG] * len(page.pictures)) for page in pages], left)


def stored(root, *pages):
    for page in pages:
        galleries.write(f"{root}/gallery", page, [PNG] * len(page.pictures))
    return str(root)


def test_a_picture_stands_with_its_words():
    text = gallery.content(shown(pictured(trial(train_rotation=60.0))))
    assert "StdCNN table1, ±60°, recipe fast, seed 0: Fast minimum norm</summary>" in text
    for words in (
        "50 test images, 4 of them misclassified before the attack; 46 broken in L-inf; median "
        "distance 0.091.",
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
    text = gallery.content(shown(pictured(trial()), foreign))
    assert text.count('<details class="gallery" open>') == 1
    assert text.count("<details") == 2
    assert "<i>" not in text
    assert "&lt;i&gt;&amp;" in text


def test_all_results_are_read_each_page_once_in_the_order_of_the_models(tmp_path):
    fgsm = trial(adversary="fgsm", adversary_eps=0.1)
    each = [pictured(trial("gcnn")), pictured(fgsm), pictured(trial(seed=1)), pictured(trial()),
            pictured(trial(), "pgd")]  # fmt: skip
    roots = [stored(tmp_path / "a", *each[:3]), stored(tmp_path / "b", *each[2:], each[0])]
    found, problems = gallery.read([*roots, str(tmp_path / "none")], ())
    order = [
        (page.network.model, page.network.adversary, page.network.seed, page.attack)
        for page, _ in found.pages
    ]
    assert order == [
        ("stdcnn", "none", 0, "fmn"),
        ("stdcnn", "none", 0, "pgd"),
        ("stdcnn", "none", 1, "fmn"),
        ("stdcnn", "fgsm", 0, "fmn"),
        ("gcnn", "none", 0, "fmn"),
    ]
    assert (found.left, problems) == (0, [])
    assert all(pngs == [PNG] * 3 for _, pngs in found.pages)


def test_of_many_pages_one_of_each_kind_comes_first_and_the_rest_is_counted(tmp_path):
    root = stored(
        tmp_path, *(pictured(trial(seed=seed)) for seed in range(5)), pictured(trial("gcnn"))
    )
    size = 3 * len(PNG)
    for most in (6, 3, 2):
        found, _ = gallery.read([root], (), most * size)
        assert (len(found.pages), found.left) == (most, 6 - most)
        networks = [page.network for page, _ in found.pages]
        assert {one.model for one in networks} == {"stdcnn", "gcnn"}
        assert [one.seed for one in networks[:-1]] == list(range(most - 1))
    assert gallery.read([root], (), size - 1)[0] == gallery.Gallery([], 6)


def test_what_is_left_is_said():
    assert "more are in" not in gallery.content(shown(pictured(trial())))
    text = gallery.content(shown(pictured(trial()), left=4))
    assert "4 more are in RESULTS/gallery." in text


def test_a_page_whose_pictures_are_damaged_is_named(tmp_path):
    good, bad = pictured(trial()), pictured(trial("gcnn"))
    root = stored(tmp_path, good, bad)
    storage.put(root, f"gallery/{bad.pictures[1].file}", b"<svg>")
    found, (problem,) = gallery.read([root], ())
    assert [page for page, _ in found.pages] == [good]
    assert problem.endswith(f"{bad.pictures[1].file}: skipped: missing or no PNG file")


def test_of_an_own_network_only_the_version_that_the_report_has_is_shown(tmp_path):
    old, new = (trial("nets.a:build", model_digest=DIGEST.format(at)) for at in (1, 2))
    root = stored(tmp_path, pictured(old), pictured(new), pictured(trial()))
    found, _ = gallery.read([root], {new.key()})
    assert [page.trial for page, _ in found.pages] == [trial().key(), new.key()]
    assert found.left == 0
