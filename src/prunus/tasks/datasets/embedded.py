"""Data sets that come with an installed package, in one piece."""

from __future__ import annotations

import gzip
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from prunus.errors import DataError
from prunus.tasks.datasets.images import Look, image_data
from prunus.tasks.datasets.pool import Pool
from prunus.tasks.datasets.splits import stratified
from prunus.tasks.task import Data


def package_file(package: str, *parts: str) -> Path:
    """A file in an installed package, found without importing it: importing may take seconds, reading does not.

    Raises:
        DataError: the package is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DataError(f"the data come with the package {package}, which is not installed: pip install prunus again")
    return Path(spec.origin).parent.joinpath(*parts)


def read_table(path: Path, side: int) -> Pool:
    """Square grey images from a gzipped table: ``side`` × ``side`` pixels and the label on each line.

    Raises:
        DataError: the file cannot be read or is no such table.
    """
    try:
        lines = gzip.decompress(path.read_bytes()).decode("ascii").splitlines()
        rows = np.loadtxt(lines, delimiter=",", dtype=np.uint8, ndmin=2)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} is not a gzipped table of images: {error}; install its package again") from error
    if rows.shape[1] != side * side + 1:
        raise DataError(
            f"{path} must have {side * side + 1} numbers on each line, got {rows.shape[1]}; install its package again"
        )
    return Pool(rows[:, :-1].reshape(-1, side, side), rows[:, -1])


def split_whole(look: Look, pool: Pool, sizes: tuple[int, int, int]) -> Data:
    """One pool, split by class into train, validation and test.

    Raises:
        DataError: the pool has another number of examples than ``sizes`` together.
    """
    if len(pool) != sum(sizes):
        raise DataError(
            f"{look.name!r} must have {sum(sizes):,} images, found {len(pool):,}: "
            "the package that carries them has changed; install another version of it"
        )
    pool = pool.in_canonical_order()
    train, validation, test = (pool.take(indices) for indices in stratified(pool.labels, sizes))
    return image_data(look, train, validation, test)
