from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from prunus.tasks.datasets.hub import Repository
from prunus.tasks.datasets.idx import read_idx_folder
from prunus.tasks.datasets.images import Look
from prunus.tasks.datasets.npz import read_npz
from prunus.tasks.datasets.pool import Pool
from prunus.tasks.datasets.sources import ImageSource, Layout


@pytest.fixture
def pools() -> tuple[Pool, Pool]:
    """40 training and 10 test images of 6×6 in two classes."""
    random = np.random.RandomState(0)
    return tuple(
        Pool(random.randint(0, 256, (count, 6, 6)).astype(np.uint8), np.arange(count).astype(np.uint8) % 2)
        for count in (40, 10)
    )


@pytest.fixture
def source() -> ImageSource:
    """A data set of two classes as small as ``pools``, in two layouts."""
    return ImageSource(
        Look("stripes", ("even", "odd"), mean=(0.5,), std=(0.25,)),
        sizes=(30, 10, 10),
        layouts=(Layout("stripes.npz", read_npz), Layout("raw/train-images-idx3-ubyte*", read_idx_folder)),
        repository=Repository("someone/stripes"),
    )


@pytest.fixture
def no_data(monkeypatch):
    """Neither a data folder nor Hugging Face."""
    monkeypatch.delenv("PRUNUS_DATA", raising=False)
    monkeypatch.setattr("prunus.tasks.datasets.sources.hub_package", lambda: None)


@pytest.fixture(scope="session")
def real_file():
    """A function from a file's path below a data folder to its whole path; skips where there is none."""

    def find(relative: str) -> Path:
        for part in os.environ.get("PRUNUS_DATA", "").split(os.pathsep):
            if part and list(Path(part).glob(relative)):
                return Path(part) / relative
        pytest.skip(f"no folder in PRUNUS_DATA holds {relative}")

    return find
