"""The architectures: an entry each, with all that is known of it where no network is built.

`rotgrid.models.<name>.build(variant, shape)` builds the network.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from rotgrid.spec.entries import Entries, OwnFunction, is_own
from rotgrid.spec.fits import Fits, any_shape, at_least, even_pools
from rotgrid.spec.recipes import PAPER, RECIPE_NAMES, RECIPES, Recipe, RecipeName, adam


class Model(NamedTuple):
    """An architecture."""

    label: str
    """What readers are shown."""
    variants: Mapping[str, float]
    """The variants, the default first, each with the multiply-adds of a forward pass of one image
    of MNIST, without the building of filters (`rotgrid.cost.work` scales them). `matched-X` has
    the parameter count of the other model's variant X (as near as whole widths allow)."""
    fits: Fits
    """What is wrong with images of a shape for any of the variants (`rotgrid.spec.fits`)."""
    original: Recipe
    """How its authors (or, failing them, the code that we follow) trained it."""
    recipes: Mapping[str, Mapping[str, object]] = {}
    """What a recipe sets for it alone."""
    least_batch: int = 1
    """Images that it can train on at once."""

    @property
    def default(self) -> str:
        """The first variant."""
        return next(iter(self.variants))


OWN_WORK = 10e6
"""Multiply-adds of an own network, of which nothing is known before it is built."""

# He et al. 2016, section 4.2: the rate falls after half and after three quarters of 64,000 steps,
# in round numbers of epochs as in akamaster/pytorch_resnet_cifar10.
RESIDUAL = Recipe(
    optimizer="sgd",
    momentum=0.9,
    weight_decay=1e-4,
    schedule="milestones",
    learning_rate=0.1,
    batch_size=128,
    epochs=200,
    milestones=(0.5, 0.75),
)

OURS: dict[str, Model] = {
    "stdcnn": Model(
        label="StdCNN",
        variants={
            "table1": 1.01e6,
            "doubled": 3.87e6,
            "matched-table1": 6.98e6,
            "matched-halved": 2.21e6,
        },
        fits=at_least(16),
        original=PAPER,
    ),
    "gcnn": Model(
        label="GCNN",
        variants={
            "table1": 15.17e6,
            "halved": 3.87e6,
            "matched-table1": 1.43e6,
            "matched-doubled": 7.50e6,
            "orbit": 15.12e6,
        },
        fits=even_pools(16, (4, 4)),
        original=PAPER,
    ),
    "hnet": Model(
        label="H-Net",
        variants={"fixed": 87.18e6, "2018": 87.18e6},
        fits=even_pools(4, (0, 0)),
        # Worrall et al. 2017: the rate falls after every 50 epochs.
        original=adam(0.0076, 46, 200, schedule="milestones", milestones=(0.25, 0.5, 0.75)),
        # Its first weights are of the size 0.01 and its first logits of the size 10: Adam's steps
        # of 0.005 throw the weights about for as long as a short training lasts, and SGD's at a
        # rate of 1e-3 make the loss grow. It also learns slower than others.
        recipes={
            "fast": {"learning_rate": 1e-3, "epochs": 8},
            "converged": {"learning_rate": 1e-3, "epochs": 60},
            "paper": {"learning_rate": 1e-5},
            "paper-long": {"learning_rate": 1e-5},
        },
    ),
    "ptn": Model(
        label="PTN",
        variants={"base": 12.68e6, "small": 5.47e6},
        fits=at_least(5),
        original=adam(0.01, 200, 500),  # Esteves et al. 2018
    ),
    "roteqnet": Model(
        label="RotEqNet",
        variants={"exact": 59.71e6, "zoomed": 59.71e6, "sixteen": 56.20e6},
        fits=even_pools(4, (0, 0)),
        # COGMAR/RotEqNet: the rate falls after 20 and 40 epochs.
        original=adam(0.01, 128, 90, schedule="milestones", milestones=(20 / 90, 40 / 90)),
        least_batch=2,  # batch norm has a single value a map
    ),
    "capsnet": Model(
        label="CapsNet",
        variants={"table": 206.8e6, "narrow": 15.86e6},
        fits=at_least(17),
        # Sabour et al. 2017: 0.96 per 2,000 steps; 300,000 steps of 128 of 60,000 images.
        original=adam(1e-3, 128, 640, schedule="exponential", decay=0.96 ** (1 / 2000)),
    ),
    "z2cnn": Model(
        label="Z2CNN",
        variants={"base": 2.98e6},
        fits=at_least(24),
        original=adam(1e-3, 128, 300),  # Cohen & Welling 2016
    ),
    "p4cnn": Model(
        label="P4CNN",
        variants={"base": 11.67e6, "rotation-pooling": 11.90e6},
        fits=even_pools(22, (4,)),
        original=adam(1e-3, 128, 100),
    ),
    "tipooling": Model(
        label="TI-Pooling",
        variants={"narrow": 28.52e6, "full": 677.4e6},
        fits=at_least(4),
        original=adam(1e-4, 64, 100),  # dlaptev/TI-pooling, TensorFlow; no number of epochs given
    ),
    "cyclic": Model(
        label="Cyclic",
        variants={"pool": 4.02e6, "roll": 6.38e6},
        fits=at_least(16),
        original=PAPER,  # no MNIST network was published: that of Table 1, which ours derives from
    ),
    "dren": Model(
        label="DREN",
        variants={"x4": 11.65e6, "max-x4": 11.67e6},
        fits=even_pools(22, (4,)),
        # Li et al. 2017: 400,000 steps of 32 of 12,000 images, the rate falls after every 120,000.
        original=adam(
            1e-3, 32, 1067, weight_decay=1e-4, schedule="milestones", milestones=(0.3, 0.6, 0.9)
        ),
    ),
    "steerable": Model(
        label="Steerable (e2cnn)",
        variants={"c4": 19.62e6, "c8": 37.48e6, "so2": 25.34e6, "gcnn": 15.17e6},
        fits=even_pools(28, (4, 0)),
        original=adam(1e-3, 128, 100),  # no MNIST network was published: that of p4cnn
    ),
    "emcaps": Model(
        label="EM capsules",
        variants={"small": 7.20e6},
        fits=at_least(13),
        original=adam(0.01, 128, 30),  # yl-1993; there the rate also falls when accuracy stalls
    ),
    "madrycnn": Model(
        label="Madry CNN",
        variants={"base": 13.88e6},
        fits=at_least(4),
        original=adam(1e-4, 50, 90),  # Madry et al. 2018: 100,000 steps, PGD 40 x eps / 30
    ),
    "resnet": Model(
        label="ResNet",
        variants={"base": 30.82e6},
        fits=at_least(8),
        original=RESIDUAL,
    ),
    "p4resnet": Model(
        label="P4ResNet",
        variants={"base": 491.8e6, "matched-base": 123.1e6},
        fits=even_pools(4, (0, 0)),
        original=RESIDUAL,
    ),
}
"""In the order of legends, the paper's six first."""


def own_model(name: str) -> Model:
    """What holds for every own network."""
    return Model(label=name, variants={"": OWN_WORK}, fits=any_shape, original=PAPER)


MODELS = Entries(OURS, own_model)

if TYPE_CHECKING:
    ModelName: TypeAlias = str
else:
    ModelName = Literal[tuple(MODELS)] | OwnFunction


def recipe_of(name: RecipeName, model: ModelName) -> Recipe:
    """The recipe of that name for that model.

    Raises:
        KeyError: there is none.
    """
    if name == "original":
        return MODELS[model].original
    own = MODELS[model].recipes.get(name)
    return RECIPES[name].model_copy(update=own) if own else RECIPES[name]


def canonical_recipe(name: RecipeName, model: ModelName) -> RecipeName:
    """The first recipe with the same contents for that model: `original` is `paper` for some."""
    if is_own(model):
        return name
    contents = recipe_of(name, model)
    return next(other for other in RECIPE_NAMES if recipe_of(other, model) == contents)
