"""CIFAR-10: 60,000 small colour photographs."""

from __future__ import annotations

from pathlib import Path

from prunus.tasks.datasets.cifar_files import read_binary_batches, read_python_batches
from prunus.tasks.datasets.hub import Repository
from prunus.tasks.datasets.images import Look
from prunus.tasks.datasets.sources import ImageSource, Layout, load_images
from prunus.tasks.datasets.strips import read_strips
from prunus.tasks.task import Data

_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SOURCE = ImageSource(
    Look("cifar10", _CLASSES, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    sizes=(45_000, 5_000, 10_000),
    layouts=(
        Layout("cifar10/data_batch_1.png", read_strips),
        Layout("cifar-10-batches-bin/data_batch_1.bin", read_binary_batches),
        Layout("cifar-10-batches-py/data_batch_1", read_python_batches),
    ),
    repository=Repository("uoft-cs/cifar10", images="img"),
)


def load(folder: Path | None = None) -> Data:
    """45,000 / 5,000 / 10,000 colour images of 32×32; inputs float32 (N, 3, 32, 32), red, green, blue.

    Standardised by the mean and standard deviation of ImageNet, which the pretrained CIFAR ResNets in common
    circulation expect. The validation split is taken from the 50,000 training images, by class; the test split is
    CIFAR-10's own.

    Args:
        folder: where its files are, instead of the environment variable PRUNUS_DATA.

    Raises:
        DataError: the data set is missing or malformed.

    Source: Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.
    """
    return load_images(SOURCE, folder)
