"""What stored words are called for readers, and the order in which they come."""

from collections.abc import Iterable

from rotgrid.spec import adversaries, attacks, datasets, models


class Names(dict[str, str]):
    """What readers are shown of stored words; a word of another version is shown as it is."""

    def __missing__(self, word: str) -> str:
        return word


LABELS = {name: model.label for name, model in models.MODELS.items()}
"""Models in the order of legends, the paper's six first."""
DATA = {name: data.label for name, data in datasets.DATA.items()}
ATTACKS = Names({name: attack.label for name, attack in attacks.ATTACKS.items()})
EPS_UNITS = Names({"pixel": "pixel units", "normalised": "deviations of MNIST's pixels"})
ADVERSARIES = Names({name: adversary.label for name, adversary in adversaries.ADVERSARIES.items()})


def in_order(words: Iterable[str], known: Iterable[str] = LABELS) -> list[str]:
    """The words, each once: known ones in their order, then others by name. Unless told otherwise
    the known ones are the models in the order of legends."""
    order = list(known)
    return sorted(set(words), key=lambda w: (order.index(w) if w in order else len(order), w))


def label(model: str) -> str:
    """What a model is called; one outside the paper has its own name."""
    return LABELS.get(model, model)
