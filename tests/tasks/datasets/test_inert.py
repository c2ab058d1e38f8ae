from __future__ import annotations

import builtins
import collections
import contextlib
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunus.errors import DataError
from prunus.tasks.datasets.inert import Recorded, unpickle_inert

PATH = Path("batch")
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.binary(), inner) | st.tuples(inner, inner),
)


@given(plain)
def test_plain_values_are_read_as_they_were_written(value):
    assert unpickle_inert(pickle.dumps(value), PATH) == value


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (builtins.eval, "__builtin__.eval"),
        (collections.OrderedDict(), "collections.OrderedDict"),
        (Path("x"), "pathlib"),
        (b"protocol 2 wraps bytes", "_codecs.encode"),
    ],
)
def test_every_name_that_is_not_needed_is_refused(value, name):
    with pytest.raises(DataError, match=f"batch was refused: it refers to {name}"):
        unpickle_inert(pickle.dumps(value, protocol=2), PATH)


def test_what_is_allowed_is_written_down_and_not_made():
    read = unpickle_inert(b"cnumpy\nndarray\n(K\x05tR.", PATH)
    assert isinstance(read, Recorded)
    assert read.arguments == (5,)


def test_a_name_within_an_allowed_module_is_refused():
    with pytest.raises(DataError, match=r"numpy\.fromfile"):
        unpickle_inert(b"cnumpy\nfromfile\n(V/etc/passwd\ntR.", PATH)


def test_objects_outside_the_file_are_refused():
    with pytest.raises(DataError, match="outside itself"):
        unpickle_inert(b"Pelsewhere\n.", PATH)


@given(st.binary(max_size=80))
def test_arbitrary_bytes_give_a_plain_value_or_a_data_error(data):
    value = None
    with contextlib.suppress(DataError):
        value = unpickle_inert(data, PATH)
    assert value is Recorded or not callable(value)
