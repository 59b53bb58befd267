"""The words of a grid: models, variants, data, adversaries, attacks; which fields each reads."""

from typing import Literal, NamedTuple, get_args

DataName = Literal["mnist5k", "mnist"]
ModelName = Literal[
    "stdcnn",
    "gcnn",
    "hnet",
    "ptn",
    "roteqnet",
    "capsnet",
    "z2cnn",
    "p4cnn",
    "tipooling",
    "cyclic",
    "dren",
    "steerable",
    "emcaps",
    "madrycnn",
]
Adversary = Literal["none", "fgsm", "fgsm-mix", "fgsm-rs", "n-fgsm", "pgd", "trades", "cusp"]
Attack = Literal[
    "none",
    "noise",
    "sign-noise",
    "class-means",
    "fgsm",
    "bim",
    "pgd",
    "apgd",
    "square",
    "fmn",
    "fmn-pgd",
    "strong",
    "transfer",
    "rotation-grid",
    "translation-grid",
    "spatial-grid",
    "worst-of-10",
    "spatial-pgd",
    "equivariance",
    "diagnostics",
]
Interpolation = Literal["bilinear", "nearest"]
AttackLoss = Literal["ce", "margin", "dlr"]
LabelRule = Literal["true", "predicted"]
EpsUnit = Literal["pixel", "normalised"]
Precision = Literal["float32", "bfloat16"]
MODELS: tuple[ModelName, ...] = get_args(ModelName)
ATTACKS: tuple[Attack, ...] = get_args(Attack)
VARIANTS: dict[ModelName, tuple[str, ...]] = {
    "stdcnn": ("table1", "doubled", "matched-table1", "matched-halved"),
    "gcnn": ("table1", "halved", "matched-table1", "matched-doubled", "orbit"),
    "hnet": ("fixed", "2018"),
    "ptn": ("base", "small"),
    "roteqnet": ("exact", "zoomed", "sixteen"),
    "capsnet": ("table", "narrow"),
    "z2cnn": ("base",),
    "p4cnn": ("base", "rotation-pooling"),
    "tipooling": ("narrow", "full"),
    "cyclic": ("pool", "roll"),
    "dren": ("x4", "max-x4"),
    "steerable": ("c4", "c8", "so2", "gcnn"),
    "emcaps": ("small",),
    "madrycnn": ("base",),
}
"""The variants of each model, the default first. `matched-X` has the parameter count of the other
model's variant X (as near as whole widths allow)."""

OF_SEVERAL: tuple[ModelName, ...] = ("roteqnet",)
"""The models that cannot train on one image at a time: batch norm has a single value a map."""

NO_EPS: dict[str, object] = {"eps": 0.0, "eps_unit": "pixel"}
NO_STEPS: dict[str, object] = {"steps": 0}
NO_STARTS: dict[str, object] = {"restarts": 0}
ONE_LOSS: dict[str, object] = {"loss": "ce", "attack_precision": "float32"}
NO_LABEL: dict[str, object] = {"label_rule": "true"}
NO_SOURCE: dict[str, object] = {"source": ""}
NO_PIXELS = NO_EPS | NO_STEPS | NO_STARTS | ONE_LOSS | NO_LABEL | NO_SOURCE
FIXED: dict[Attack, dict[str, object]] = {
    "none": NO_PIXELS,
    "noise": NO_STEPS | ONE_LOSS | NO_LABEL | NO_SOURCE,
    "sign-noise": NO_STEPS | ONE_LOSS | NO_LABEL | NO_SOURCE,
    "class-means": NO_STEPS | NO_STARTS | ONE_LOSS | NO_SOURCE,
    "fgsm": ONE_LOSS | NO_SOURCE | {"steps": 1, "restarts": 1},
    "bim": NO_STEPS | NO_STARTS | ONE_LOSS | NO_SOURCE,
    "pgd": NO_SOURCE,
    "apgd": NO_SOURCE | {"attack_precision": "float32"},
    "square": ONE_LOSS | NO_SOURCE,
    "fmn": NO_STARTS | ONE_LOSS | NO_SOURCE,
    "fmn-pgd": NO_SOURCE,
    "strong": NO_STARTS | ONE_LOSS | NO_SOURCE,
    "transfer": {"attack_precision": "float32"},
    "rotation-grid": NO_PIXELS | {"test_translation": 0.0},
    "translation-grid": NO_PIXELS | {"test_rotation": 0.0},
    "spatial-grid": NO_PIXELS,
    "worst-of-10": NO_PIXELS,
    "spatial-pgd": NO_SOURCE | {"attack_precision": "float32"},
    "equivariance": NO_PIXELS | {"test_translation": 0.0},
    "diagnostics": ONE_LOSS | NO_SOURCE,
}
"""The fields of a probe that an attack does not have, and what they are set to."""

STEPS: dict[Attack, int] = {"apgd": 100, "square": 1000, "fmn": 50, "strong": 100}
"""Default steps, where they are not 40."""

LOSSES: dict[Attack, tuple[AttackLoss, ...]] = {
    "pgd": ("ce", "margin"),
    "fmn-pgd": ("ce", "margin"),
    "apgd": ("ce", "dlr"),
    "transfer": ("ce", "margin"),
    "spatial-pgd": ("ce", "margin"),
}
"""What an attack can climb, where there is a choice."""

AT_LEAST_ONE: dict[Attack, tuple[str, ...]] = {
    "noise": ("restarts",),
    "sign-noise": ("restarts",),
    "square": ("restarts",),
    "fmn": ("steps",),
    "strong": ("steps",),
    "diagnostics": ("steps", "restarts"),
}
"""The fields with which an attack makes no sense at 0. Elsewhere 0 steps look at the start alone,
and 0 restarts are one start at the image."""

CLIMBING: tuple[Attack, ...] = ("pgd", "apgd", "fmn-pgd", "transfer")
"""The attacks that with 0 steps and 0 restarts would look at the image alone."""

PREDICTED: tuple[Attack, ...] = ("fgsm", "bim", "pgd")
"""The attacks that can take the predicted label for the true one."""

ATTACK_REVISIONS: dict[Attack, int] = {"strong": 2, "fmn-pgd": 2, "apgd": 2, "square": 2}
"""Of attacks that no longer do what they did: part of the keys of their probes, so that those are
measured again and no others. 2 of all: one more attack below the eps at which one failed; also of
`strong`: all of Square's queries where gradients vanish, are false or mean little, and a start for
each target; and of `fmn-pgd`: 50 steps of FMN."""


class Split(NamedTuple):
    """Numbers of images."""

    train: int
    val: int
    test: int


DATA: dict[DataName, Split] = {
    "mnist5k": Split(3_500, 500, 1_000),
    "mnist": Split(55_000, 5_000, 10_000),
}


def reads(attack: Attack, field: str) -> bool:
    """Whether a field of a probe makes a difference to an attack."""
    return field not in FIXED[attack]
