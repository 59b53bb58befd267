"""Pictures of images on the page: what an attack does to them, and where 6 and 9 meet."""

import base64
import html
import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from analysis.figures import theme
from analysis.rows import vocabulary
from analysis.rows.versions import named_by
from rotgrid.results import galleries
from rotgrid.results.galleries import Page, Panel, Picture

MOST_BYTES = 300_000
"""Of pictures in the report; others stay in their folder."""
GROUPS = {
    "first": "The first test images, each of another class",
    "nearest": "Nearest to the decision boundary",
    "farthest": "Farthest from it",
    "sixes": "Images of a 6, rotated until the network says 9",
}
CAPTION = (
    "Each line is one test image: upright, rotated as in training, perturbed, and the "
    "perturbation around a middle grey (white: lighter, black: darker), enlarged as it says. "
    "Below stands the class that the network sees, underlined if it is wrong. Distance: from the "
    "rotated image to the nearest misclassified one that the attack found, in pixel units (pixels "
    "in [0, 1]), by the threat model that is named above the pictures."
)
ENLARGE = "Click on a picture to enlarge it."

Shown = Sequence[tuple[Page, list[bytes]]]


class Gallery(NamedTuple):
    """What the report shows."""

    pages: Shown
    left: int
    """How many more there are."""


def read(
    locations: Iterable[str], trials: Collection[str], most: int = MOST_BYTES
) -> tuple[Gallery, list[str]]:
    """As many pages of all results as the report may hold, in the order of the models, and a line
    for each damaged one.

    Of networks with own parts only those of `trials`, the keys that the report has rows of, since
    it leaves earlier versions out. One of each model, variant and attack comes before a second
    one. Only pictures that are shown are read, and of those with the same network and attack the
    last.
    """
    found: dict[tuple[str, str], tuple[str, Page]] = {}
    problems: list[str] = []
    for location in locations:
        pages, damaged = galleries.read(location)
        found |= {
            (page.trial, page.attack): (location, page)
            for page in pages
            if page.trial in trials or not any(named_by(page.network))
        }
        problems += damaged
    models = vocabulary.in_order(page.network.model for _, page in found.values())
    places = {model: place for place, model in enumerate(models)}
    ordered = sorted(found.values(), key=lambda one: order(one[1], places))
    shown: dict[int, tuple[Page, list[bytes]]] = {}
    size = 0
    for at in by_rank([page for _, page in ordered]):
        location, page = ordered[at]
        try:
            pngs = galleries.read_pictures(location, page)
        except ValueError as error:
            problems.append(str(error))
            continue
        size += sum(map(len, pngs))
        if size > most:
            break
        shown[at] = page, pngs
    return Gallery([shown[at] for at in sorted(shown)], len(ordered) - len(shown)), problems


def order(page: Page, places: Mapping[str, int]) -> tuple[object, ...]:
    """Where a page stands."""
    one = page.network
    adversary = one.adversary != "none", one.adversary, one.adversary_eps
    training = one.data, one.recipe, *adversary, one.train_rotation, one.seed, page.trial
    return places[one.model], one.variant, *training, page.kind, page.attack


def by_rank(pages: Sequence[Page]) -> list[int]:
    """The places of the first pages of each model, variant and attack, of the second, ..."""
    counts: Counter[tuple[str, ...]] = Counter()
    ranks = []
    for place, page in enumerate(pages):
        kind = page.network.model, page.network.variant, page.attack
        ranks.append((counts[kind], place))
        counts[kind] += 1
    return [place for _, place in sorted(ranks)]


def content(gallery: Gallery) -> str:
    """The section's content: a fold for each network and attack, the first one open."""
    left = f" {gallery.left} more are in RESULTS/{galleries.FOLDER}." if gallery.left else ""
    folds = [fold(page, pngs, at == 0) for at, (page, pngs) in enumerate(gallery.pages)]
    return "\n".join([f"<p>{html.escape(f'{CAPTION} {ENLARGE}{left}')}</p>", *folds])


def fold(page: Page, pngs: Iterable[bytes], is_open: bool) -> str:
    """All pictures of a page, by group."""
    groups = itertools.groupby(zip(page.pictures, pngs, strict=True), lambda one: one[0].group)
    parts = [
        f'<h3>{GROUPS[group]}</h3><div class="pictures">'
        + "\n".join(picture(*one) for one in members)
        + "</div>"
        for group, members in groups
    ]
    opened = " open" if is_open else ""
    return (
        f'<details class="gallery"{opened}><summary>{html.escape(heading(page))}</summary>'
        f"<p>{html.escape(summary(page))}</p>{''.join(parts)}</details>"
    )


def heading(page: Page) -> str:
    """The network and what is done to its images."""
    one = page.network
    adversary = "" if one.adversary == "none" else f", {one.adversary} {one.adversary_eps:g}"
    what = vocabulary.ATTACKS.get(page.attack, page.attack) if page.attack else "6 becomes 9"
    rotation = theme.rotation(one.train_rotation)
    network = f"{vocabulary.label(one.model)} {one.variant}".strip() + f", {rotation}{adversary}"
    return f"{network}, recipe {one.recipe}, seed {one.seed}: {what}"


def summary(page: Page) -> str:
    """How many images were looked at, and what came of it."""
    if page.kind == "sixes":
        middle = f", half of them within {page.median:g}°" if page.median is not None else ""
        return (
            f"Of {page.n} images of a 6 that the network knows, {page.reached} become a 9 by a "
            f"rotation of at most 180°{middle}."
        )
    tried = "" if len(page.eps) < 2 else f" with eps {', '.join(f'{e:g}' for e in page.eps)}"
    middle = f"; median distance {page.median:.3f}" if page.median is not None else ""
    return (
        f"{page.n} test images, {page.misclassified} of them misclassified before the attack; "
        f"{page.reached} broken in {vocabulary.THREATS[page.threat]}{tried}{middle}."
    )


def picture(one: Picture, png: bytes) -> str:
    """A strip of panels, with words below each."""
    below = "".join(f"<li>{panel_words(panel, one)}</li>" for panel in one.panels)
    words = html.escape("; ".join(picture_words(one)), quote=True)
    source = base64.b64encode(png).decode()
    return (
        f'<figure class="picture"><button type="button" aria-label="Enlarge: {words}">'
        f'<img alt="{words}" src="data:image/png;base64,{source}"></button>'
        f"<figcaption><ol>{below}</ol><p>{words}</p></figcaption></figure>"
    )


def picture_words(one: Picture) -> Iterator[str]:
    """What is said of a whole picture."""
    yield f"Test image {one.position}, class {one.true}"
    attacked = bool(one.panels) and one.panels[-1].shows == "perturbation"
    if attacked and one.distance == 0:
        yield "misclassified before the attack"
    elif attacked:
        yield "not broken" if one.distance is None else f"distance {one.distance:.3f}"


def panel_words(panel: Panel, one: Picture) -> str:
    """What stands below a panel: what it is, and the class that the network sees."""
    if panel.shows == "perturbation":
        return f"perturbation, {one.enlarged:.3g} times" if one.enlarged else "not perturbed"
    rotated = f" {panel.degrees:.0f}°" if panel.shows == "rotated" else ""
    seen = "wrong" if panel.predicted != one.true else "right"
    return f'{panel.shows}{rotated}<br><b class="{seen}">{panel.predicted}</b>'
