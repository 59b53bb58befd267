"""What figures and claims ask of rows, and what they say where the rows differ from the paper."""

import polars as pl

from analysis.rows import vocabulary
from analysis.rows.phrases import listed
from analysis.rows.selection import NotMeasured, where

PAPER_EPS, SMALLER_EPS = 0.3, 0.1
USUAL_EPS = {"linf": SMALLER_EPS, "l2": 10 * SMALLER_EPS}
"""Of each threat model one that is about as strong on digits."""
SMALL = 40.0
"""Degrees: the largest "small" rotation of the paper (Figure 1, left)."""
LARGE = 90.0
"""Degrees from which a range counts as large: a right angle, of which the group of GCNN knows
the multiples exactly."""
TABLE1 = {"stdcnn": "table1", "gcnn": "table1"}
PAPERS_PAIR = {"stdcnn": "doubled", "gcnn": "halved"}
"""What the paper calls equivalent in parameters; it is not, see `claims.widening.MATCHED`."""
SPATIAL = ("rotation-grid", "translation-grid", "spatial-grid", "worst-of-10")
"""Attacks that rotate and shift images and change no pixel: the worst of what they try counts."""
CLEAN = pl.col("attack") == "none"
BY_PROTOCOL = (pl.col("clip") == "pixel") & (pl.col("mode") == "eval")
"""Measured as all attacks are, by no convention of other code."""
LINF = pl.col("threat") == "linf"
"""Measured in the L-inf ball, or without one."""
ONE_BALL = LINF | ~(LINF & (pl.col("eps") > 0)).any()
"""The same; where all attacked rows are of another ball, any."""
ON_PIXELS = ~pl.col("attack").is_in([*SPATIAL, "equivariance", "diagnostics"])
"""Whether a row is of an attack on pixels, the user's own included, or of none."""
OWN_ATTACK = pl.col("attack").str.contains(":", literal=True)
NO_ADVERSARY = pl.col("adversary") == "none"
CAPSULES = pl.col("model").is_in(["capsnet", "emcaps"])
UPRIGHT = pl.col("train_rotation") == 0
SAME_RANGE = pl.col("test_rotation") == pl.col("train_rotation")
BOTH_X = "Train and test rotation x (uniform in [-x, x])"
TIPS = ("model", "variant", "test_rotation")
ATTACKED = ("attack", "eps", "eps_unit", "threat")


def nearest_eps(rows: pl.DataFrame, wanted: float) -> tuple[pl.DataFrame, float]:
    """Rows without attack, and attacked ones at the measured eps nearest to `wanted`, if possible
    one that was measured for every attack."""
    attacked = rows.filter(pl.col("attack") != "none", pl.col("eps") > 0)
    best = (
        attacked.group_by("eps")
        .agg(attacks=pl.col("attack").n_unique())
        .with_columns(far=(pl.col("eps") - wanted).abs().round(9))
        .sort("attacks", "far", "eps", descending=[True, False, False])
    )
    if best.is_empty():
        raise NotMeasured("needs rows with an attack at eps > 0")
    eps = float(best["eps"][0])
    return rows.filter((pl.col("attack") == "none") | (pl.col("eps") == eps)), eps


def eps_remark(rows: pl.DataFrame, shown: float, wanted: float = PAPER_EPS) -> list[str]:
    """A remark if not the wanted eps is shown of these rows: it was not measured, or under fewer
    attacks than the one that is."""
    if shown == wanted:
        return []
    name = f"The paper's eps {wanted}" if wanted == PAPER_EPS else f"eps {wanted:g}"
    measured = rows.filter(pl.col("attack") != "none", pl.col("eps") == wanted)["attack"]
    attacks = listed([vocabulary.ATTACKS[attack] for attack in sorted(set(measured))])
    why = f"was measured under {attacks} only" if attacks else "was not measured"
    nearest = "that was measured under more" if attacks else "that was"
    return [f"{name} {why}: the nearest {nearest}, {shown:g}, is shown."]


def nearest_adversary(rows: pl.DataFrame, needs: str) -> tuple[pl.DataFrame, float]:
    """The rows of the adversary in training whose eps is nearest to the paper's.

    Raises:
        NotMeasured: there is none.
    """
    far = (pl.col("adversary_eps") - PAPER_EPS).abs().round(9)
    eps = where(rows, needs).sort(far, "adversary_eps")["adversary_eps"][0]
    return rows.filter(pl.col("adversary_eps") == eps), float(eps)
