"""What figures ask of rows, and what they say where the rows differ from the paper."""

import polars as pl

from analysis.selection import where

PAPER_EPS = 0.3
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
