from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from prunus.report.evidence import gather
from prunus.report.lottery.charts import learning_charts, stopping_charts
from prunus.report.lottery.families import families_of
from prunus.report.lottery.section import MOST_FAMILIES, lottery
from prunus.report.lottery.series import Series
from prunus.report.page import render
from prunus.selection.statistics import Interval
from prunus.tickets import gather_tickets, judge
from prunus.tickets.gathering import Tickets


def exact(value):
    return Interval(value, None, None, 1, 0.95)


def texts(chart):
    return [element.text for element in ElementTree.fromstring(chart).iter("text")]


def heights(chart, colour):
    """Pixels from the top of the points of the line of that colour."""
    path = next(
        element.attrib["d"]
        for element in ElementTree.fromstring(chart).iter("path")
        if f"stroke:var(--series-{colour})" in element.attrib.get("style", "") and "fill" not in element.attrib["style"]
    )
    return [float(pair.split(",")[1]) for pair in re.findall(r"[-\d.]+,[-\d.]+", path)]


def test_every_ticket_has_its_figures_and_its_numbers(tickets):
    found = lottery(gather(tickets, None), tickets.blobs)
    best = max((each for each in judge(gather_tickets(tickets)) if each.ticket.sparsity == found.sparsity),
               key=lambda each: (each.word != "losing", each.accuracy.mean))  # fmt: skip
    assert {family.technique for family in found.families} == {"tickets", "others"}
    assert found.families[0].technique == best.ticket.technique
    family = next(each for each in found.families if each.technique == "tickets")
    learning, stopping = family.figures
    assert learning.numbers.columns == stopping.numbers.columns == ("found", "shuffled", "dense")
    assert [head for head, _ in learning.numbers.rows] == ["10", "20", "30", "40"]
    at = found.sparsity
    curves = [state.curve for one in gather_tickets(tickets).tickets for state in one.states.values()
              if (one.technique, one.sparsity) == ("tickets", at)]  # fmt: skip
    last = 100 * sum(curve[-1].test_accuracy for curve in curves) / 3
    shown = learning.numbers.rows[-1][1][0]
    assert float(re.match(r"[\d.]+", shown)[0]) == pytest.approx(last, abs=0.051)
    assert [head.replace("\N{NO-BREAK SPACE}", " ") for head, _ in stopping.numbers.rows] == ["100 %", "50 %", "10 %"]
    assert stopping.numbers.rows[0][1][:2] == ("", "")
    verdict = next(each for each in judge(gather_tickets(tickets)) if each.ticket.sparsity == 0.5)
    assert float(stopping.numbers.rows[1][1][0].split()[0]) == pytest.approx(verdict.step.mean, abs=0.5)


def test_charts_name_their_lines_and_are_of_two_widths(tickets):
    found = lottery(gather(tickets, None), tickets.blobs)
    family = next(each for each in found.families if each.technique == "tickets")
    for figure in family.figures:
        assert [re.search(r'class="plot plot-(\w+)"', chart)[1] for chart in figure.charts] == ["half", "narrow"]
        for chart in figure.charts:
            assert {"found", "shuffled", "dense"} <= {*texts(chart)}


def test_no_two_things_on_the_page_have_one_id(tickets):
    ids = re.findall(r'\bid="([^"]*)"', render(tickets))
    assert len(ids) == len({*ids})


def test_lines_of_a_crowded_page_are_drawn_by_accuracy_too(tickets, crowded):
    evidence, gathered = gather(tickets, None), gather_tickets(tickets)
    [shown] = [each for each in gathered.tickets if (each.technique, each.sparsity) == ("tickets", 0.9)]
    [plain] = families_of([shown], gathered, evidence)
    assert len(plain.figures) == 2
    [family] = families_of([shown], gathered, crowded)
    assert [figure.caption for figure in family.figures][-1] == "Test accuracy at that step"
    verdict = next(each for each in judge(gathered) if each.ticket == shown)
    assert family.figures[-1].numbers.rows[-1][1][0].startswith(f"{100 * verdict.accuracy.mean:.1f}")
    assert plain.learns


def test_a_crowded_page_without_learning_curves_has_the_accuracy_when_training_ends(tickets, crowded):
    def ended(states):
        return {seed: replace(state, curve=()) for seed, state in states.items()}

    gathered = gather_tickets(tickets)
    without = [replace(each, states=ended(each.states)) for each in gathered.tickets]
    [shown] = [each for each in without if (each.technique, each.sparsity) == ("tickets", 0.9)]
    [family] = families_of([shown], Tickets(ended(gathered.dense), tuple(without)), crowded)
    assert [figure.caption for figure in family.figures] == ["Test accuracy when training ends"]
    assert not family.learns


def test_without_learning_curves_there_are_no_figures(make):
    history = make.tickets(seeds=[0], training={"epochs": 1})
    assert lottery(gather(history, None), history.blobs).families == ()
    assert "How they learn" not in render(history)


def test_of_many_tickets_the_best_are_shown_and_the_others_counted(make):
    each = {"criterion": ["magnitude", "random"], "scope": ["global", "layer"]}
    techniques = [{"retrain": "rewind", "each": each}]
    history = make.tickets(seeds=[0], sparsities=[0.5], technique=techniques)
    found = lottery(gather(history, None), history.blobs)
    assert len(found.families) == len(found.pictures) == MOST_FAMILIES
    assert found.more_families == 1
    accuracies = {each.ticket.technique: each.accuracy.mean for each in judge(gather_tickets(history))}
    shown = [accuracies[family.technique] for family in found.families]
    assert shown == sorted(accuracies.values(), reverse=True)[:MOST_FAMILIES]
    assert "Shown are the best 3 tickets there; 1 other left out." in re.sub(r"\s+", " ", render(history))


def test_the_beginning_of_a_training_does_not_flatten_the_rest():
    rising = Series(0, "found", {float(step): exact(0.97 if step >= 10 else step / 10) for step in range(1, 101)})
    for chart in learning_charts([rising], "x"):
        assert next(text for text in texts(chart) if text.endswith("%")) == "97%"
        assert heights(chart, 0)[0] > 250 == pytest.approx(heights(chart, 0)[-1], abs=10)


def test_what_learns_late_is_drawn_from_where_it_begins():
    late = Series(0, "found", {float(step): exact(0.1 if step < 50 else 0.9) for step in range(1, 101)})
    assert "0%" in texts(learning_charts([late], "x")[0])


def test_steps_are_drawn_from_zero_and_bands_end_with_the_training():
    found = Series(0, "found", {0.5: Interval(90, 40, 140, 3, 0.95), 0.1: Interval(50, -20, 120, 3, 0.95)})
    dense = Series(None, "dense", {1.0: exact(80)})
    chart = stopping_charts([found, dense], 100, "x")[0]
    assert [text for text in texts(chart) if text.isdigit()] == ["0", "20", "40", "60", "80", "100"]
    assert heights(chart, 0) == pytest.approx([26, 130])  # of 260 pixels
