"""One measurement of a trained network: the record `Probe`."""

import statistics
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from rotgrid.spec.attacks import ATTACKS, OWN_DEFAULTS, AttackName, unread_by_own
from rotgrid.spec.datasets import Shape
from rotgrid.spec.entries import is_own
from rotgrid.spec.extensions import Digest, known, with_digests
from rotgrid.spec.models import MODELS, ModelName
from rotgrid.spec.records import Keyed, entry_named, field_error, without_added_defaults
from rotgrid.spec.trial import Trial, data_of
from rotgrid.spec.vocabulary import AttackLoss, Clip, EpsUnit, LabelRule, Mode, ThreatName


class Probe(Keyed):
    """One measurement of a trained network; eps is measured around the image *after* rotation.

    Spatial attacks (`rotation-grid`, `translation-grid`, `spatial-grid`, `worst-of-10` and, with
    pixels, `spatial-pgd`) take the worst over what the other attacks draw from: rotations within
    `test_rotation`, shifts within `test_translation`. `equivariance` attacks nothing: every image
    is rotated by exactly `test_rotation`, and counts as correct if its class stays the same; the
    errors of the layers go to a table of their own, as do the checks of `diagnostics`.

    Raises:
        pydantic.ValidationError: a field is unknown or out of range.
    """

    test_rotation: Annotated[float, Field(ge=0, le=180)] | Literal["same"] = Field(
        default="same",
        description="x: test images are rotated by U[-x, x] degrees (equivariance: by exactly x); "
        "same = train_rotation",
    )
    test_translation: float = Field(
        default=0.0,
        ge=0,
        le=14,
        description="t: test images shift by U[-t, t] pixels right and down, by their own draws",
    )
    attack: AttackName = Field(default="none", description="attack on the test images")
    eps: float = Field(
        default=0.3,
        ge=0,
        le=1000,
        description="radius of the ball of `threat`, in `eps_unit`; linf: at most 1 pixel",
    )
    eps_unit: EpsUnit = Field(
        default="pixel",
        description="pixel: pixels lie in [0, 1]; normalised: deviations of the data's pixels, "
        "the mean over channels (MNIST: 0.3081 pixel)",
    )
    steps: int = Field(
        default=40, ge=0, le=100_000, description="steps (square: queries) of an iterative attack"
    )
    restarts: int = Field(
        default=1,
        ge=0,
        le=10_000,
        description="random starts (noise: draws); the worst counts; 0: one start at the image",
    )
    loss: AttackLoss = Field(
        default="ce", description="what is climbed; dlr: the targeted loss of AutoAttack"
    )
    label_rule: LabelRule = Field(
        default="true",
        description="label that is attacked; predicted: errors may be repaired, and count then",
    )
    source: ModelName | Literal[""] = Field(
        default="", description="transfer: model on which the images are made"
    )
    clip: Clip = Field(
        default="pixel",
        description="what adversarial images are clipped to; pixel: [0, 1]; none: nothing; "
        "normalised: [0, 1] of standardised images, by mistake in published code",
    )
    mode: Mode = Field(
        default="eval",
        description="of the network while it is attacked and evaluated; train: batch norm by "
        "batches of 100 test images, dropout on, as in some published code",
    )
    threat: ThreatName = Field(
        default="linf",
        description="what eps bounds; linf: the largest change of a pixel; l2: the Euclidean "
        "length of the change of all pixels (default of lbfgs)",
    )
    n_images: int = Field(
        default=0, ge=0, description="test images, a fixed class-balanced subset (default, 0: all)"
    )
    attack_digest: Digest = Field(default="", description="of the source of an own attack")
    source_digest: Digest = Field(default="", description="of the source of an own `source`")

    @model_validator(mode="before")
    @classmethod
    def _canonical(cls, values: Any) -> Any:  # noqa: ANN401  # pydantic hands over raw input
        if not isinstance(values, Mapping):
            return values
        values = with_digests(values, ("attack", "source"))
        if (attack := entry_named(name := values.get("attack", "none"), ATTACKS)) is None:
            return values
        if is_own(name):
            return with_own_settings(values)
        own = {"steps": attack.steps, "threat": attack.threats[0]}
        return {**own, **values, **attack.unread()}

    @model_validator(mode="after")
    def _possible(self) -> Self:
        attack = ATTACKS[self.attack]
        if self.loss not in attack.losses:
            raise field_error("loss", f"cannot be climbed by {self.attack}", attack.losses)
        if self.label_rule not in attack.label_rules:
            raise field_error(
                "label_rule", f"is not a choice of {self.attack}", attack.label_rules
            )
        if self.threat not in attack.threats:
            raise field_error("threat", f"is not a choice of {self.attack}", attack.threats)
        if self.threat == "linf" and self.eps_unit == "pixel" and self.eps > 1:
            raise field_error("eps", "should be at most 1 with threat: linf")
        if self.threat != "linf" and (self.by_convention() or self.label_rule != "true"):
            what = "is not a choice where clip, mode or label_rule is that of other code"
            raise field_error("threat", what, ("linf",))
        if "source" in attack.reads and not self.source:
            choices = (*MODELS, "a function of your own as package.module:function")
            raise field_error("source", f"is needed by {self.attack}", choices)
        for field in attack.at_least_one:
            if not getattr(self, field):
                raise field_error(field, f"should be 1 or more for {self.attack}")
        if self.mode == "train" and self.n_images == 1:
            raise field_error("n_images", "should be 2 or more with mode: train, or 0 for all")
        if attack.starts and self.steps == self.restarts == 0:
            raise field_error("restarts", f"should be 1 or more for {self.attack} with steps: 0")
        return self

    def pixel_eps(self, shape: Shape) -> float:
        """`eps` in pixel units, on images of this shape."""
        return self.eps * (statistics.fmean(shape.std) if self.eps_unit == "normalised" else 1)

    def by_convention(self) -> bool:
        """Whether it is clipped or run otherwise than by the protocol, as some published code."""
        return (self.clip, self.mode) != ("pixel", "eval")

    def resolve(self, trial: Trial) -> "Probe":
        """The probe with `same` and "all images" replaced by the numbers they mean for `trial`."""
        most = data_of(trial).test
        if self.n_images > most:
            raise field_error("n_images", f"is more than the {most} test images of {trial.data}")
        if self.threat == "linf" and (eps := self.pixel_eps(data_of(trial).shape)) > 1:
            raise field_error("eps", f"is {eps:.3g} pixel on {trial.data}; linf: at most 1 pixel")
        return self.model_copy(
            update={
                "test_rotation": (
                    trial.train_rotation if self.test_rotation == "same" else self.test_rotation
                ),
                "n_images": self.n_images or most,
            }
        )

    def key_fields(self) -> dict[str, object]:
        """Everything that affects the measurement of a given network."""
        if self.test_rotation == "same" or not self.n_images:
            raise ValueError("a probe has a key once it is resolved: probe.resolve(trial).key()")
        revision = ATTACKS[self.attack].revision
        return without_added_defaults(self) | (
            {"attack_revision": revision} if revision > 1 else {}
        )


def with_own_settings(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a probe of an own attack: its defaults, and what its `def` does not name set
    to what it is elsewhere."""
    settings = known(values["attack"], values["attack_digest"]).settings
    if settings is None:
        return values  # from a row: complete
    own = {k: settings[k] for k in OWN_DEFAULTS if settings.get(k) not in (None, ...)}
    return {**own, **values, **unread_by_own(settings)}
