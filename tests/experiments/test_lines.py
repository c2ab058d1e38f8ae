from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from prunus.experiments.lines import key_lines, line_of

WORDS = st.text("abcdefgh_-1", min_size=1, max_size=6)
QUOTED = st.text("ab .[]#='", min_size=1, max_size=6).map(lambda text: (f'"{text}"', text))
NAMES = st.one_of(WORDS.map(lambda word: (word, word)), QUOTED)
VALUES = st.sampled_from(
    [
        "1",
        '"a # b = [ c"',
        "'it \"is [[ # '",
        '"an \\" escaped [ quote"',
        "[1, 2]",
        "[ # a comment with [ and '\n  1, # ] \"\n\n  2 ]",
        "[[1], [\n'#', \"]\"]\n]",
        '{ a = 1, "b]" = [2] }',
        '"""\nkey = [ 1\n[table]\n\\"""quote""" # no [ more',
        "'''\n'key' = [\n[[table]]\n''''",
        '"""one line"""',
        "1.5e3 # key = 2 ['",
        "true",
    ]
)
BLANKS = st.sampled_from(["", "\n", "# [no] table = 'x\n", '   \n\t# "\n'])
ENTRIES = st.lists(st.tuples(BLANKS, st.lists(NAMES, min_size=1, max_size=2), VALUES), max_size=4)
TABLES = st.lists(st.tuples(BLANKS, NAMES, st.booleans(), ENTRIES), max_size=4)


@given(ENTRIES, TABLES)
def test_every_key_is_found_on_its_line(entries, tables):
    text, expected = "", {}

    def write(prefix, entries):
        nonlocal text
        for index, (blank, names, value) in enumerate(entries):
            text += blank
            path = (*prefix, f"k{index}", *(name for _, name in names))
            expected[path] = text.count("\n") + 1
            text += f" k{index} . {' . '.join(written for written, _ in names)} = {value}\n"

    write((), entries)
    for index, (blank, (written, name), repeated, entries_below) in enumerate(tables):
        for element in range(2 if repeated else 1):
            text += blank
            path = (f"t{index}", name, element) if repeated else (f"t{index}", name)
            header = f"t{index}.{written}"
            expected[path] = text.count("\n") + 1
            text += f"  [[ {header} ]] # ] [\n" if repeated else f"[{header}]\n"
            write(path, entries_below)
    tomllib.loads(text)
    assert key_lines(text) == expected


def test_a_table_below_a_repeated_one_belongs_to_its_latest_element():
    text = "[[technique]]\n[[technique]]\nname = 'b'\n[technique.sub]\nkey = 1\n[[technique.deep]]\n[[technique.deep]]"
    assert key_lines(text) == {
        ("technique", 0): 1,
        ("technique", 1): 2,
        ("technique", 1, "name"): 3,
        ("technique", 1, "sub"): 4,
        ("technique", 1, "sub", "key"): 5,
        ("technique", 1, "deep", 0): 6,
        ("technique", 1, "deep", 1): 7,
    }


def test_what_has_no_line_has_that_of_what_holds_it():
    lines = key_lines("seeds = [\n 1,\n 2 ]\n[task]\ndata = 'digits'")
    assert line_of(("seeds", 1), lines) == 1
    assert line_of(("task", "model"), lines) == 4
    assert line_of(("task", "data"), lines) == 5
    assert line_of(("sparsities",), lines) is None
    assert line_of((), lines) is None


def test_an_empty_text_has_no_lines():
    assert key_lines("") == key_lines("# nothing\n\n") == {}
