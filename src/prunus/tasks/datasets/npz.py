"""MNIST as one NumPy archive: x_train, y_train, x_test, y_test."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from prunus.errors import DataError
from prunus.tasks.datasets.pool import Pool

_KEYS = ("x_train", "y_train", "x_test", "y_test")


def read_npz(path: Path) -> tuple[Pool, Pool]:
    """Training and test images; arrays only, never pickled objects.

    Raises:
        DataError: the file is truncated or malformed, or lacks an array.
    """
    try:
        # opened here: of a file that is no archive, np.load leaves its own stream open
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            x_train, y_train, x_test, y_test = (archive[key] for key in _KEYS)
    except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is not a NumPy archive of {', '.join(_KEYS)}: {error}; fetch it again") from error
    return Pool(x_train, y_train), Pool(x_test, y_test)
