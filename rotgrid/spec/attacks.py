"""The attacks: an entry each, from which planning, evaluation, captions and methods take all they
need to know of it. What an attack does is in the module of `rotgrid.attacks` that its entry names.
"""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from rotgrid.spec.entries import Entries, OwnFunction
from rotgrid.spec.vocabulary import AttackLoss, LabelRule, ThreatName

UNREAD: dict[str, object] = {
    "test_rotation": 0.0,
    "test_translation": 0.0,
    "eps": 0.0,
    "eps_unit": "pixel",
    "steps": 0,
    "restarts": 0,
    "loss": "ce",
    "label_rule": "true",
    "source": "",
    "clip": "pixel",
    "mode": "eval",
    "threat": "linf",
}
"""The fields of a probe that not every attack reads, and what they are set to elsewhere."""


class Effort(NamedTuple):
    """What a sweep over eps takes of an attack, for each image."""

    eps: tuple[float, ...]
    """Of each probe, in pixel units."""
    steps: int
    starts: int
    loss: AttackLoss
    failed: float
    """Steps that fail, where an attack searches the eps at which an image breaks."""
    succeeded: float
    """Steps that succeed there."""
    repeated: float
    """`failed`, where one more attack is made below the eps at which one failed."""
    black_box: float
    """Queries that Square makes for each step of `strong`, where gradients mean little."""
    rotations: float
    """Whole degrees in the range of the test."""
    shifts: float
    """Whole pixels in its square."""


class Attack(NamedTuple):
    """All that is known of an attack where nothing is attacked."""

    label: str
    """What readers are shown."""
    reads: tuple[str, ...]
    """The fields of `UNREAD` that make a difference to it."""
    passes_per_image: Callable[[Effort], tuple[float, float]]
    """How many gradients an image takes, and how many forward passes beside the first."""
    run: str = ""
    """`module:function` in `rotgrid.attacks`: from a `Case` and the settings that its signature
    names to bool (eps, images), whether each image is still classified correctly. Empty for what
    is measured otherwise (`rotgrid.evaluation`)."""
    settings: str = ""
    """What a caption says of its settings."""
    steps: int = 40
    """Default."""
    losses: tuple[AttackLoss, ...] = ("ce",)
    """What it can climb."""
    label_rules: tuple[LabelRule, ...] = ("true",)
    """The labels that it can attack. With `predicted` its module has a function `perturb`, too."""
    threats: tuple[ThreatName, ...] = ("linf",)
    """The threat models that it has, the default first."""
    at_least_one: tuple[str, ...] = ()
    """The fields with which it makes no sense at 0. Elsewhere 0 steps look at the start alone,
    and 0 restarts are one start at the image."""
    starts: bool = False
    """Whether with 0 steps and 0 restarts it would look at the image alone."""
    fixed: Mapping[str, object] = {}
    """Fields that it does not read and that are not set as in `UNREAD`."""
    searches: bool = False
    """Whether it finds the eps at which each image breaks."""
    transforms: bool = False
    """Whether it rotates or shifts the images itself."""
    revision: int = 1
    """Part of the keys of its probes from 2 on, so that those and no others are measured again
    when it no longer does what it did."""

    def unread(self) -> dict[str, object]:
        """The fields that make no difference to it, and what they are set to."""
        unread = {field: value for field, value in UNREAD.items() if field not in self.reads}
        return unread | dict(self.fixed)


MOVED = ("test_rotation", "test_translation")
RADIUS = (*MOVED, "eps", "eps_unit", "threat")
STEPS = (*RADIUS, "steps", "label_rule")
CLIMBS = (*STEPS, "restarts", "loss")
CONVENTIONS = ("clip", "mode")
"""Read where `rotgrid.attacks.conventions` has a plain loop of the attack."""
BOTH: tuple[ThreatName, ...] = ("linf", "l2")
FMN_STEPS = 50
"""Of the search that goes before PGD in `fmn-pgd`: those of `fmn`, which it is no weaker than."""

LBFGS_WEIGHTS = 10
"""Minimisations of `lbfgs`, each with another weight of the cross-entropy."""

OURS: dict[str, Attack] = {
    "none": Attack("no attack", (*MOVED, "mode"), lambda e: (0, 0), run="case:no_attack"),
    "noise": Attack(
        label="random noise",
        reads=(*RADIUS, "restarts"),
        passes_per_image=lambda e: (0, len(e.eps) * e.starts),
        run="noise:noise_survival",
        settings="{draws}",
        threats=BOTH,
        at_least_one=("restarts",),
    ),
    "sign-noise": Attack(
        label="random sign noise",
        reads=(*RADIUS, "restarts"),
        passes_per_image=lambda e: (0, len(e.eps) * e.starts),
        run="noise:sign_noise_survival",
        settings="{draws}",
        at_least_one=("restarts",),
    ),
    "class-means": Attack(
        label="difference of class means",
        reads=(*RADIUS, "label_rule"),
        passes_per_image=lambda e: (0, len(e.eps)),
        run="class_means:survival",
    ),
    "fgsm": Attack(
        label="FGSM",
        reads=(*RADIUS, "label_rule", *CONVENTIONS),
        passes_per_image=lambda e: (1, len(e.eps)),
        run="fgsm:survival",
        settings="1 step",
        label_rules=("true", "predicted"),
        threats=BOTH,
        fixed={"steps": 1, "restarts": 1},
    ),
    "bim": Attack(
        label="Basic iterative method",
        reads=(*RADIUS, "label_rule"),
        passes_per_image=lambda e: (0.5 * sum(map(bim_steps, e.eps)), len(e.eps)),
        run="bim:survival",
        settings="steps of 1/255 from the image itself",
        label_rules=("true", "predicted"),
    ),
    "pgd": Attack(
        label="PGD",
        reads=(*CLIMBS, *CONVENTIONS),
        passes_per_image=lambda e: (e.failed + e.succeeded, e.starts),
        run="pgd:survival",
        settings="{steps}, {starts}",
        losses=("ce", "margin"),
        label_rules=("true", "predicted"),
        threats=BOTH,
        starts=True,
        searches=True,
    ),
    # Revision 2 of the four below: one more attack below the eps at which one failed; of `strong`
    # also all of Square's queries where gradients vanish, are false or mean little, and a start
    # for each target; of `fmn-pgd` also 50 steps of FMN.
    "apgd": Attack(
        label="Auto-PGD",
        reads=CLIMBS,
        passes_per_image=lambda e: (e.repeated * (9 if e.loss == "dlr" else 1), 2),
        run="apgd:survival",
        settings="{steps}, {starts}",
        steps=100,
        losses=("ce", "dlr"),
        threats=BOTH,
        starts=True,
        searches=True,
        revision=2,
    ),
    "square": Attack(
        label="Square",
        reads=(*STEPS, "restarts"),
        passes_per_image=lambda e: (0, 0.7 * (e.repeated + e.succeeded)),
        run="square:survival",
        settings="{queries}, {starts}",
        steps=1000,
        threats=BOTH,
        at_least_one=("restarts",),
        searches=True,
        revision=2,
    ),
    "fmn": Attack(
        label="Fast minimum norm",
        reads=STEPS,
        passes_per_image=lambda e: (e.steps, 0),
        run="fmn:survival",
        settings="{steps}",
        steps=50,
        threats=BOTH,
        at_least_one=("steps",),
        searches=True,
    ),
    "lbfgs": Attack(
        label="L-BFGS",
        reads=STEPS,
        passes_per_image=lambda e: (9 + LBFGS_WEIGHTS * e.steps, 1),
        run="lbfgs:survival",
        settings="{steps} of each of 10 minimisations",
        steps=20,
        threats=("l2",),
        at_least_one=("steps",),
        searches=True,
    ),
    "fmn-pgd": Attack(
        label="Fast minimum norm and PGD",
        reads=CLIMBS,
        passes_per_image=lambda e: (FMN_STEPS + e.repeated, e.starts),
        run="fmn_pgd:survival",
        settings="{steps}, {starts}",
        losses=("ce", "margin"),
        threats=BOTH,
        starts=True,
        searches=True,
        revision=2,
    ),
    "strong": Attack(
        label="Ensemble of attacks",
        reads=STEPS,
        # of the images that are left, 3 in 10 are taken to be near the boundary
        passes_per_image=lambda e: (
            e.steps + 17 + 4 * e.repeated,
            32 + (2.5 + e.black_box) * e.repeated,
        ),
        run="strong:survival",
        settings="{steps}; Fast minimum norm, Auto-PGD without and with targets, Square",
        steps=100,
        threats=BOTH,
        at_least_one=("steps",),
        searches=True,
        revision=2,
    ),
    "transfer": Attack(
        label="transferred PGD",
        reads=(*CLIMBS, "source"),
        passes_per_image=lambda e: (len(e.eps) * e.steps * e.starts, len(e.eps)),
        run="transfer:survival",
        settings="{steps}, {starts}",
        losses=("ce", "margin"),
        starts=True,
    ),
    "rotation-grid": Attack(
        label="worst rotation",
        reads=("test_rotation",),
        passes_per_image=lambda e: (0, 0.4 * e.rotations),
        settings="over all whole degrees in {rotations}",
        transforms=True,
    ),
    "translation-grid": Attack(
        label="worst shift",
        reads=("test_translation",),
        passes_per_image=lambda e: (0, 0.25 * e.shifts),
        settings="over all whole pixels in {shifts}, along both axes",
        transforms=True,
    ),
    "spatial-grid": Attack(
        label="worst rotation and shift",
        reads=MOVED,
        passes_per_image=lambda e: (0, 0.2 * 775),
        settings="over 31 rotations in {rotations}, times 5 x 5 shifts in {shifts}",
        transforms=True,
    ),
    "worst-of-10": Attack(
        label="worst of 10 rotations and shifts",
        reads=MOVED,
        passes_per_image=lambda e: (0, 6),
        settings="drawn from {rotations}, and {shifts}",
        transforms=True,
    ),
    "spatial-pgd": Attack(
        label="PGD at the worst rotations",
        reads=CLIMBS,
        passes_per_image=lambda e: (6.5 * (e.failed + e.succeeded), e.rotations),
        run="spatial_pgd:survival",
        settings="{steps}, {starts}, around the worst whole degree in {rotations}, "
        "around 10 draws of such rotations and of shifts in {shifts}",
        losses=("ce", "margin"),
        searches=True,
        transforms=True,
    ),
    "equivariance": Attack(
        label="class unchanged by a rotation",
        reads=("test_rotation",),
        passes_per_image=lambda e: (0, 1),
        transforms=True,
    ),
    "diagnostics": Attack(
        label="all checks",
        reads=(*STEPS, "restarts"),
        passes_per_image=lambda e: (300 + 3.5 * e.failed, 2_000),
        settings="of PGD with {steps}, {starts}",
        at_least_one=("steps", "restarts"),
    ),
}
"""In the order in which they are measured and shown."""


OWN_DEFAULTS = ("eps", "steps", "restarts", "loss")
"""Fields of a probe of an own attack whose defaults are those of its `def`."""


def unread_by_own(settings: Collection[str]) -> dict[str, object]:
    """The fields that make no difference to an own attack whose `def` names these settings, and
    what they are set to."""
    read = {*MOVED, *(field for field in OWN_DEFAULTS if field in settings)}
    read |= {"eps_unit", "threat"} if "eps" in settings else set()
    return {field: value for field, value in UNREAD.items() if field not in read}


def own_attack(name: str) -> Attack:
    """What holds for every own attack: it is made at each eps by itself."""
    return Attack(
        label=name,
        reads=CLIMBS,
        passes_per_image=lambda e: (len(e.eps) * max(1, e.steps) * e.starts, len(e.eps)),
        run="own:survival_of",
        losses=("ce", "margin", "dlr"),
        threats=BOTH,
    )


ATTACKS = Entries(OURS, own_attack)


def bim_steps(eps: float) -> float:
    """Steps of the iterative method, see `rotgrid.attacks.bim`."""
    levels = 255 * eps
    return min(levels + 4, 1.25 * levels)


if TYPE_CHECKING:
    AttackName: TypeAlias = str
else:
    AttackName = Literal[tuple(ATTACKS)] | OwnFunction
