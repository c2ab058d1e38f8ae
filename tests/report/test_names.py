from __future__ import annotations

import unicodedata
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from prunus.report.names import printable, shortened

BIDIRECTIONAL = ("LRE", "LRO", "RLE", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
SHOOTOUT = [
    "magnitude, global, one-shot, finetune",
    "taylor, global, one-shot, finetune",
    "random, global, one-shot, finetune",
    "magnitude, channel, global, one-shot, finetune",
    "taylor, channel, global, one-shot, finetune",
    "wanda, channel, global, one-shot, finetune",
    "wanda, global, one-shot, finetune",
    "lamp, global, one-shot, finetune",
    "snip, global, one-shot, before training",
]
names = st.lists(
    st.lists(st.sampled_from(["a", "b", "global", "finetune", "channel"]), min_size=1, max_size=5).map(", ".join),
    min_size=1,
    max_size=12,
    unique=True,
)


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


def test_what_all_techniques_share_is_said_once():
    short = shortened(["magnitude, global, one-shot", "random, global, one-shot"])
    assert dict(short.of) == {"magnitude, global, one-shot": "magnitude", "random, global, one-shot": "random"}
    assert (short.usual, short.all_have_it) == ("global, one-shot", True)


def test_what_nearly_all_share_is_left_out_where_the_others_say_something_else():
    short = shortened(SHOOTOUT)
    assert (short.usual, short.all_have_it) == ("global, one-shot, finetune", False)
    assert short[SHOOTOUT[0]] == "magnitude"
    assert short[SHOOTOUT[3]] == "magnitude, channel"
    assert short[SHOOTOUT[-1]] == "snip, before training"


def test_of_few_names_only_what_all_share_is_left_out():
    assert shortened([*SHOOTOUT[:7], SHOOTOUT[-1]]).usual == "global, one-shot"


def test_a_bare_name_keeps_the_others_long():
    assert shortened([*SHOOTOUT, "mine"]).usual == ""


def test_names_that_would_be_equal_stay_long():
    alike = ["a, global", "a, global, global", "b, global", "c, global"]
    assert dict(shortened(alike).of) == {name: name for name in alike}


def test_one_technique_keeps_its_name_and_an_unknown_one_its_own():
    assert shortened(["magnitude, global"])["magnitude, global"] == "magnitude, global"
    assert shortened(SHOOTOUT)["dense"] == "dense"


@given(names)
def test_short_names_differ_and_begin_like_the_long_ones(long):
    short = shortened(long)
    assert len({short[name] for name in long}) == len(long)
    for name in long:
        assert name.split(", ")[0] == short[name].split(", ")[0]
        assert set(short[name].split(", ")) <= set(name.split(", "))


@given(names)
def test_a_short_name_of_one_part_stands_for_all_that_is_usual(long):
    short = shortened(long)
    for name in long:
        if short.usual and ", " not in short[name]:
            assert set(short.usual.split(", ")) <= set(name.split(", ")[1:])
