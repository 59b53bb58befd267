"""Pictures of images on the page: what an attack does to them, and where 6 and 9 meet."""

import base64
import html
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from analysis.figures import theme
from analysis.rows import vocabulary
from rotgrid.results import galleries
from rotgrid.results.galleries import Page, Panel, Picture

MOST_BYTES = 300_000
"""Of pictures on one page of the report; others stay in their folder."""
GROUPS = {
    "first": "The first test images, each of another class",
    "nearest": "Nearest to the decision boundary",
    "farthest": "Farthest from it",
    "sixes": "Images of a 6, rotated until the network says 9",
}
CAPTION = (
    "Each line is one test image: upright, rotated as in training, perturbed, and the "
    "perturbation around a middle grey (white: lighter, black: darker), enlarged as it says. "
    "Below stands the class that the network sees, underlined if it is wrong. Distance: L-inf, "
    "from the rotated image to the nearest misclassified one that the attack found, in pixel "
    "units (pixels in [0, 1]). Click on a picture to enlarge it."
)

Pages = Sequence[tuple[Page, list[bytes]]]


def read(locations: Iterable[str]) -> tuple[Pages, list[str]]:
    """The pages of all results, each once, in the order of the models, and what is damaged."""
    pages: dict[tuple[str, str], tuple[Page, list[bytes]]] = {}
    problems: list[str] = []
    for location in locations:
        found, damaged = galleries.read(location)
        pages |= {(page.trial, page.attack): (page, pngs) for page, pngs in found}
        problems += damaged
    models = vocabulary.in_order(page.network.model for page, _ in pages.values())
    places = {model: place for place, model in enumerate(models)}
    return sorted(pages.values(), key=lambda one: order(one[0], places)), problems


def order(page: Page, places: dict[str, int]) -> tuple[object, ...]:
    """Where a page stands."""
    one = page.network
    adversary = one.adversary != "none", one.adversary, one.adversary_eps
    training = one.data, one.recipe, *adversary, one.train_rotation, one.seed, page.trial
    return places[one.model], one.variant, *training, page.kind, page.attack


def fitting(pages: Pages, most: int) -> Pages:
    """As many pages as may be shown: first one of each model, variant and attack, then seconds."""
    counts: Counter[tuple[str, ...]] = Counter()
    ranks = []
    for place, (page, _) in enumerate(pages):
        kind = page.network.model, page.network.variant, page.attack
        ranks.append((counts[kind], place))
        counts[kind] += 1
    chosen, size = [], 0
    for _, place in sorted(ranks):
        size += sum(map(len, pages[place][1]))
        if size > most:
            break
        chosen.append(place)
    return [pages[place] for place in sorted(chosen)]


def content(pages: Pages) -> str:
    """The section's content: a fold for each network and attack, the first one open."""
    shown = fitting(pages, MOST_BYTES)
    left = len(pages) - len(shown)
    more = f" {left} more of {len(pages)} are in RESULTS/{galleries.FOLDER}." if left else ""
    folds = [fold(page, pngs, at == 0) for at, (page, pngs) in enumerate(shown)]
    return "\n".join([f"<p>{html.escape(CAPTION + more)}</p>", *folds])


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
    network = f"{vocabulary.label(one.model)} {one.variant}, {rotation}{adversary}"
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
        f"{page.reached} broken{tried}{middle}."
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
