"""Data sets of images from a folder, in any of several layouts, or from the Hugging Face hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prunus.errors import DataError
from prunus.tasks.datasets.hub import Repository, hub_package, read_repository
from prunus.tasks.datasets.images import Look, image_data
from prunus.tasks.datasets.pool import Pool
from prunus.tasks.datasets.splits import stratified
from prunus.tasks.task import Data

ENVIRONMENT = "PRUNUS_DATA"


@dataclass(frozen=True)
class Layout:
    """One way in which a data set lies in a folder.

    Attributes:
        marker: a file, relative to the folder, by which the layout is recognised; may end in ``*``.
        read: that file's path → the training and the test images.
    """

    marker: str
    read: Callable[[Path], tuple[Pool, Pool]]


@dataclass(frozen=True)
class ImageSource:
    """Where a data set comes from, and how large it must be.

    Attributes:
        look: its name, classes and scaling.
        sizes: examples of the train, validation and test split; the first two are split from one file.
        layouts: tried in this order.
        repository: where it is on the hub.
    """

    look: Look
    sizes: tuple[int, int, int]
    layouts: tuple[Layout, ...]
    repository: Repository


def load_images(source: ImageSource, folder: Path | None) -> Data:
    """The data set from ``folder``, else from the folders in PRUNUS_DATA, else from the hub.

    Args:
        source: what to look for.
        folder: one folder; None means those that the environment variable PRUNUS_DATA names, separated as in PATH.

    Raises:
        DataError: the data set is nowhere, cannot be read, or has another size than it must.
    """
    training, test = _read(source, folder)
    train_size, validation_size, test_size = source.sizes
    for kind, found, expected in (
        ("training", len(training), train_size + validation_size),
        ("test", len(test), test_size),
    ):
        if found != expected:
            raise DataError(
                f"{source.look.name!r} must have {expected:,} {kind} images, found {found:,}: fetch its files again"
            )
    training, test = training.in_canonical_order(), test.in_canonical_order()
    train, validation = stratified(training.labels, (train_size, validation_size))
    (shuffled,) = stratified(test.labels, (test_size,))
    return image_data(source.look, training.take(train), training.take(validation), test.take(shuffled))


def _read(source: ImageSource, folder: Path | None) -> tuple[Pool, Pool]:
    folders = [folder] if folder is not None else _folders_of_environment()
    for candidate in folders:
        for layout in source.layouts:
            found = sorted(candidate.glob(layout.marker))
            if found:
                return layout.read(found[0])
    package = hub_package()
    if package is None:
        raise DataError(_missing(source, folders))
    return read_repository(package, source.repository)


def _folders_of_environment() -> list[Path]:
    return [Path(part).expanduser() for part in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if part]


def _missing(source: ImageSource, folders: list[Path]) -> str:
    searched = f"searched {', '.join(map(str, folders))}" if folders else f"{ENVIRONMENT} is not set"
    markers = ", ".join(layout.marker for layout in source.layouts)
    return (
        f"the data set {source.look.name!r} was not found ({searched}). Either set {ENVIRONMENT} to a folder that "
        f"holds one of {markers}; or let Hugging Face fetch it: pip install 'prunus[hf]'"
    )
