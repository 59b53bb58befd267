"""Links lead somewhere, every page can be reached, and no page names a machine."""

import posixpath
import re

import pytest
import yaml

from pages import FENCED, PAGES, ROOT, prose

LINKS = [
    (name, target)
    for name, text in PAGES.items()
    for target in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", FENCED.sub("", text))
]
MOST_LINES = 200


def anchors(text):
    """The anchors of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.M)
    return {re.sub(r"[^\w\s-]", "", head).strip().lower().replace(" ", "-") for head in headings}


def path_of(name, target):
    """The path in the repository that a link of a page means."""
    path = target.partition("#")[0]
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name


def test_there_are_links():
    assert len(LINKS) > 100


@pytest.mark.parametrize(("name", "target"), LINKS)
def test_a_link_leads_somewhere(name, target):
    path, anchor = path_of(name, target), target.partition("#")[2]
    assert (ROOT / path).exists()
    if anchor:
        assert anchor in anchors(PAGES[path])


@pytest.mark.parametrize("name", PAGES)
def test_headings_have_one_anchor_each(name):
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", PAGES[name]), re.M)
    if name != ".github/CHANGELOG.md":  # where every version has the same ones
        assert len(anchors(PAGES[name])) == len(headings)
    assert not any("--" in anchor for anchor in anchors(PAGES[name]))  # mkdocs makes them one


def reached_from(start):
    """The pages to which links lead from one, and so on."""
    found, left = set(), [start]
    while left:
        if (name := left.pop()) in PAGES and name not in found:
            found.add(name)
            left += [path_of(name, target) for of, target in LINKS if of == name]
    return found


@pytest.mark.parametrize("start", ["README.md", "docs/README.md"])
def test_every_page_can_be_reached(start):
    assert reached_from(start) >= {name for name in PAGES if not name.startswith("docs/api/")}


def test_every_page_is_in_the_contents_of_the_site():
    site = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader=yaml.BaseLoader)
    named = set(re.findall(r"[\w/-]+\.md", str(site["nav"])))
    assert {f"docs/{name}" for name in named} == {n for n in PAGES if n.startswith("docs/")}


@pytest.mark.parametrize("name", PAGES)
def test_no_page_names_a_machine(name):
    assert not re.search(r"(?<!\w)(/root|/home/(?!ray)|/work|/tmp)\b", PAGES[name])


def test_readme_can_be_read_at_once():
    assert len(PAGES["README.md"].splitlines()) <= MOST_LINES


@pytest.mark.parametrize("name", [name for name in PAGES if name != "docs/measurements.md"])
def test_words_are_those_of_the_field(name):
    """Images are rotated. (In measurements.md the sentences that are judged are quoted.)"""
    assert not re.search(r"\b(turned|turns|turning|quarter turn)\b", prose(PAGES[name]))
