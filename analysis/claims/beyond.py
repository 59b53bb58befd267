"""Sentences that go beyond the paper: attacks that cannot be said to be weak, distances,
adversarial training, the worst rotation, other architectures, the other unit of eps (B7 to
B13)."""

from functools import partial

import numpy as np
import polars as pl

from analysis.claims.contrasts import (
    GAP,
    crossover,
    gaps,
    pair_rows,
    plain,
    small_and_large,
    trained_wide,
)
from analysis.claims.evidence import (
    BEYOND,
    Claim,
    Either,
    Evidence,
    Part,
    Wanted,
    evidence,
    flagged,
)
from analysis.claims.settings import most_images
from analysis.rows.conditions import SMALLER_EPS, TABLE1
from analysis.rows.selection import FIRST, NotMeasured, of_variants, where
from analysis.rows.vocabulary import label
from analysis.stats import trends
from analysis.stats.paired import Bits

FEWEST_MODELS = 6
"""Below six, no order could be significant in the family: a perfect one has p = 1 / 6!."""
STRENGTH = 0.3
"""Eps of adversarial training."""
STRONGER = ["fmn-pgd"], ["strong"]
"""Attacks under which a sentence on PGD is judged beside it."""


def same_order(rows: pl.DataFrame) -> Evidence:
    """The sign of GCNN - StdCNN under PGD and under the strong attacks, small and large ranges."""
    chosen = pair_rows(rows, TABLE1, SMALLER_EPS, *plain())
    attacks = {"pgd": "PGD", "strong": "the strong attacks"}
    lacking = [name for name in attacks if name not in set(chosen["attack"])]
    if lacking:
        raise NotMeasured(f"needs rows with attack {' and '.join(lacking)}, eps {SMALLER_EPS:g}")
    wanted = []
    for words, xs in zip(("small", "large"), small_and_large(chosen), strict=True):
        terms = {f"{GAP} under {says}": gaps(xs, attack=name) for name, says in attacks.items()}
        wanted.append(
            Either(
                f"same sign at {words} ranges",
                [Wanted(says, of, low=0.0) for says, of in terms.items()],
                [Wanted(says, of, high=0.0) for says, of in terms.items()],
            )
        )
    return evidence(chosen, wanted)


def adversaries_cost_rotations(rows: pl.DataFrame) -> Evidence:
    """Trained upright with PGD less trained plainly: accuracy over the whole circle, no attack."""
    needs = "attack none, train_rotation 0, test_rotation 180, adversary none and pgd"
    ranges = pl.col("train_rotation") == 0, pl.col("test_rotation") == 180
    strength = pl.col("adversary_eps").is_in([0.0, STRENGTH])
    adversaries = ["pgd", "none"]
    which = *ranges, strength, pl.col("adversary").is_in(adversaries)
    chosen = where(rows, needs, of_variants(TABLE1), *which)
    wanted = []
    for model in TABLE1:
        terms = [
            (sign, {"model": model, "adversary": adversary})
            for sign, adversary in zip((1.0, -1.0), adversaries, strict=True)
        ]
        wanted.append(Wanted(f"{label(model)}, with PGD less without", terms, high=0.0))
    return evidence(chosen, wanted)


def worst_rotation(rows: pl.DataFrame) -> Evidence:
    """GCNN less StdCNN, trained upright, under the worst rotation within 30 degrees."""
    needs = "attack rotation-grid, test_rotation 30, train_rotation 0, adversary none"
    which = (
        pl.col("test_rotation") == 30,
        pl.col("train_rotation") == 0,
        pl.col("adversary") == "none",
    )
    chosen = where(rows, needs, of_variants(TABLE1), *which)
    terms = [(1.0, {"model": "gcnn"}), (-1.0, {"model": "stdcnn"})]
    return evidence(chosen, [Wanted(f"{GAP}, worst rotation within ±30°", terms, low=0.0)])


def boundary_comes_nearer(rows: pl.DataFrame) -> Evidence:
    """Mean distance of upright images to the decision boundary: trained over the whole circle less
    trained upright."""
    needs = "attack fmn with distances, test_rotation 0, adversary none"
    which = pl.col("test_rotation") == 0, pl.col("adversary") == "none"
    chosen = where(rows, needs, of_variants(TABLE1), *which)
    # Every eps of a sweep carries the same distances.
    chosen = chosen.unique(["trial", "n_images"], keep="first", maintain_order=True)
    wanted = [
        trained_wide(chosen, m, needs)._replace(unit="number", values=distances) for m in TABLE1
    ]
    return evidence(chosen, wanted)


def distances(rows: pl.DataFrame) -> Bits:
    """By seed the distance of each image: 0 if misclassified, 1 (all of a pixel's range) if no
    adversarial image was found."""
    return {
        seed: np.clip(np.array(values, dtype=float), 0, 1)
        for seed, values in rows.select("seed", "distances").iter_rows()
    }


def invariance_goes_with_weakness(rows: pl.DataFrame) -> Evidence:
    """Rank correlation over architectures, trained upright: share of classes that survive an exact
    rotation by 30 degrees, and accuracy under attack, each a mean over seeds."""
    needs = f"attack equivariance at 30 degrees and another at eps {SMALLER_EPS:g}"
    rotated = (pl.col("attack") == "equivariance") & (pl.col("test_rotation") == 30)
    under = (pl.col("attack") != "equivariance") & (pl.col("eps") == SMALLER_EPS)
    upright = pl.col("train_rotation") == 0, pl.col("adversary") == "none", of_variants(FIRST)
    chosen = where(rows, needs, rotated | (under & (pl.col("test_rotation") == 0)), *upright)
    side = pl.when(pl.col("attack") == "equivariance").then(pl.lit("x")).otherwise(pl.lit("y"))
    means = (
        most_images(chosen)
        .filter(~flagged())
        .group_by("model", side=side)
        .agg(
            share=(pl.col("n_correct") / pl.col("n")).mean(),
            seed=pl.col("seed").n_unique(),
            n=pl.col("n").min(),
        )
    )
    x, y = (means.filter(side=of).drop("side") for of in "xy")
    both = x.join(y, on="model").sort("model")
    if both.height < FEWEST_MODELS:
        raise NotMeasured(f"needs {needs}, train_rotation 0, of {FEWEST_MODELS} models or more")
    return Evidence([_correlated(both)], [], chosen, f"{both.height} architectures.")


def _correlated(both: pl.DataFrame) -> Part:
    """Spearman's correlation of `share` and `share_right`, tested by permutation; no interval."""
    correlation, p_below, p_above = trends.rank_correlation(
        both["share"].to_list(), both["share_right"].to_list()
    )
    fewest, least = (
        int(both.select(pl.min_horizontal(name, f"{name}_right").min()).item())
        for name in ("seed", "n")
    )
    words = "rank correlation of invariance and accuracy under attack"
    return Part(words, correlation, None, None, p_below, p_above, least, fewest, "number")


CLAIMS = (
    Claim(
        "B7",
        BEYOND,
        "beyond",
        "Under the strong attacks the order of GCNN and StdCNN is the same as under PGD (0.1).",
        "At small or at large ranges the difference has another sign under the strong attacks.",
        same_order,
        [["pgd", "strong"]],
    ),
    Claim(
        "B8",
        BEYOND,
        "beyond",
        "The decision boundary comes nearer: trained with rotations over the whole circle, StdCNN "
        "and GCNN have a smaller mean distance of upright images to it.",
        "Of one of the two the mean distance is larger.",
        boundary_comes_nearer,
        [["fmn"]],
        needs="distances",
    ),
    Claim(
        "B9",
        BEYOND,
        "beyond",
        "Adversarial training with PGD (0.3) costs accuracy on rotated images (no attack).",
        "StdCNN or GCNN, trained upright with PGD, is more accurate over the whole circle.",
        adversaries_cost_rotations,
    ),
    Claim(
        "B10",
        BEYOND,
        "beyond",
        "Trained upright, GCNN withstands the worst rotation within ±30 degrees better than "
        "StdCNN.",
        "StdCNN is more accurate under the worst rotation.",
        worst_rotation,
        [["rotation-grid"]],
    ),
    Claim(
        "B11",
        BEYOND,
        "beyond",
        "Over architectures trained upright, more invariance goes with less robustness to PGD "
        "(0.1).",
        "The rank correlation is above 0.",
        invariance_goes_with_weakness,
        [["equivariance", *attacks] for attacks in (["pgd"], *STRONGER)],
        needs="n_correct",
    ),
    Claim(
        "B12",
        BEYOND,
        "beyond",
        "If the paper's eps 0.3 is meant for normalised images (0.092 in pixels), its crossover "
        "is seen under FGSM: GCNN ahead at small ranges, behind at large ones.",
        "GCNN is behind on average over ranges up to ±40°, or ahead over those from ±90°.",
        partial(crossover, pair=TABLE1),
        [["fgsm"]],
        eps_unit="normalised",
    ),
    Claim(
        "B13",
        BEYOND,
        "beyond",
        "If the paper's eps 0.3 is meant for normalised images (0.092 in pixels), its crossover "
        "is seen under PGD: GCNN ahead at small ranges, behind at large ones.",
        "GCNN is behind on average over ranges up to ±40°, or ahead over those from ±90°.",
        partial(crossover, pair=TABLE1),
        [["pgd"], *STRONGER],
        eps_unit="normalised",
    ),
)
