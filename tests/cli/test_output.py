from __future__ import annotations

import collections
import dataclasses
import json
import math
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prunus.cli.output import moment, percent, print_json, print_table, say, short, size
from prunus.report.names import printable

WORDS = st.text("abcxyz0123-_.", min_size=1, max_size=24)
BIDIRECTIONAL = ("LRE", "LRO", "RLE", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
NUMBERS = st.floats(-1e4, 1e6).map(lambda value: f"{value:.1f}")
TEXTS = st.lists(WORDS, min_size=1, max_size=5).map(" ".join)


@st.composite
def tables(draw):
    kinds = draw(st.lists(st.sampled_from([WORDS, NUMBERS, TEXTS]), min_size=1, max_size=9))
    count = draw(st.integers(1, 4))
    columns = [draw(st.sampled_from(["n", "accuracy", "two words"])) for _ in kinds]
    return columns, [[draw(kind) for kind in kinds] for _ in range(count)]


@given(tables(), st.sampled_from([40, 60, 80, 120]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_cell_is_cut_off_and_only_texts_are_wrapped(capsys, monkeypatch, table, width):
    columns, rows = table
    monkeypatch.setenv("COLUMNS", str(width))
    capsys.readouterr()
    print_table(columns, rows)
    out = capsys.readouterr().out
    assert all(len(line) <= width for line in out.splitlines())
    for cells in zip(columns, *rows, strict=True):
        whole = all(" " not in cell and len(cell) < width // 2 for cell in cells[1:])
        assert not whole or all(cell in out for cell in cells[1:])
    counted, printed = collections.Counter("".join(map("".join, [columns, *rows]))), collections.Counter(out)
    assert all(printed[character] >= count for character, count in counted.items() if character != " ")


def test_a_table_as_wide_as_the_screen_stays_in_one_part(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "24")
    print_table(["name", "first", "xy"], [["magnitude", "97.4 ±0.3", "4444"]])
    lines = capsys.readouterr().out.splitlines()
    assert [len(line) for line in lines] == [24, 24, 24]
    assert lines[0].split() == ["name", "first", "xy"]


def test_percentages_are_numbers_whichever_space_they_have(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    print_table(["name", "sparsity"], [["first", "7.8\N{NO-BREAK SPACE}%"], ["second", "34.9\N{NO-BREAK SPACE}%"]])
    ends = [len(line.rstrip()) for line in capsys.readouterr().out.splitlines()]
    assert len(set(ends)) == 1


def test_columns_that_do_not_fit_go_below_with_the_first_one(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "24")
    print_table(["name", "first", "second", "third"], [["magnitude", "97.4 ±0.3", "90.1 ±1.2", "10.0 ±9.9"]])
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "─" not in line]
    assert lines == [
        ["name", "first"],
        ["magnitude", "97.4", "±0.3"],
        ["name", "second"],
        ["magnitude", "90.1", "±1.2"],
        ["name", "third"],
        ["magnitude", "10.0", "±9.9"],
    ]


NAMES = ("dense", "magnitude, global, rewound", "magnitude, global, rate rewound", "magnitude, layerwise, fine-tuned")


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (90, [f"{name:32}" + "  97.4 ±0.3" * 5 for name in NAMES]),
        (83, [f"{name:32}" + " 97.4 ±0.3" * 5 for name in NAMES]),
        (
            80,
            [
                f"{'dense':26}" + " 97.4 ±0.3" * 5,
                f"{'magnitude, global, rewound':26}" + " 97.4 ±0.3" * 5,
                f"{'magnitude, global, rate':26}" + " 97.4 ±0.3" * 5,
                "  rewound",
                f"{'magnitude, layerwise,':26}" + " 97.4 ±0.3" * 5,
                "  fine-tuned",
            ],
        ),
    ],
)
def test_long_names_go_on_indented_only_where_the_columns_cannot_draw_together(capsys, monkeypatch, width, expected):
    monkeypatch.setenv("COLUMNS", str(width))
    columns = ["technique", "50 %", "80 %", "90 %", "95 %", "98 %"]
    print_table(columns, [[name, *["97.4 ±0.3"] * 5] for name in NAMES])
    header, rule, *lines = capsys.readouterr().out.splitlines()
    assert header.split(maxsplit=1)[0] == "technique"
    assert len(header) == len(rule) <= width
    assert [line.rstrip() for line in lines] == expected


def test_what_looks_like_a_command_of_rich_is_printed_as_it_is(capsys):
    print_table(["name"], [["[bold]a[/bold]"], [":heart:"], ["\\[x]"]])
    assert [line.strip() for line in capsys.readouterr().out.splitlines()[2:]] == ["[bold]a[/bold]", ":heart:", "\\[x]"]


@given(st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_line_is_one_line_without_control_characters(capsys, text):
    capsys.readouterr()
    say(text)
    out = capsys.readouterr().out
    assert out == printable(text) + "\n"
    assert len(out) == len(text) + 1
    assert len(out.splitlines()) == 1
    assert not any(unicodedata.category(one) in ("Cc", "Cs") for one in out[:-1])
    assert not any(unicodedata.bidirectional(one) in BIDIRECTIONAL for one in out[:-1])


@given(st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_json_keeps_every_text_and_prints_no_control_character(capsys, text):
    capsys.readouterr()
    print_json({"key": text})
    out = capsys.readouterr().out
    assert json.loads(out) == {"key": text}
    assert not any(unicodedata.category(one) in ("Cc", "Cs") for one in out if one != "\n")


def test_a_cell_cannot_forge_a_row(capsys):
    print_table(["name", "size"], [["a\nb 2\x1b[2J\u202e", "1"]], title="\x07")
    title, _, _, row = capsys.readouterr().out.splitlines()
    assert title == "\N{REPLACEMENT CHARACTER}"
    assert row.startswith("a\N{REPLACEMENT CHARACTER}b 2\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}")


def test_numbers_stand_to_the_right_and_words_to_the_left(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    print_table(["name", "size"], [["a", "1.5 KB"], ["bcd", "–"]], title="What there is")
    title, header, _, one, other = capsys.readouterr().out.splitlines()
    assert title == "What there is"
    assert [line.rstrip() for line in (header, one, other)] == ["name    size", "a     1.5 KB", "bcd        –"]


@pytest.mark.parametrize(
    ("value", "digits", "text"), [(0.1234, 1, "12.3 %"), (1, 0, "100 %"), (math.nan, 1, "–"), (-0.5, 2, "-50.00 %")]
)
def test_fractions_are_printed_as_percentages(value, digits, text):
    assert percent(value, digits) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KB"),
        (3 * 2**19, "1.5 MB"),
        (5 * 2**29, "2.5 GB"),
        (2**43, "8192.0 GB"),
    ],
)
def test_bytes_are_printed_in_a_readable_unit(value, text):
    assert size(value) == text


def test_ids_and_times_are_shortened():
    assert short("0123456789abcdef") == "0123456789"
    assert moment("2026-01-02T03:04:05.678+00:00") == "2026-01-02 03:04"


def test_any_value_becomes_json(capsys):
    @dataclasses.dataclass
    class Thing:
        numbers: tuple[float, ...]
        where: Path

    print_json({"thing": Thing((1.5, math.nan, math.inf), Path("a/b")), 3: {"ü"}, "none": None})
    assert json.loads(capsys.readouterr().out) == {
        "thing": {"numbers": [1.5, None, None], "where": "a/b"},
        "3": ["ü"],
        "none": None,
    }
