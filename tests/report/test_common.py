"""The techniques are compared at one sparsity, also where the choice stands between two targets."""

from __future__ import annotations

import re

import pytest

from prunus.report import details, tables, verdict
from prunus.report.evidence import gather
from prunus.report.page import render

TARGETS = (0.5, 0.9, 0.98)
ROUNDS = (0.5, 0.9, 0.968, 0.98)
CHOOSE = {"choose": {"by": "accuracy", "sparsity_at_least": 0.95}}


def plain(html):
    text = re.sub(r"<(style|script)>.*?</\1>|<details>.*?</details>|<[^>]*>", " ", html, flags=re.DOTALL)
    return " ".join(text.split())


@pytest.fixture(scope="module", params=[2, 7], ids=["few rows", "folded"])
def stepped(request, make):
    """The best technique is chosen at an intermediate round, which all others but the last have too."""
    techniques = [f"iterative {index}" for index in range(request.param)]
    rounds = dict.fromkeys(techniques, ROUNDS)
    return make.history(techniques=[*techniques, "one-shot"], sparsities=TARGETS, rounds=rounds, recipe=CHOOSE)


def test_the_techniques_stand_at_the_nearest_target_that_all_have(stepped):
    evidence = gather(stepped, None)
    assert (evidence.level, evidence.common) == (0.968, 0.98)
    cards, _ = verdict.cards(evidence)
    assert cards[1].technique == "iterative 0"
    assert {re.match(r"at ([\d.]+)", card.text)[1] for card in cards[1:]} == {"98"}
    rows = details.class_rows(evidence)
    expected = [evidence.at(name, 0.98) for name in evidence.techniques]
    assert all(row.sparsity is None for row in rows)
    first = evidence.class_changes(expected[0].replicates[0])
    assert len(rows) == len(expected)
    assert len(rows[0].cells) == len(first)
    assert [group.sparsity for group in details.layer_groups(evidence)] == [None] * len(expected)
    layers = [group.layers[0].sparsity for group in details.layer_groups(evidence)]
    assert layers == pytest.approx([0.98] * len(expected), abs=1e-3)


def test_the_page_says_at_which_sparsity_it_compares_and_why(stepped):
    text = plain(render(stepped))
    assert "Not every technique has a model at the chosen 96.8 % sparsity, so they are compared at 98 %" in text
    assert "Per-class change from dense, at 98 %" in text


def test_comparisons_at_the_choice_and_at_the_common_sparsity_are_open(stepped):
    found = tables.comparisons(gather(stepped, None))
    assert {one.sparsity for one in found if one.looked_at} == {0.968, 0.98}
    assert {one.sparsity for one in found if one.chosen} == {0.968}
    section = re.search(r'<h2 id="comparisons">.*?</section>', render(stepped), re.DOTALL)[0]
    visible = section.split("<details>")[0]
    assert "at 96.8\u00a0% sparsity; the choice is among these" in visible
    assert "at 98\u00a0% sparsity" in visible
    assert all("<tbody" in table for table in re.findall(r"<table.*?</table>", section, re.DOTALL))


def test_a_choice_that_no_other_technique_meets_opens_the_nearest_target(make):
    others = [f"one-shot {index}" for index in range(6)]
    rounds = {"iterative": ROUNDS}
    history = make.history(techniques=["iterative", *others], sparsities=TARGETS, rounds=rounds, recipe=CHOOSE)
    found = tables.comparisons(gather(history, None))
    assert {one.sparsity for one in found if one.looked_at} == {0.98}
    section = re.search(r'<h2 id="comparisons">.*?</section>', render(history), re.DOTALL)[0]
    assert section.split("<details>")[0].count('<th scope="row"') == 7 * 6 // 2


def test_where_all_have_the_chosen_round_they_stand_there(make):
    techniques = ("magnitude", "random")
    history = make.history(
        techniques=techniques, sparsities=TARGETS, rounds=dict.fromkeys(techniques, ROUNDS), recipe=CHOOSE
    )
    evidence = gather(history, None)
    assert evidence.common == evidence.level == 0.968
    assert verdict.comparability(evidence) == ""
    assert any(one.looked_at for one in tables.comparisons(evidence))


def test_a_technique_without_the_common_sparsity_is_set_apart(make):
    rounds = {"late": (0.999,)}
    evidence = gather(make.history(techniques=["late", "magnitude", "random"], rounds=rounds), None)
    cards, _ = verdict.cards(evidence)
    assert [card.technique for card in cards if card.apart] == ["late"]
    assert cards[-1].text.startswith("only at 99.9")
    assert [row.technique for row in details.class_rows(evidence) if row.sparsity is not None] == ["late"]
    assert verdict.comparability(evidence).replace("\u00a0", " ") == "late has no model at 90 %; shown apart."


def test_the_dense_file_has_one_size(make):
    history = make.history(seeds=[0])
    dense = tables.sizes(gather(history, None))[0]
    assert (dense.values["size_bytes"], dense.values["compression"]) == (1_066_896, 1.0)


@pytest.mark.parametrize(("seeds", "said"), [((0,), None), ((0, 1), "12.7"), ((0, 1, 2), "4.3"), (range(4), None)])
def test_intervals_of_few_seeds_are_said_to_be_wide(make, seeds, said):
    text = plain(render(make.history(seeds=tuple(seeds))))
    assert ("seeds is wide" in text) == (said is not None)
    assert said is None or f"reaches {said} standard errors" in text
