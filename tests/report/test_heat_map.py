from __future__ import annotations

import re
from math import nan

import pytest

from prunus.report.heat_map import UPRIGHT, Cell, Head, HeatMap, difference_cell, legend
from prunus.report.page import _templates
from prunus.report.palette import HEAT_LIMITS, LIGHT, heat, heat_name
from prunus.selection.statistics import mean_interval


def rendered(found):
    macro = _templates().get_template("heat_map.html").module.heat_map
    return str(macro(found, "Transfer"))


def transfer(size=2):
    heads = tuple(Head(f"task {number}") for number in range(size))
    cells = tuple(tuple(transferred(row, column) for column in range(size)) for row in range(size))
    said = legend(cells, " points")
    return HeatMap("Tickets of one task on another", heads, heads, cells, "found on", "trained on", said)


def transferred(row, column):
    points = 0.01 * (row - column)
    return difference_cell(mean_interval([points, points + 0.002]), f"{row} to {column}", row == column)


def test_a_difference_is_in_points_with_half_its_interval():
    cell = difference_cell(mean_interval([-0.02, -0.03, -0.025]), "a to b")
    assert (cell.text, cell.step, cell.beside, cell.clear) == ("−2.5", "loss-3", ("±1.2",), True)
    assert cell.words == "a to b: −2.5 points ±1.2"
    alone = difference_cell(mean_interval([0.0]))
    assert (alone.text, alone.step, alone.beside, alone.clear, alone.words) == ("0.0", "loss-0", (), False, "")


def test_the_legend_says_where_the_steps_begin_and_no_more_than_the_cells_need():
    cells = [[Cell("", heat_name(points)) for points in (-1.5, 0.2, nan)]]
    assert legend(cells, " points") == (
        ("loss-2", "−1 to −2 points"),
        ("loss-1", "−0.5 to −1 points"),
        ("gain-0", "within ±0.5 points"),
    )
    assert legend([[Cell("", heat_name(70))]]) == (("gain-7", "+40 and beyond"),)
    assert legend([[Cell("–", "none")]]) == ()


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_step_begins_where_the_legend_says(sign):
    limits = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert len(limits) == len(HEAT_LIMITS)  # there are colours for so many
    names = {step.name for step in heat(LIGHT)}
    for value in (0.05, *limits, 0.95):
        name = heat_name(sign * value, limits)
        assert name in names
        [(_, said)] = legend([[Cell("", name)]], limits=limits)
        numbers = [float(number.replace("−", "-")) for number in re.findall(r"[−\d.]+", said)]
        begun = [limit for limit in limits if limit <= value] or [limits[0]]
        assert abs(numbers[0]) == begun[-1]


def test_a_map_is_a_table_that_says_what_its_rows_and_columns_are():
    html = rendered(transfer())
    assert html.count("<tr") == 4
    assert re.search(r'<th scope="colgroup" colspan="2"><span>trained on →</span></th>', html)
    assert re.search(r'<th scope="col" class="down">found on ↓</th>', html)
    assert re.findall(r'<th scope="row"><bdi class="name">([^<]*)</bdi></th>', html) == ["task 0", "task 1"]
    cells = re.findall(r'<td class="([^"]*)" title="([^"]*)">(.*?)</td>', html)
    assert [title.split(":")[0] for _, title, _ in cells] == ["0 to 0", "0 to 1", "1 to 0", "1 to 1"]
    assert [kind for kind, _, _ in cells] == ["gain-0 framed", "loss-1", "gain-2", "gain-0 framed"]
    assert cells[1][2] == "−0.9<small>±1.3</small>"
    assert '<caption class="unseen">Tickets of one task on another</caption>' in html
    assert html.count("<li>") == 4


def test_a_map_without_axes_has_no_row_for_them():
    cells = ((Cell("<1", "none", words='"quoted"', clear=True),),)
    html = rendered(HeatMap("x", (Head("a<b", "only at 9", apart=True),), (Head("c"),), cells))
    assert html.count("<tr") == 2
    assert '<tr class="apart"><th scope="row"><bdi class="name">a&lt;b</bdi> <small>only at 9</small></th>' in html
    assert '<td class="none" title="&#34;quoted&#34;"><b>&lt;1</b></td>' in html
    assert "<ul" not in html


def test_the_names_of_many_columns_stand_upright():
    assert 'class="heat matrix"' in rendered(transfer(UPRIGHT))
    assert 'class="heat matrix upright"' in rendered(transfer(UPRIGHT + 1))
