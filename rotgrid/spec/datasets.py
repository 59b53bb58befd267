"""The data sets: an entry each."""

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias


class Split(NamedTuple):
    """A data set: how many images each part has, and what readers are shown."""

    train: int
    val: int
    test: int
    label: str = ""


DATA: dict[str, Split] = {
    "mnist5k": Split(3_500, 500, 1_000, "MNIST-5k subset (not MNIST test accuracy)"),
    "mnist": Split(55_000, 5_000, 10_000, "MNIST"),
}

if TYPE_CHECKING:
    DataName: TypeAlias = str
else:
    DataName = Literal[tuple(DATA)]
