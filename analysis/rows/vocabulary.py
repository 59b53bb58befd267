"""What stored words are called for readers, and the order in which they come."""

from collections.abc import Iterable


class Names(dict[str, str]):
    """What readers are shown of stored words; a word of another version is shown as it is."""

    def __missing__(self, word: str) -> str:
        return word


LABELS = {
    "stdcnn": "StdCNN",
    "gcnn": "GCNN",
    "hnet": "H-Net",
    "ptn": "PTN",
    "roteqnet": "RotEqNet",
    "capsnet": "CapsNet",
    "z2cnn": "Z2CNN",
    "p4cnn": "P4CNN",
    "tipooling": "TI-Pooling",
    "cyclic": "Cyclic",
    "dren": "DREN",
    "steerable": "Steerable (e2cnn)",
    "emcaps": "EM capsules",
    "madrycnn": "Madry CNN",
}
"""Models in the order of legends, the paper's six first."""
DATA = {"mnist": "MNIST", "mnist5k": "MNIST-5k subset (not MNIST test accuracy)"}
ATTACKS = Names(
    {
        "none": "no attack",
        "noise": "random noise",
        "sign-noise": "random sign noise",
        "class-means": "difference of class means",
        "fgsm": "FGSM",
        "bim": "Basic iterative method",
        "pgd": "PGD",
        "apgd": "Auto-PGD",
        "square": "Square",
        "fmn": "Fast minimum norm",
        "fmn-pgd": "Fast minimum norm and PGD",
        "strong": "Ensemble of attacks",
        "transfer": "transferred PGD",
        "rotation-grid": "worst turn",
        "translation-grid": "worst shift",
        "spatial-grid": "worst turn and shift",
        "worst-of-10": "worst of 10 turns and shifts",
        "spatial-pgd": "PGD at the worst turns",
        "equivariance": "class unchanged by a turn",
        "diagnostics": "all checks",
    }
)
EPS_UNITS = Names({"pixel": "pixel units", "normalised": "deviations of MNIST's pixels"})
ADVERSARIES = Names(
    {
        "none": "No adversarial training",
        "fgsm": "Trained with FGSM",
        "fgsm-mix": "Trained with FGSM and clean images",
        "fgsm-rs": "Trained with FGSM from random starts",
        "n-fgsm": "Trained with N-FGSM",
        "pgd": "Trained with PGD",
        "trades": "Trained with TRADES",
        "cusp": "Trained with CuSP",
    }
)


def in_order(words: Iterable[str], known: Iterable[str] = LABELS) -> list[str]:
    """The words, each once: known ones in their order, then others by name. Unless told otherwise
    the known ones are the models in the order of legends."""
    order = list(known)
    return sorted(set(words), key=lambda w: (order.index(w) if w in order else len(order), w))


def label(model: str) -> str:
    """What a model is called; one outside the paper has its own name."""
    return LABELS.get(model, model)
