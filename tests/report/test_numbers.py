from __future__ import annotations

from dataclasses import replace
from math import nan

import pytest

from prunus.report import details, runs, tables, verdict
from prunus.report.evidence import gather
from prunus.selection.statistics import Interval, paired_difference


def test_protection_that_acted_is_noted(make):
    evidence = gather(make.history(protected=("fc3.weight",), seeds=[0], techniques=["random"]), None)
    notes = [note for row in runs.run_rows(evidence) for note in row.notes]
    assert [note.replace("\u00a0", " ") for note in notes] == [
        "the protection kept fc3.weight from being emptied at 50 %, 90 % and 98 %"
    ]


def test_protection_of_what_asked_for_no_sparsity_is_noted_where_it_came_to(make):
    evidence = gather(make.history(protected=("fc3.weight",), seeds=[0], techniques=["random"]), None)
    states = {
        state.id: replace(state, pruning=replace(state.pruning, requested_sparsity=0.0)) if state.pruning else state
        for state in evidence.states.values()
    }
    notes = [note for row in runs.run_rows(replace(evidence, states=states)) for note in row.notes]
    assert [note.replace("\u00a0", " ") for note in notes] == [
        "the protection kept fc3.weight from being emptied at 50 %, 90 % and 98 %"
    ]


def test_comparisons_are_paired_by_seed(history):
    evidence = gather(history, None)
    by_name = {(one.technique, one.requested_sparsity): one for one in evidence.candidates}
    first, second = by_name["magnitude", 0.98], by_name["random", 0.98]
    expected = paired_difference(first.reporting("accuracy"), second.reporting("accuracy"))
    found = next(one for one in tables.comparisons(evidence) if one.sparsity == 0.98)
    assert (found.first, found.second, found.seeds) == ("magnitude", "random", 3)
    assert found.difference == f"+{100 * expected.mean:.1f}"
    assert found.clear == expected.excludes_zero
    assert found.verdict == "clear: interval excludes 0, the first is better"


def test_seeds_that_one_side_lacks_are_left_out_of_the_pairs(make):
    evidence = gather(make.history(stop=13), None)  # random has its first seed, and one state of the second
    seeds = {one.sparsity: one.seeds for one in tables.comparisons(evidence)}
    assert seeds == {0.5: 2, 0.9: 1, 0.98: 1}


def test_one_seed_has_no_interval(make):
    evidence = gather(make.history(seeds=[3]), None)
    assert {one.verdict for one in tables.comparisons(evidence)} == {"one seed: no interval"}


def test_an_end_near_zero_shows_its_side():
    difference = Interval(0.002, -0.0003, 0.0043, 3, 0.95)
    assert tables._compared("a", "b", 0.9, False, difference).interval == "−0.03 to +0.43"
    assert tables._compared("a", "b", 0.9, False, replace(difference, low=-0.003)).interval == "−0.3 to +0.4"


def test_sizes_are_means_over_seeds(history):
    evidence = gather(history, None)
    rows = tables.sizes(evidence)
    assert (rows[0].technique, rows[0].index) == ("dense", None)
    assert len(rows) == 1 + 2 * 3
    chosen = [row for row in rows if row.chosen]
    assert [(row.technique, row.requested) for row in chosen] == [("magnitude", 0.9)]
    candidate = evidence.at("magnitude", 0.9)
    assert chosen[0].accuracy == pytest.approx(sum(candidate.reporting("accuracy")) / 3)


@pytest.mark.parametrize(
    ("times", "text"),
    [
        (7.85, "7.8 times smaller than"),
        (1.0, "as large as"),
        (0.5, "2.0 times larger than"),
        (nan, "of unknown size beside"),
    ],
)
def test_sizes_are_compared_in_words(times, text):
    assert " ".join(verdict._smaller(times)) == text


def test_classes_are_compared_with_the_dense_model_of_the_same_seed(history):
    evidence = gather(history, None)
    names = details.class_names(evidence)
    assert names == list("0123456789")
    changes = []
    for run in evidence.runs:
        if run.technique == "random":
            state = next(one.record for one in history.states(run.id) if one.record.requested_sparsity == 0.9)
            dense = history.state(state.id).lineage()[1].record
            pairs = zip(state.test.classes, dense.test.classes, strict=True)
            changes.append([one.correct - other.correct for one, other in pairs])
    for replicate, expected in zip(evidence.at("random", 0.9).replicates, changes, strict=True):
        assert [100 * one for one in evidence.class_changes(replicate).values()] == pytest.approx(expected)
    means = [sum(column) / 3 for column in zip(*changes, strict=True)]
    row = next(one for one in details.class_rows(evidence) if one.technique == "random")
    assert [cell.text for cell in row.cells] == [f"−{-one:.1f}" for one in means]


def test_layers_are_means_over_seeds(history):
    group = details.layer_groups(gather(history, None))[0]
    assert [(layer.name, layer.shape, layer.kept) for layer in group.layers] == [
        ("fc1", "300×784", "23,520 of 235,200"),
        ("fc2", "100×300", "3,000 of 30,000"),
        ("fc3", "10×100", "100 of 1,000"),
    ]
    assert [layer.sparsity for layer in group.layers] == pytest.approx([0.9] * 3)


def test_cards_begin_with_the_choice(history):
    cards, more = verdict.cards(gather(history, None))
    assert cards[0].value == "magnitude"
    assert [card.technique for card in cards[1:]] == ["magnitude", "random"]
    assert more == 0
