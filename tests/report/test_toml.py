from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunus.report.toml import to_toml

keys = st.text(st.characters(codec="utf-8"), max_size=12)
scalars = (
    st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8"))
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(keys, values, max_size=4))
def test_toml_reads_back_as_it_was(recipe):
    assert tomllib.loads(to_toml(recipe)) == recipe


def test_what_is_none_is_left_out():
    assert to_toml({"a": None, "b": [{"c": None, "d": 1}]}) == "[[b]]\nd = 1\n"


@pytest.mark.parametrize("text", ['"quoted"', "\x7f", "line\nbreak", "技術", "\\"])
def test_awkward_text_is_quoted(text):
    assert tomllib.loads(to_toml({text: text})) == {text: text}
