"""CIFAR-10 in the two forms its authors publish: pickled batches for Python, and binary ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from prunus.errors import DataError
from prunus.tasks.datasets.inert import Recorded, unpickle_inert
from prunus.tasks.datasets.pool import Pool

_PIXELS = 3 * 32 * 32
_TRAINING = range(1, 6)


def read_python_batches(marker: Path) -> tuple[Pool, Pool]:
    """Training and test images from the folder of ``marker``, layout ``cifar-10-batches-py``.

    Raises:
        DataError: a file is missing, truncated or malformed, or asks for code to be run.
    """
    folder = marker.parent
    training = [_python_batch(folder / f"data_batch_{number}") for number in _TRAINING]
    return _joined(training), _python_batch(folder / "test_batch")


def read_binary_batches(marker: Path) -> tuple[Pool, Pool]:
    """Training and test images from the folder of ``marker``, layout ``cifar-10-batches-bin``.

    Raises:
        DataError: a file is missing, truncated or malformed.
    """
    folder = marker.parent
    training = [_binary_batch(folder / f"data_batch_{number}.bin") for number in _TRAINING]
    return _joined(training), _binary_batch(folder / "test_batch.bin")


def _python_batch(path: Path) -> Pool:
    batch = unpickle_inert(_read(path), path)
    try:
        labels = np.array(batch[b"labels"], np.uint8)
        pixels = _array_bytes(batch[b"data"])
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise DataError(f"{path} is not a batch of CIFAR-10: {error!r}; fetch it again") from error
    return Pool(_images(path, np.frombuffer(pixels, np.uint8)), labels)


def _array_bytes(array: Any) -> bytes:
    """The content of a pickled NumPy array: its state is (version, shape, type, Fortran order, bytes)."""
    if not isinstance(array, Recorded):
        raise TypeError(f"data must be an array, got {type(array).__name__}")
    _, _, element_type, fortran_order, content = array.state
    if element_type.arguments[0] not in (b"u1", "u1") or fortran_order or not isinstance(content, bytes):
        raise TypeError("data must be an array of bytes in row-major order")
    return content


def _binary_batch(path: Path) -> Pool:
    content = np.frombuffer(_read(path), np.uint8)
    if len(content) % (1 + _PIXELS):
        raise DataError(
            f"{path} must hold {1 + _PIXELS:,} bytes per image, got {len(content):,} in all: it is truncated; "
            "fetch it again"
        )
    rows = content.reshape(-1, 1 + _PIXELS)
    return Pool(_images(path, rows[:, 1:].reshape(-1)), rows[:, 0].copy())


def _images(path: Path, pixels: np.ndarray) -> np.ndarray:
    if len(pixels) % _PIXELS:
        raise DataError(f"{path} must hold {_PIXELS:,} bytes per image, got {len(pixels):,} in all: fetch it again")
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def _joined(pools: list[Pool]) -> Pool:
    return Pool(np.concatenate([pool.images for pool in pools]), np.concatenate([pool.labels for pool in pools]))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}; fetch it again") from error
