"""From rows to figures: `analysis.load("results/quick")` is a tidy polars frame.

`load`, `training`, `equivariance` and `diagnostics` give the rows of one or more results locations,
`problems` what is wrong or missing there, `accuracy` and `summary` the means over seeds of rows.
`python -m analysis RESULTS` draws everything. Every function takes rows and gives rows or text; only
`__main__` writes. Neither torch nor Ray is imported.
"""

from analysis.rows.loading import NoResults, diagnostics, equivariance, load, problems, training
from analysis.stats.accuracies import accuracy
from analysis.stats.summary import summary

__all__ = [
    "NoResults",
    "accuracy",
    "diagnostics",
    "equivariance",
    "load",
    "problems",
    "summary",
    "training",
]
