"""What stored words are called for readers, and the order in which they come."""

from collections.abc import Callable, Iterable, Mapping

from rotgrid.spec import ADDED_FIELDS, adversaries, attacks, datasets, models
from rotgrid.spec.entries import is_own


class Names(dict[str, str]):
    """What readers are shown of stored words. Of the user's own names `own` says it; a word of
    another version is shown as it is."""

    def __init__(self, names: Mapping[str, str], own: Callable[[str], str] = str) -> None:
        super().__init__(names)
        self.own = own

    def __missing__(self, word: str) -> str:
        return self.own(word) if is_own(word) else word


LABELS = Names({name: model.label for name, model in models.MODELS.items()})
"""Models in the order of legends, the paper's six first."""
DATA = Names({name: data.label for name, data in datasets.DATA.items()})
ATTACKS = Names({name: attack.label for name, attack in attacks.ATTACKS.items()})
EPS_UNITS = Names({"pixel": "pixel units", "normalised": "deviations of the data's pixels"})
THREATS = Names({"linf": "L-inf", "l2": "L2"})
ADVERSARIES = Names(
    {name: adversary.label for name, adversary in adversaries.ADVERSARIES.items()},
    lambda name: adversaries.ADVERSARIES[name].label,
)
SPECIAL = {
    "margin": "on the margin",
    "dlr": "on the difference of logits ratio toward up to 9 targets",
    "predicted": "on the predicted label: errors may be repaired",
    "none": "not clipped",
    "normalised": "clipped to [0, 1] of standardised images, which leaves the ball",
    "train": "in training mode",
    "l2": "in the L2 ball",
}
"""What is said of settings of an attack that are not the usual ones."""


def special(settings: Mapping[str, str]) -> list[str]:
    """What is said of the settings, by their fields, that are not the usual ones."""
    odd = {name: word for name, word in settings.items() if word != ADDED_FIELDS[name]}
    return [SPECIAL.get(word, f"{name} {word}") for name, word in odd.items()]


def in_order(words: Iterable[str], known: Iterable[str] = LABELS) -> list[str]:
    """The words, each once: known ones in their order, then others by name. Unless told otherwise
    the known ones are the models in the order of legends."""
    order = {word: index for index, word in enumerate(known)}
    return sorted(set(words), key=lambda word: (order.get(word, len(order)), word))


def label(model: str) -> str:
    """What a model is called; one outside the paper has its own name."""
    return LABELS[model]
