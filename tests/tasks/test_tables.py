from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import prunus.tasks
from prunus.tasks.tables import AUGMENTATIONS, DATASETS, MODELS


def test_tables_and_package_are_free_of_torch():
    code = "import sys, prunus.tasks, prunus.tasks.tables; list(prunus.tasks.DATASETS); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_all_is_sorted_and_can_be_imported():
    constants = [name for name in prunus.tasks.__all__ if name.isupper()]
    rest = [name for name in prunus.tasks.__all__ if not name.isupper()]
    assert constants == sorted(constants)
    assert rest == sorted(rest)
    assert all(getattr(prunus.tasks, name) is not None for name in prunus.tasks.__all__)


@pytest.mark.parametrize("table", [DATASETS, MODELS, AUGMENTATIONS], ids=lambda table: table.kind)
def test_every_entry_can_be_loaded_and_says_what_it_is(table):
    assert len(table) > 0
    for name, entry in table.items():
        assert callable(entry.load()), name
        assert entry.summary, name


def test_signatures_are_those_of_their_table():
    assert {tuple(inspect.signature(entry.load()).parameters) for entry in DATASETS.values()} == {("folder",)}
    assert {tuple(inspect.signature(entry.load()).parameters) for entry in MODELS.values()} == {
        ("input_shape", "classes")
    }


def test_augmentations_belong_to_data_sets():
    assert set(AUGMENTATIONS) <= set(DATASETS)
