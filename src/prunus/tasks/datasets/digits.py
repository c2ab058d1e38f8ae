"""1,797 digits of 8×8 pixels that the package scikit-learn carries: small enough for unit tests."""

from __future__ import annotations

from pathlib import Path

from prunus.tasks.datasets.embedded import package_file, read_table, split_whole
from prunus.tasks.datasets.images import Look
from prunus.tasks.task import Data

LOOK = Look("digits", class_names=tuple("0123456789"), mean=(0.3053,), std=(0.3760,), full_scale=16.0)
SIZES = (1197, 300, 300)


def load(folder: Path | None = None) -> Data:
    """1,197 / 300 / 300 grey images of 8×8, split by class; inputs float32 (N, 1, 8, 8).

    Standardised by the mean 0.3053 and the standard deviation 0.3760 of all 1,797, after division by 16.

    Args:
        folder: not looked at; the images are part of the installation.

    Raises:
        DataError: the package or its file is missing or malformed.

    Source: Alpaydin & Kaynak 1998, UCI Optical Recognition of Handwritten Digits; from scikit-learn.
    """
    return split_whole(LOOK, read_table(package_file("sklearn", "datasets", "data", "digits.csv.gz"), side=8), SIZES)
