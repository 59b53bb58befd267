"""The paper's sentences on rotations: Figures 1, 2, 3 and 12 (C1 to C5, C13, C14)."""

from collections.abc import Mapping
from functools import partial

import polars as pl

from analysis.claims.evidence import Claim, Either, Evidence, Wanted, against, evidence
from analysis.rows.conditions import NO_ADVERSARY, SAME_RANGE, SMALL, UPRIGHT
from analysis.rows.selection import FIRST, NotMeasured, of_variants, where
from analysis.rows.vocabulary import label
from rotgrid.spec.datasets import DATA

EQUIVARIANT = ("gcnn", "hnet", "ptn", "roteqnet")
"""The rotation-equivariant networks of the paper."""
FIVE = {model: FIRST[model] for model in ("stdcnn", *EQUIVARIANT)}
FOUR = {model: FIRST[model] for model in EQUIVARIANT}
SAFE = 20.0
"""Degrees up to which accuracy is "well above 98%" without augmentation."""
HIGH, WHOLE_CIRCLE = 0.98, 0.60
"""Accuracies that the paper names: "above 98%", "safely above 60%"."""
ENOUGH = (10_000, 30_000)
"""Training images that suffice "safely"."""
AS_GOOD = 0.003
"""What may be missing to the best accuracy: the half-width of Wilson's interval at 98% of 10,000
images, within which one test set cannot tell two networks apart."""


def unattacked(rows: pl.DataFrame, variants: Mapping[str, str], *which: pl.Expr) -> pl.DataFrame:
    """Rows of these networks without adversary."""
    needs = f"attack none, adversary none, model {' or '.join(variants)}"
    return where(rows, needs, NO_ADVERSARY, of_variants(variants), *which)


def ranges(rows: pl.DataFrame, least: float, most: float) -> list[float]:
    """The test ranges from `least` to `most` that were measured.

    Raises:
        NotMeasured: there is none.
    """
    found = rows["test_rotation"].unique().sort()
    found = found.filter(found.is_between(least, most))
    if found.is_empty():
        raise NotMeasured(f"needs test_rotation from {least:g} to {most:g}")
    return found.to_list()


def ahead_when_small(rows: pl.DataFrame) -> Evidence:
    """Every equivariant network less StdCNN at each small range, trained upright."""
    chosen = unattacked(rows, FIVE, UPRIGHT)
    return evidence(
        chosen,
        [ahead(model, "stdcnn", x) for model in EQUIVARIANT for x in ranges(chosen, 1.0, SMALL)],
    )


def ahead(first: str, second: str, x: float) -> Wanted:
    """The first model is more accurate than the second at a test range."""
    sides = [{"model": model, "test_rotation": x} for model in (first, second)]
    terms = list(zip((1.0, -1.0), sides, strict=True))
    return Wanted(f"{against(first, second)} at ±{x:g}°", terms, low=0.0)


def level(model: str, x: float, bound: float) -> Wanted:
    """The model's accuracy at a test range lies above a bound."""
    terms = [(1.0, {"model": model, "test_rotation": x})]
    return Wanted(f"{label(model)} at ±{x:g}°", terms, low=bound, unit="share")


def high_when_small(rows: pl.DataFrame) -> Evidence:
    """Accuracy of every equivariant network up to 20 degrees, trained upright."""
    chosen = unattacked(rows, FOUR, UPRIGHT)
    xs = ranges(chosen, 0.0, SAFE)
    if xs == [0.0]:
        raise NotMeasured(f"needs test_rotation above 0 and up to {SAFE:g}")
    return evidence(chosen, [level(model, x, HIGH) for model in EQUIVARIANT for x in xs])


def most_robust(rows: pl.DataFrame) -> Evidence:
    """PTN and RotEqNet above 60% everywhere, and above the others beyond small ranges."""
    best, others = ("ptn", "roteqnet"), ("stdcnn", "gcnn", "hnet")
    chosen = unattacked(rows, FIVE, UPRIGHT)
    chosen = where(chosen, "model ptn or roteqnet", pl.col("model").is_in(best).any())
    wanted = [level(m, x, WHOLE_CIRCLE) for m in best for x in ranges(chosen, 0.0, 180.0)]
    wide = ranges(chosen, SMALL + 1, 180.0)
    wanted += [ahead(model, other, x) for model in best for other in others for x in wide]
    return evidence(chosen, wanted)


def high_with_augmentation(rows: pl.DataFrame) -> Evidence:
    """Accuracy of every equivariant network at the range it was trained on."""
    chosen = unattacked(rows, FOUR, SAME_RANGE)
    xs = ranges(chosen, 1.0, 180.0)
    return evidence(chosen, [level(model, x, HIGH) for model in EQUIVARIANT for x in xs])


def augmentation_helps(rows: pl.DataFrame) -> Evidence:
    """Every equivariant network trained on the range of the test less the same trained upright."""
    chosen = unattacked(rows, FOUR, UPRIGHT | SAME_RANGE)
    wanted = []
    for model in EQUIVARIANT:
        for x in ranges(chosen.filter(~UPRIGHT), 1.0, 180.0):
            sides = [{"model": model, "test_rotation": x, "train_rotation": of} for of in (x, 0.0)]
            terms = list(zip((1.0, -1.0), sides, strict=True))
            words = f"{label(model)} at ±{x:g}°, trained so less trained upright"
            wanted.append(Wanted(words, terms, low=0.0))
    return evidence(chosen, wanted)


def enough_images(rows: pl.DataFrame) -> Evidence:
    """Accuracy with at most 30,000 training images less that with all, upright and rotated."""
    both = pl.col("train_rotation").is_in([0.0, 180.0])
    chosen = unattacked(rows, FOUR, both, SAME_RANGE)
    sizes = set(chosen["train_size"])
    enough = [size for size in sizes if ENOUGH[0] <= size <= ENOUGH[1]]
    every = {DATA[data].train for data in chosen["data"].unique() if data in DATA}
    if not (enough and every and every <= sizes):
        raise NotMeasured("needs train_size from 10,000 to 30,000, and all images")
    most, less = max(every), max(enough)
    wanted = []
    for model in EQUIVARIANT:
        for degrees in (0.0, 180.0):
            sides = [
                {"model": model, "train_rotation": degrees, "train_size": size}
                for size in (less, most)
            ]
            words = f"{label(model)}, ±{degrees:g}°, {less:,} images less {most:,}"
            terms = list(zip((1.0, -1.0), sides, strict=True))
            wanted.append(Wanted(words, terms, low=-AS_GOOD))
    return evidence(chosen, wanted)


def capsules_between(rows: pl.DataFrame, capsules: str) -> Evidence:
    """CapsNet of this variant between GCNN and H-Net at each small range, whichever of them is
    above."""
    variants = {"gcnn": FIRST["gcnn"], "capsnet": capsules, "hnet": FIRST["hnet"]}
    chosen = unattacked(rows, variants, UPRIGHT)
    chosen = where(chosen, f"model capsnet {capsules}", (pl.col("model") == "capsnet").any())
    wanted = [
        Either(
            f"CapsNet between GCNN and H-Net at ±{x:g}°",
            [ahead("capsnet", "gcnn", x), ahead("hnet", "capsnet", x)],
            [ahead("gcnn", "capsnet", x), ahead("capsnet", "hnet", x)],
        )
        for x in ranges(chosen, 1.0, SMALL)
    ]
    return evidence(chosen, wanted)


CLAIMS = (
    Claim(
        "C1",
        "1 left",
        "rotations",
        "Trained without augmentation, the accuracy of every rotation-equivariant network is "
        '"always greater than StdCNNs" for rotations below 40 degrees.',
        "At one range up to ±40°, one equivariant network is less accurate than StdCNN.",
        ahead_when_small,
    ),
    Claim(
        "C2",
        "1 left",
        "rotations",
        'Trained without augmentation, equivariant networks have an "accuracy well above 98% for '
        'rotations upto 20".',
        "At one range up to ±20°, the accuracy of one equivariant network is below 98%.",
        high_when_small,
    ),
    Claim(
        "C3",
        "1 right",
        "rotations",
        '"PTN and RotEqNet to be more robust than the other networks and their accuracy remains '
        'safely above 60%."',
        "At one range either is below 60%, or at one beyond ±40° another network is above it.",
        most_robust,
    ),
    Claim(
        "C4",
        "2",
        "rotations",
        'Of equivariant networks "accuracy for the respective range of rotation augmentation '
        'remains above 98%".',
        "At one range of training and test, one equivariant network is below 98%.",
        high_with_augmentation,
    ),
    Claim(
        "C5",
        "3",
        "rotations",
        '"Rotation equivariant networks achieve their best performance safely using 10k - 30k '
        'training samples."',
        "With all training images one is better than with 30,000 by more than 0.3 points.",
        enough_images,
        free=["train_size"],
    ),
    Claim(
        "C13a",
        "12",
        "rotations",
        'CapsNet: "their values to be sandwiched between GCNNs and HNets".',
        "At one range up to ±40°, CapsNet is above both or below both.",
        partial(capsules_between, capsules="table"),
    ),
    Claim(
        "C13b",
        "12",
        "rotations",
        'CapsNet of a quarter of the width: "their values to be sandwiched between GCNNs and '
        'HNets".',
        "At one range up to ±40°, CapsNet is above both or below both.",
        partial(capsules_between, capsules="narrow"),
    ),
    Claim(
        "C14",
        "2",
        "rotations",
        'Section 2.1: "applying data augmentation increases their robustness", of every '
        "rotation-equivariant network to rotations.",
        "At one range, one equivariant network is more accurate if trained upright.",
        augmentation_helps,
    ),
)
