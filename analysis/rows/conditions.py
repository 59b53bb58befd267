"""What figures and claims ask of rows, and what they say where the rows differ from the paper."""

import polars as pl

from analysis.rows.selection import where

PAPER_EPS, SMALLER_EPS = 0.3, 0.1
SMALL = 40.0
"""Degrees: the largest "small" rotation of the paper (Figure 1, left)."""
LARGE = 90.0
"""Degrees from which a range counts as large: a quarter turn, of which the group of GCNN knows
the multiples exactly."""
TABLE1 = {"stdcnn": "table1", "gcnn": "table1"}
PAPERS_PAIR = {"stdcnn": "doubled", "gcnn": "halved"}
"""What the paper calls equivalent in parameters; it is not, see `claims.widening.MATCHED`."""
SPATIAL = ("rotation-grid", "translation-grid", "spatial-grid", "worst-of-10")
"""Attacks that turn and shift images and change no pixel: the worst of what they try counts."""
CLEAN = pl.col("attack") == "none"
NO_ADVERSARY = pl.col("adversary") == "none"
CAPSULES = pl.col("model").is_in(["capsnet", "emcaps"])
UPRIGHT = pl.col("train_rotation") == 0
SAME_RANGE = pl.col("test_rotation") == pl.col("train_rotation")
BOTH_X = "Train and test rotation x (uniform in [-x, x])"
TIPS = ("model", "variant", "test_rotation")
ATTACKED = ("attack", "eps", "eps_unit")


def paper_eps(eps: float, which: str = "") -> list[str]:
    """A remark if the paper's eps is not the one shown."""
    if eps == PAPER_EPS:
        return []
    return [
        f"The paper's eps {PAPER_EPS}{which} was not measured: the nearest that was, {eps:g}, is "
        "shown."
    ]


def nearest_adversary(rows: pl.DataFrame, needs: str) -> tuple[pl.DataFrame, float]:
    """The rows of the adversary in training whose eps is nearest to the paper's.

    Raises:
        NotMeasured: there is none.
    """
    far = (pl.col("adversary_eps") - PAPER_EPS).abs().round(9)
    eps = where(rows, needs).sort(far, "adversary_eps")["adversary_eps"][0]
    return rows.filter(pl.col("adversary_eps") == eps), float(eps)
