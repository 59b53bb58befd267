"""Does GCNN lose more than StdCNN as rotations in training grow, and is there another explanation?
Strength of the attack, parameters, clean accuracy, blur, and test images, one claim each (B1 to
B6)."""

from collections.abc import Mapping
from functools import partial

import polars as pl

from analysis.claims.contrasts import (
    CIRCLE,
    GAP,
    by_range,
    loses_more,
    pair_rows,
    plain,
    trained_wide,
    upright_and_turned,
)
from analysis.claims.evidence import (
    BEYOND,
    ENDS,
    FLOOR,
    Claim,
    Evidence,
    Wanted,
    cell,
    evidence,
    part,
)
from analysis.rows.conditions import SMALLER_EPS, TABLE1
from analysis.rows.selection import MixedRowsError, NotMeasured, of_variants, where
from analysis.rows.vocabulary import label
from analysis.stats import paired
from analysis.stats.paired import Bits

MATCHED = (
    {"stdcnn": "table1", "gcnn": "matched-table1"},
    {"stdcnn": "matched-table1", "gcnn": "table1"},
)
"""Pairs with the same number of parameters, as near as whole widths allow."""
PGD = ["pgd"], ["fmn-pgd"], ["strong"]
"""The attack that the sentence names, and stronger ones."""
NEEDS = f"both models, eps {SMALLER_EPS:g}, test_rotation = train_rotation"


def widening(rows: pl.DataFrame, pair: Mapping[str, str]) -> Evidence:
    """What GCNN loses from training upright to training over the whole circle, less what StdCNN
    loses."""
    chosen = pair_rows(rows, pair, SMALLER_EPS, *plain())
    one = loses_more(chosen, "gcnn", NEEDS)
    names = " - ".join(f"{label(model)} {pair[model]}" for model in ("gcnn", "stdcnn"))
    return evidence(chosen, [one._replace(words=one.words.replace(GAP, names))], by_range(chosen))


def widening_when_matched(rows: pl.DataFrame) -> Evidence:
    """`widening` of both pairs of equal size."""
    found, absent = [], []
    for pair in MATCHED:
        try:
            found.append(widening(rows, pair))
        except NotMeasured as error:
            absent.append(str(error))
    if not found:
        raise NotMeasured(absent[0])
    parts = [each for one in found for each in one.parts]
    absent += [line for one in found for line in one.absent]
    return Evidence(parts, absent, pl.concat(one.rows for one in found))


def widening_where_both_are_right(rows: pl.DataFrame) -> Evidence:
    """`widening` over the images that both networks classify correctly without attack."""
    needs = f"attack none and another at eps {SMALLER_EPS:g} on the same test images"
    eps = pl.col("eps").is_in([0.0, SMALLER_EPS])
    chosen = where(rows, needs, of_variants(TABLE1), eps, *plain())
    same = ["model", "train_rotation", "seed", "n_images"]
    attacked = chosen.filter(pl.col("attack") != "none")
    for side in (attacked, chosen.filter(attack="none")):
        chosen = chosen.join(side.select(same).unique(), on=same, how="semi")
    chosen = where(chosen, needs, pl.lit(True))
    upright_and_turned(chosen, needs)
    terms = [
        (sign, where_both_are_right(chosen.filter(train_rotation=x)), f"{x:g}")
        for sign, x in ((1.0, CIRCLE), (-1.0, 0.0))
    ]
    wanted = Wanted(f"{GAP}, change from ±0° to ±{CIRCLE:g}°", [], high=0.0)
    share = pl.col("n_correct") / pl.col("n")
    left = chosen.filter(pl.col("attack") != "none", share >= FLOOR)[ENDS].n_unique()
    return Evidence([part(wanted, terms)._replace(floor=left < len(terms))], [], chosen)


def where_both_are_right(rows: pl.DataFrame) -> Bits:
    """GCNN less StdCNN under attack, per image, over the images both get right without: a ratio,
    as values whose mean is that ratio and whose variance is its (linearised, Cochran 1977).

    Raises:
        MixedRowsError: they were tested on different numbers of images.
    """
    unattacked = pl.col("attack") == "none"
    clean, attacked = (
        [paired.bits(cell(rows.filter(under), model=model)) for model in ("gcnn", "stdcnn")]
        for under in (unattacked, ~unattacked)
    )
    common = set.intersection(*(set(of) for of in [*clean, *attacked]))
    if len({of[seed].size for of in [*clean, *attacked] for seed in common}) > 1:
        raise MixedRowsError("networks were tested on different numbers of images")
    found = {}
    for seed in sorted(common):
        both = clean[0][seed] * clean[1][seed]
        if not both.any():
            continue
        difference = both * (attacked[0][seed] - attacked[1][seed])
        ratio = difference.mean() / both.mean()
        found[seed] = ratio + (difference - ratio * both) / both.mean()
    return found


def upright_images(rows: pl.DataFrame) -> Evidence:
    """GCNN trained over the whole circle less trained upright, both on upright test images."""
    needs = f"model gcnn, eps {SMALLER_EPS:g}, test_rotation 0, adversary none"
    under = pl.col("eps") == SMALLER_EPS, pl.col("adversary") == "none"
    gcnn = of_variants({"gcnn": TABLE1["gcnn"]})
    chosen = where(rows, needs, gcnn, *under, pl.col("test_rotation") == 0)
    return evidence(chosen, [trained_wide(chosen, "gcnn", needs)])


CLAIMS = (
    Claim(
        "B1",
        BEYOND,
        "beyond",
        "GCNN loses more robustness to PGD (0.1) than StdCNN as rotations in training grow from 0 "
        "to 180 degrees.",
        "The difference in differences is above 0.",
        partial(widening, pair=TABLE1),
        PGD[:2],
    ),
    Claim(
        "B2",
        BEYOND,
        "beyond",
        "GCNN loses more robustness to the strong attacks (0.1) than StdCNN as rotations in "
        "training grow from 0 to 180 degrees.",
        "The difference in differences is above 0.",
        partial(widening, pair=TABLE1),
        PGD[2:],
    ),
    Claim(
        "B3",
        BEYOND,
        "beyond",
        "At equal numbers of parameters, whichever is made to match, GCNN loses more robustness "
        "to PGD (0.1) than StdCNN as rotations in training grow from 0 to 180 degrees.",
        "Of one matched pair the difference in differences is above 0.",
        widening_when_matched,
        PGD,
    ),
    Claim(
        "B4",
        BEYOND,
        "beyond",
        "On the images that both classify correctly without attack, GCNN loses more robustness "
        "to PGD (0.1) than StdCNN as rotations in training grow from 0 to 180 degrees: it is not "
        "a matter of clean accuracy.",
        "The difference in differences over those images is above 0.",
        widening_where_both_are_right,
        [["none", *attacks] for attacks in PGD],
    ),
    Claim(
        "B5",
        BEYOND,
        "beyond",
        "With nearest-neighbour rotation, GCNN loses more robustness to PGD (0.1) than StdCNN as "
        "rotations in training grow from 0 to 180 degrees: it is not a matter of blur.",
        "The difference in differences is above 0.",
        partial(widening, pair=TABLE1),
        PGD,
        interpolation="nearest",
    ),
    Claim(
        "B6",
        BEYOND,
        "beyond",
        "Trained with rotations over the whole circle, GCNN is less robust to PGD (0.1) on "
        "upright images too: it is the network, not the rotated images.",
        "On upright images the GCNN trained over the whole circle is more robust.",
        upright_images,
        PGD,
    ),
)
