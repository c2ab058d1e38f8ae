"""Images from the Hugging Face hub, through its package ``datasets`` (extra ``hf``)."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from prunus.errors import DataError
from prunus.tasks.datasets.pool import Pool


@dataclass(frozen=True)
class Repository:
    """Where a data set of images is on the hub, and how its columns are called."""

    name: str
    images: str = "image"
    labels: str = "label"


def hub_package() -> Any | None:
    """The package ``datasets``, or None where it is not installed."""
    spec = find_spec("datasets")
    # a mere folder called datasets, beside the user's script, has a spec too, but no file of its own
    return importlib.import_module("datasets") if spec is not None and spec.origin is not None else None


def read_repository(package: Any, repository: Repository) -> tuple[Pool, Pool]:
    """Training and test images, downloaded or from the package's own cache.

    Args:
        package: the module ``datasets``.
        repository: what to fetch.

    Raises:
        DataError: the download fails, or what comes is no such data set.
    """
    training, test = (_read_split(package, repository, split) for split in ("train", "test"))
    return training, test


def _read_split(package: Any, repository: Repository, split: str) -> Pool:
    try:
        columns = package.load_dataset(repository.name, split=split).with_format("numpy")[:]
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot fetch {repository.name!r} from the Hugging Face hub: {error}; "
            "without a network, set PRUNUS_DATA to a folder that holds the data set"
        ) from error
    missing = [name for name in (repository.images, repository.labels) if name not in columns]
    if missing:
        raise DataError(
            f"{repository.name!r} on the Hugging Face hub has no column {', '.join(missing)}: "
            f"there are {', '.join(sorted(columns))}"
        )
    labels = np.asarray(columns[repository.labels])
    if labels.dtype.kind not in "iu" or labels.size == 0 or labels.min() < 0 or labels.max() > 255:
        raise DataError(f"the labels of {repository.name!r} on the Hugging Face hub must be integers from 0 to 255")
    return Pool(np.asarray(columns[repository.images]), labels.astype(np.uint8))
