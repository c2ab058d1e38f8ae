from __future__ import annotations

import re

import pytest

import prunus
from prunus.report.evidence import gather
from prunus.report.lottery import lottery
from prunus.report.page import render
from prunus.tickets import gather_tickets, judge

RECIPE = {
    "seeds": [0, 1, 2],
    "sparsities": [0.5, 0.9],
    "task": {"data": "digits", "model": "mlp"},
    "training": {"epochs": 2, "evaluate_every": 10},
    "technique": [
        {"name": "tickets", "retrain": "rewind", "each": {"ticket": ["found", "shuffled"]}},
        {"name": "others", "criterion": "random", "retrain": "rewind"},
    ],
}


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    return prunus.run(RECIPE, history=tmp_path_factory.mktemp("history"), jobs=1)


def test_every_ticket_has_a_row_with_the_numbers_of_its_verdict(history):
    found, verdicts = lottery(gather(history, None)), judge(gather_tickets(history))
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


def test_the_page_shows_them_and_says_the_rule(history):
    page = render(history)
    section = page[page.index('id="lottery"') : page.index("</section>", page.index('id="lottery"'))]
    assert section.count('<th scope="row">') == 4
    assert "to shuffled" in section
    assert "at most 0.5 points less accurate" in re.sub(r"\s+", " ", section)


def test_without_controls_and_curves_there_is_no_such_section(tmp_path):
    technique = {"name": "rewound", "retrain": "rewind"}
    plan = {"epochs": 1}
    plain = prunus.run(
        {**RECIPE, "seeds": [0], "training": plan, "technique": [technique]}, history=tmp_path / "plain", jobs=1
    )
    assert 'id="lottery"' not in render(plain)
    tuned = prunus.run({**RECIPE, "seeds": [0], "technique": [{"name": "tuned"}]}, history=tmp_path / "tuned", jobs=1)
    assert 'id="lottery"' not in render(tuned)


def test_without_curves_and_with_one_seed_it_says_what_it_knows(tmp_path):
    one = prunus.run({**RECIPE, "seeds": [0], "training": {"epochs": 1}}, history=tmp_path, jobs=1)
    found = lottery(gather(one, None))
    assert {row.word for row in found.rows} == {"undecided"}
    assert {row.step for row in found.rows} == {("–", "", False)}
    assert "no learning curves" in render(one)


def test_siblings_of_the_dense_network_are_no_technique(tmp_path):
    each = {"ticket": ["found", "unpruned"]}
    technique = {"name": "tickets", "retrain": "rewind", "each": each}
    done = prunus.run({**RECIPE, "seeds": [0], "technique": [technique]}, history=tmp_path, jobs=1)
    evidence = gather(done, None)
    assert {run.technique for run in evidence.runs} == {"dense", "tickets", "unpruned, from step 0"}
    assert evidence.techniques == ("tickets",)
    assert {row.technique for row in lottery(evidence).rows} == {"tickets"}
    assert render(done).count("unpruned, from step 0") == 1  # in the list of runs
