"""From rows to figures: `analysis.load("results/quick")` is a tidy polars frame.

`load`, `training`, `equivariance` and `diagnostics` give the rows of results locations, `problems`
what is wrong or missing there; `newest_versions` keeps of own networks, data and attacks the
newest version, as the report does; `accuracy` and `summary` give means over seeds of such rows.
`python -m analysis RESULTS` draws everything, and only that writes. Neither torch nor Ray is
imported.
"""

from analysis.rows.loading import NoResults, diagnostics, equivariance, load, problems, training
from analysis.rows.versions import newest_versions
from analysis.stats.accuracies import accuracy
from analysis.stats.summary import summary

__all__ = [
    "NoResults",
    "accuracy",
    "diagnostics",
    "equivariance",
    "load",
    "newest_versions",
    "problems",
    "summary",
    "training",
]
