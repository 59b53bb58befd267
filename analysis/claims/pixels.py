"""The paper's sentences on pixel-wise attacks: Figures 4 to 11 and the abstract (C6 to C12,
C15 to C17)."""

from collections.abc import Mapping
from functools import partial

import polars as pl

from analysis.claims.contrasts import (
    GAP,
    crossover,
    gap,
    loses_more,
    pair_rows,
    plain,
    shares,
)
from analysis.claims.evidence import Claim, Evidence, Wanted, evidence, measured_by_all
from analysis.rows.conditions import PAPER_EPS, PAPERS_PAIR, SMALLER_EPS, TABLE1
from analysis.rows.selection import FIRST, NotMeasured, of_variants, where
from analysis.rows.vocabulary import ATTACKS, label
from analysis.stats import trends

AS_GOOD = 0.02
"""Accuracies that differ by less count as equal: two points are the width of a mark on the axes
from 0 to 100% from which the paper reads "as well as"."""
STRONGER = ["fmn-pgd"], ["strong"]
"""Attacks under which a sentence is judged beside those that it names."""
FGSM = ["fgsm"], *STRONGER
PGD = ["pgd"], *STRONGER
BOTH = ["fgsm", "pgd"], *STRONGER
ROUGHLY = 0.10
"""RotEqNet, "roughly from 40% to 60%": half of the change that is named."""


def trained_with_fgsm(
    rows: pl.DataFrame, pair: Mapping[str, str], eps: float, margin: float | None
) -> Evidence:
    """At each range GCNN ahead of StdCNN or, with a margin, ahead by no more than that."""
    which = plain(adversary="fgsm", eps=PAPER_EPS)
    chosen = pair_rows(rows, pair, eps, *which)
    low, high = (0.0, None) if margin is None else (None, margin)
    xs = chosen["train_rotation"].unique().sort()
    return evidence(chosen, [Wanted(f"{GAP} at ±{x:g}°", gap(x), low, high) for x in xs])


def pgd_is_stronger(rows: pl.DataFrame) -> Evidence:
    """Accuracy under FGSM less that under PGD, at each range and for both networks."""
    chosen = pair_rows(rows, TABLE1, PAPER_EPS, *plain())
    wanted = []
    for x in chosen["train_rotation"].unique().sort():
        for model in TABLE1:
            of = {"model": model, "train_rotation": x}
            terms = [(1.0, of | {"attack": "fgsm"}), (-1.0, of | {"attack": "pgd"})]
            wanted.append(Wanted(f"{label(model)} at ±{x:g}°, FGSM - PGD", terms, low=0.0))
    return evidence(chosen, wanted)


def roteqnet_rises(rows: pl.DataFrame) -> Evidence:
    """RotEqNet under FGSM: about 40% at 0, about 60% at 180 degrees, and rising."""
    kind = of_variants({"roteqnet": FIRST["roteqnet"]})
    needs = f"model roteqnet, attack fgsm, eps {PAPER_EPS:g}"
    chosen = where(rows, needs, kind, pl.col("eps") == PAPER_EPS, *plain())
    ends = {x: {"train_rotation": x} for x in (0.0, 180.0)}
    near = [
        Wanted(f"RotEqNet at ±{x:g}°", [(1.0, ends[x])], about - ROUGHLY, about + ROUGHLY, "share")
        for x, about in ((0.0, 0.4), (180.0, 0.6))
    ]
    terms = [(1.0, ends[180.0]), (-1.0, ends[0.0])]
    rise = Wanted("RotEqNet at ±180° less at ±0°", terms, low=0.0)
    found = trends.words(shares(chosen, "roteqnet"), "share", "rises")
    return evidence(chosen, [rise, *near], f"Trend: {found}." if found else "")


def loses_with_range(rows: pl.DataFrame) -> Evidence:
    """The least-squares lines of GCNN's accuracy and of GCNN - StdCNN against range fall, at the
    smaller eps, under every attack."""
    chosen = pair_rows(rows, TABLE1, SMALLER_EPS, *plain())
    wanted, remarks = [], []
    for attack in sorted(set(rows["attack"])):
        under = chosen.filter(attack=attack)
        if under.is_empty():
            raise NotMeasured(f"needs attack {attack} at eps {SMALLER_EPS:g} of both models")
        xs = measured_by_all(under, "train_rotation")
        if len(xs) < trends.FEWEST_VALUES:
            raise NotMeasured("needs three values of train_rotation for a trend")
        weights = [180 * weight for weight in trends.slope_weights(xs)]
        of = {"attack": attack}
        both = [term for x, w in zip(xs, weights, strict=True) for term in gap(x, w, **of)]
        own = [term for term in both if term[1]["model"] == "gcnn"]
        for words, terms in (("GCNN", own), (GAP, both)):
            words = f"{words} under {ATTACKS[attack]}, change of the fitted line from 0 to 180°"
            wanted.append(Wanted(words, terms, high=0.0))
        found = trends.words(shares(under, "gcnn"), "share", "falls")
        remarks.append(f"Trend of GCNN under {ATTACKS[attack]}: {found}.")
    return evidence(chosen, wanted, " ".join(remarks))


def more_vulnerable(rows: pl.DataFrame, model: str) -> Evidence:
    """What a network loses between training upright and over the whole circle, less what StdCNN
    loses, under every attack."""
    pair = {name: FIRST[name] for name in ("stdcnn", model)}
    chosen = pair_rows(rows, pair, SMALLER_EPS, *plain())
    wanted = []
    for attack in sorted(set(rows["attack"])):
        under = chosen.filter(attack=attack)
        if under.is_empty():
            raise NotMeasured(f"needs attack {attack} at eps {SMALLER_EPS:g} of both models")
        needs = f"attack {attack}, eps {SMALLER_EPS:g}"
        one = loses_more(under, model, needs, attack=attack)
        wanted.append(one._replace(words=f"Under {ATTACKS[attack]}, {one.words}"))
    return evidence(chosen, wanted)


CLAIMS = (
    Claim(
        "C6a",
        "4 left",
        "pixels",
        'FGSM at 0.3, networks of Table 1: "for small rotations GCNNs are definitely more '
        'robust", but "as GCNNs become more robust to larger rotations they become more '
        'vulnerable" than StdCNNs.',
        "GCNN is behind on average over ranges up to ±40°, or ahead over those from ±90°.",
        partial(crossover, pair=TABLE1),
        [["fgsm"]],
    ),
    Claim(
        "C6b",
        "4 right",
        "pixels",
        'With filters doubled and halved "the relative behaviour of GCNNs to StdCNNs remains the '
        'same" under FGSM at 0.3.',
        "GCNN is behind on average over ranges up to ±40°, or ahead over those from ±90°.",
        partial(crossover, pair=PAPERS_PAIR),
        [["fgsm"]],
    ),
    Claim(
        "C7a",
        "5 left",
        "pixels",
        'Trained with FGSM, tested unperturbed: "GCNNs outperform StdCNNs in every count".',
        "At one range StdCNN is ahead.",
        partial(trained_with_fgsm, pair=TABLE1, eps=0.0, margin=None),
    ),
    Claim(
        "C7b",
        "5 right",
        "pixels",
        'Trained with FGSM, tested unperturbed, filters doubled and halved: "StdCNNs perform as '
        'well as GCNNs".',
        "At one range GCNN is ahead by more than 2 points.",
        partial(trained_with_fgsm, pair=PAPERS_PAIR, eps=0.0, margin=AS_GOOD),
    ),
    Claim(
        "C8a",
        "6 left",
        "pixels",
        'Trained and tested with FGSM at 0.3: "GCNNs perform better than StdCNNs".',
        "At one range StdCNN is ahead.",
        partial(trained_with_fgsm, pair=TABLE1, eps=PAPER_EPS, margin=None),
        FGSM,
    ),
    Claim(
        "C8b",
        "6 right",
        "pixels",
        'Trained and tested with FGSM at 0.3, filters doubled and halved: "StdCNNs perform as '
        'well as GCNNs".',
        "At one range GCNN is ahead by more than 2 points.",
        partial(trained_with_fgsm, pair=PAPERS_PAIR, eps=PAPER_EPS, margin=AS_GOOD),
        FGSM,
    ),
    Claim(
        "C9",
        "7",
        "pixels",
        '"In both the networks PGD is a stronger attack than FGSM" at 0.3.',
        "At one range one of the two is more accurate under PGD than under FGSM.",
        pgd_is_stronger,
        [["fgsm", "pgd"]],
    ),
    Claim(
        "C10a",
        "7 right",
        "pixels",
        'PGD at 0.3, networks of Table 1: "GCNNs are more vulnerable to PGD attack than StdCNNs '
        "as they become more robust to larger rotations. For smaller rotations GCNNs are still "
        'more robust".',
        "GCNN is behind on average over ranges up to ±40°, or ahead over those from ±90°.",
        partial(crossover, pair=TABLE1),
        PGD,
    ),
    Claim(
        "C10b",
        "8 right",
        "pixels",
        '"This trend is similar when GCNNs and StdCNNs are made roughly parameter count '
        'equivalent" (filters doubled and halved; PGD at 0.3).',
        "GCNN is behind on average over ranges up to ±40°, or ahead over those from ±90°.",
        partial(crossover, pair=PAPERS_PAIR),
        PGD,
    ),
    Claim(
        "C11",
        "9",
        "pixels",
        'RotEqNet under FGSM at 0.3: "accuracy changes roughly from 40% to 60% as we augment the '
        'network from 0 to 180".',
        "It does not rise, or an end is more than 10 points from 40% or 60%.",
        roteqnet_rises,
        [["fgsm"]],
    ),
    Claim(
        "C12",
        "10, 11",
        "pixels",
        '"Even for as small as 0.1": "as GCNNs become robust to larger rotations they become more '
        'vulnerable to pixel-wise attacks", more so than StdCNNs.',
        "Under FGSM or PGD at 0.1, accuracy of GCNN or its lead over StdCNN rises with range.",
        loses_with_range,
        BOTH,
    ),
    *(
        Claim(
            name,
            "abstract",
            "pixels",
            f'{label(model)}: as it learns rotations, it becomes "more vulnerable to small '
            'pixel-wise adversarial attacks" (FGSM and PGD, 0.1) "in comparison with Standard '
            'CNNs".',
            "Under one of the attacks it loses less than StdCNN from training upright to training "
            "over the whole circle.",
            partial(more_vulnerable, model=model),
            BOTH,
        )
        for name, model in (("C15", "hnet"), ("C16", "ptn"), ("C17", "roteqnet"))
    ),
)
