"""From rows to figures: `analysis.load("results/quick")` is a tidy polars frame.

`python -m analysis RESULTS` draws everything. Every function here takes a frame and gives a frame,
a chart or text; only `__main__` writes. Neither torch nor Ray is imported.
"""

from analysis.rows.scan import NoResults, diagnostics, equivariance, load, problems, training

__all__ = ["NoResults", "diagnostics", "equivariance", "load", "problems", "training"]
