"""What stored words are called for readers, and the order in which they come."""

from collections.abc import Callable, Iterable, Mapping

from rotgrid.spec import adversaries, attacks, datasets, models
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


def in_order(words: Iterable[str], known: Iterable[str] = LABELS) -> list[str]:
    """The words, each once: known ones in their order, then others by name. Unless told otherwise
    the known ones are the models in the order of legends."""
    order = {word: index for index, word in enumerate(known)}
    return sorted(set(words), key=lambda word: (order.get(word, len(order)), word))


def label(model: str) -> str:
    """What a model is called; one outside the paper has its own name."""
    return LABELS[model]
