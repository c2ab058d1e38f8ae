"""Fashion-MNIST: 70,000 articles of clothing."""

from __future__ import annotations

from pathlib import Path

from prunus.tasks.datasets.hub import Repository
from prunus.tasks.datasets.idx import read_idx_folder
from prunus.tasks.datasets.images import Look
from prunus.tasks.datasets.sources import ImageSource, Layout, load_images
from prunus.tasks.task import Data

_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SOURCE = ImageSource(
    Look("fashion", _CLASSES, mean=(0.2860,), std=(0.3530,)),
    sizes=(55_000, 5_000, 10_000),
    layouts=(
        Layout("fashion/train-images-idx3-ubyte*", read_idx_folder),
        Layout("FashionMNIST/raw/train-images-idx3-ubyte*", read_idx_folder),
    ),
    repository=Repository("zalando-datasets/fashion_mnist"),
)


def load(folder: Path | None = None) -> Data:
    """55,000 / 5,000 / 10,000 grey images of 28×28; inputs float32 (N, 1, 28, 28).

    Standardised by the mean 0.2860 and the standard deviation 0.3530 of the 60,000 training images. The validation
    split is taken from those, by class; the test split is Fashion-MNIST's own.

    Args:
        folder: where its files are, instead of the environment variable PRUNUS_DATA.

    Raises:
        DataError: the data set is missing or malformed.

    Source: Xiao et al. 2017 (arXiv:1708.07747), table 2 for the classes.
    """
    return load_images(SOURCE, folder)
