"""Data of the user's own: `name.npz`, whose form `rotgrid.spec.archives` describes."""

import numpy as np

from rotgrid.data.files import DataError
from rotgrid.data.parts import KEYS, Arrays
from rotgrid.spec.archives import describe
from rotgrid.spec.datasets import Shape
from rotgrid.spec.extensions import find_data


def read_own(name: str) -> tuple[Shape, Arrays]:
    """The shape and the arrays of a file of that name.

    Raises:
        DataError: it is missing, or not as it should be.
    """
    try:
        path = find_data(name)
        shape = describe(path).shape
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in KEYS}
    except (ValueError, OSError) as error:
        raise DataError(str(error)) from error
    channels, size = shape[:2]
    for key, array in arrays.items():
        if key.endswith("_labels"):
            arrays[key] = array.astype(np.int64)
        else:
            arrays[key] = np.ascontiguousarray(array.reshape(-1, channels, size, size))
    return shape, arrays
