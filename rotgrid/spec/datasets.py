"""The data sets: an entry each, with the shape of its images."""

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from rotgrid.spec.entries import OwnData


class Shape(NamedTuple):
    """What a network has to know of its images."""

    channels: int
    size: int
    """Rows and columns: images are square."""
    classes: int
    mean: tuple[float, ...]
    """Of the pixels of the training images, which lie in [0, 1], by channel."""
    std: tuple[float, ...]
    """Their standard deviation, by channel."""


class DataSet(NamedTuple):
    """A data set: its shape, how many images each part has, and what readers are shown."""

    train: int
    val: int
    test: int
    shape: Shape
    label: str = ""


MNIST_SHAPE = Shape(1, 28, 10, (0.1307,), (0.3081,))
FASHION_SHAPE = Shape(1, 28, 10, (0.2860,), (0.3530,))
ROTATED_SHAPE = Shape(1, 28, 10, (0.130,), (0.297,))
CIFAR_SHAPE = Shape(3, 32, 10, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))

DATA: dict[str, DataSet] = {
    "mnist5k": DataSet(
        3_500, 500, 1_000, MNIST_SHAPE, "MNIST-5k subset (not MNIST test accuracy)"
    ),
    "mnist": DataSet(55_000, 5_000, 10_000, MNIST_SHAPE, "MNIST"),
    "fashion-mnist": DataSet(55_000, 5_000, 10_000, FASHION_SHAPE, "Fashion-MNIST"),
    "mnist-rot": DataSet(10_000, 2_000, 50_000, ROTATED_SHAPE, "MNIST-rot"),
    "cifar10": DataSet(45_000, 5_000, 10_000, CIFAR_SHAPE, "CIFAR-10"),
}

if TYPE_CHECKING:
    DataName: TypeAlias = str
else:
    DataName = Literal[tuple(DATA)] | OwnData
