from __future__ import annotations

import re
from dataclasses import replace

import pytest

from prunus.report.evidence import gather
from prunus.report.lottery.section import lottery
from prunus.report.lottery.verdicts import telling_sparsity, verdict_table
from prunus.report.page import render
from prunus.tickets import gather_tickets, judge


def test_every_ticket_has_a_row_with_the_numbers_of_its_verdict(tickets):
    verdicts = judge(gather_tickets(tickets))
    found = verdict_table(verdicts, gather(tickets, None))
    assert [(row.technique, row.left, row.word) for row in found.rows] == [
        (
            each.ticket.technique,
            "50\N{NO-BREAK SPACE}%" if each.ticket.sparsity == 0.5 else "10\N{NO-BREAK SPACE}%",
            each.word,
        )
        for each in verdicts
    ]
    assert found.controls == ("shuffled",)
    for row, each in zip(found.rows, verdicts, strict=True):
        assert float(row.accuracy[0].split("\N{NO-BREAK SPACE}")[0]) == pytest.approx(
            100 * each.accuracy.mean, abs=0.05
        )
        assert float(row.to_dense[0].replace("−", "-")) == pytest.approx(100 * each.to_dense.mean, abs=0.05)
        assert row.to_dense[2] == each.to_dense.excludes_zero
        assert float(row.step[0]) == pytest.approx(each.step.mean, abs=0.5)
        assert row.to_controls[0] != ("", "", False) or each.ticket.technique == "others"


def test_the_page_shows_them_and_says_the_rule(tickets):
    page = render(tickets)
    section = page[page.index('id="lottery"') : page.index("</section>", page.index('id="lottery"'))]
    table = section[section.index("<table") : section.index("</table>")]
    assert table.count('<th scope="row">') == 4
    assert "to shuffled" in table
    assert "at most 0.5 points less accurate" in re.sub(r"\s+", " ", section)


@pytest.mark.parametrize(
    ("words", "sparsity"),
    [
        (("winning", "losing", "losing", "losing"), 0.5),
        (("winning", "losing", "losing", "undecided"), 0.9),
        (("losing", "as accurate", "losing", "losing"), 0.9),
        (("losing",) * 4, 0.5),
    ],
)
def test_the_figures_are_of_the_smallest_ticket_that_does_not_lose(tickets, words, sparsity):
    verdicts = judge(gather_tickets(tickets))
    assert [each.ticket.sparsity for each in verdicts] == [0.5, 0.9, 0.5, 0.9]
    judged = [replace(each, word=word) for each, word in zip(verdicts, words, strict=True)]
    assert telling_sparsity(judged) == sparsity


def test_without_controls_and_curves_there_is_no_such_section(make):
    technique = {"name": "rewound", "retrain": "rewind"}
    plain = make.tickets(seeds=[0], training={"epochs": 1}, technique=[technique])
    assert 'id="lottery"' not in render(plain)
    assert 'id="lottery"' not in render(make.tickets(seeds=[0], technique=[{"name": "tuned"}]))


def test_without_curves_and_with_one_seed_it_says_what_it_knows(make):
    one = make.tickets(seeds=[0], training={"epochs": 1})
    found = lottery(gather(one, None), one.blobs)
    assert {row.word for row in found.verdicts.rows} == {"undecided"}
    assert {row.step for row in found.verdicts.rows} == {("–", "", False)}
    assert "no learning curves" in render(one)


def test_siblings_of_the_dense_network_are_no_technique(make):
    technique = {"name": "tickets", "retrain": "rewind", "each": {"ticket": ["found", "unpruned"]}}
    done = make.tickets(seeds=[0], technique=[technique])
    evidence = gather(done, None)
    assert {run.technique for run in evidence.runs} == {"dense", "tickets", "unpruned, from step 0"}
    assert evidence.techniques == ("tickets",)
    assert {row.technique for row in lottery(evidence, done.blobs).verdicts.rows} == {"tickets"}
    assert render(done).count("unpruned, from step 0") == 1  # in the list of runs
