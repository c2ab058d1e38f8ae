"""The IDX format of MNIST: a magic number, the dimensions, the bytes; plain or gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from prunus.errors import DataError
from prunus.tasks.datasets.pool import Pool

_UINT8 = 0x08


def read_idx_folder(marker: Path) -> tuple[Pool, Pool]:
    """Training and test images beside ``marker``, under the names that MNIST gave its files.

    Raises:
        DataError: a file is missing, truncated or malformed.
    """
    training, test = (
        Pool(
            read_idx(_plain_or_gzipped(marker.parent, f"{stem}-images-idx3-ubyte"), dimensions=3),
            read_idx(_plain_or_gzipped(marker.parent, f"{stem}-labels-idx1-ubyte"), dimensions=1),
        )
        for stem in ("train", "t10k")
    )
    return training, test


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The uint8 array in an IDX file, gzipped if its name ends in .gz.

    Raises:
        DataError: the file cannot be read, or is not an IDX file of bytes with that many dimensions.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    start = 4 + 4 * dimensions
    if len(data) < start or data[:4] != bytes((0, 0, _UINT8, dimensions)):
        raise DataError(f"{path} is not an IDX file of bytes with {dimensions} dimensions: fetch it again")
    shape = tuple(int.from_bytes(data[offset : offset + 4], "big") for offset in range(4, start, 4))
    if len(data) - start != math.prod(shape):
        raise DataError(f"{path} announces {math.prod(shape):,} bytes but holds {len(data) - start:,}: fetch it again")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _plain_or_gzipped(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    raise DataError(f"{folder / name} is missing, plain or with .gz: fetch it again")
