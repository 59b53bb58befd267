"""What readers are told about a choice of rows: records that say it as a sentence."""

from collections.abc import Collection
from typing import Any, NamedTuple

from analysis.rows import recipes
from analysis.rows.phrases import kind, listed
from rotgrid.spec.models import MODELS

FIRST_MODEL = next(iter(MODELS))
"""The model for which settings are said: selections compare recipes as they are for it."""


class LeftOut(NamedTuple):
    """Rows that were left out because they differ from those that were kept."""

    height: int
    group: dict[str, Any]
    """What rows left out and kept have in common: they were compared within it."""
    kept: dict[str, Any]
    left: dict[str, Any]
    """The columns in which they differ, with the values of the rows kept and left out."""

    def __str__(self) -> str:
        group = "".join(f" ({name} {value})" for name, value in self.group.items())
        kept, left = (
            ", ".join(_said(name, value) for name, value in values.items())
            for values in (self.kept, self.left)
        )
        count = f"{self.height} {'row' if self.height == 1 else 'rows'}"
        return f"Shown{group}: {kept}. Left out: {count} with {left}."


class OtherVariants(NamedTuple):
    """Models that another variant than their first one stands for."""

    variants: dict[str, str]
    measured: dict[str, str]
    """Their first variants, where those were measured, but under far fewer conditions."""

    def of_models(self, models: Collection[str]) -> "OtherVariants":
        """What it says of these models."""
        chosen = ({m: v for m, v in part.items() if m in models} for part in self)
        return OtherVariants(*chosen)

    def __str__(self) -> str:
        sparse = [kind(model, variant) for model, variant in self.measured.items()]
        missing = self.variants.keys() - self.measured.keys()
        reasons = ["the first variants were not measured"] if missing else []
        reasons += [f"of {listed(sparse)} less than half as much was measured"] if sparse else []
        shown = listed([kind(model, variant) for model, variant in self.variants.items()])
        return f"Variants shown: {shown}; {listed(reasons)}."


Note = str | LeftOut | OtherVariants
"""What a reader is told about a choice of rows: `str(note)` is a sentence."""


def _said(name: str, value: object) -> str:
    """A column and its value; of the settings of an own recipe what is particular to them."""
    if name == "recipe_settings":
        return (
            f"settings {recipes.words(str(value), FIRST_MODEL)}" if value else "rotgrid's settings"
        )
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
