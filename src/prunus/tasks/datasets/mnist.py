"""MNIST: 70,000 handwritten digits."""

from __future__ import annotations

from pathlib import Path

from prunus.tasks.datasets.hub import Repository
from prunus.tasks.datasets.idx import read_idx_folder
from prunus.tasks.datasets.images import Look
from prunus.tasks.datasets.npz import read_npz
from prunus.tasks.datasets.sources import ImageSource, Layout, load_images
from prunus.tasks.task import Data

SOURCE = ImageSource(
    Look("mnist", class_names=tuple("0123456789"), mean=(0.1307,), std=(0.3081,)),
    sizes=(55_000, 5_000, 10_000),
    layouts=(
        Layout("mnist.npz", read_npz),
        Layout("mnist/train-images-idx3-ubyte*", read_idx_folder),
        Layout("MNIST/raw/train-images-idx3-ubyte*", read_idx_folder),
    ),
    repository=Repository("ylecun/mnist"),
)


def load(folder: Path | None = None) -> Data:
    """55,000 / 5,000 / 10,000 grey images of 28×28; inputs float32 (N, 1, 28, 28).

    Standardised by the mean 0.1307 and the standard deviation 0.3081 of the 60,000 training images. The validation
    split is taken from those, by class; the test split is MNIST's own.

    Args:
        folder: where its files are, instead of the environment variable PRUNUS_DATA.

    Raises:
        DataError: the data set is missing or malformed.

    Source: LeCun et al. 1998, Proc. IEEE 86(11).
    """
    return load_images(SOURCE, folder)
