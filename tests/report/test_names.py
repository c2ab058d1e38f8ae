from __future__ import annotations

import unicodedata
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from prunus.report.names import printable

BIDIRECTIONAL = ("LRE", "LRO", "RLE", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


@given(st.text())
def test_printable_text_goes_through_xml(text):
    element = ElementTree.Element("text")
    element.text = printable(text)
    assert ElementTree.fromstring(ElementTree.tostring(element)).text == (element.text or None)


@given(st.text())
def test_printable_text_holds_nothing_that_a_terminal_obeys(text):
    for character in printable(text):
        assert unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(character) not in BIDIRECTIONAL


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"))))
def test_what_can_be_shown_stays_as_it_is(text):
    assert printable(text) == text
