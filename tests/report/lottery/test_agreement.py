from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from prunus.masks.storage import masks_to_bytes
from prunus.report.evidence import gather
from prunus.report.lottery import agreement
from prunus.report.lottery.agreement import agreement_map
from prunus.report.lottery.masks import RecordedMasks
from prunus.report.page import render
from prunus.tickets import clustered, compare, found_masks
from prunus.tickets.rounds import recorded_masks


def recorded(history, sparsity=0.9):
    evidence = gather(history, None)
    return RecordedMasks(recorded_masks(evidence.runs, evidence.states.values())[sparsity], history.blobs)


class Given(RecordedMasks):
    """Masks that were never stored: technique → seed → arrays."""

    def __init__(self, found):
        super().__init__({name: dict.fromkeys(seeds, "0" * 64) for name, seeds in found.items()}, None)
        self.found = found

    def of(self, technique):
        return self.found[technique]


def random_masks(count, seeds=2, shape=(6, 10)):
    generator = np.random.default_rng(0)
    return {
        f"t{number}": {seed: {"w": generator.random(shape) < 0.3} for seed in range(seeds)} for number in range(count)
    }


@pytest.fixture(scope="module")
def evidence(tickets):
    return gather(tickets, None)


def of_techniques(evidence, names):
    """The evidence with these techniques and no others."""
    found = [replace(evidence.candidates[-1], technique=name) for name in names]
    dense = tuple(run for run in evidence.runs if run.technique == "dense")
    return replace(evidence, runs=dense, candidates=tuple(found))


def test_every_cell_has_the_similarity_and_what_chance_gives(tickets, evidence):
    found = agreement_map(recorded(tickets), evidence)
    _, masks = found_masks(tickets, sparsity=0.9)
    comparisons = compare(masks)
    pairs = {frozenset((each.first, each.second)): each for each in comparisons}
    assert [head.name for head in found.map.rows] == clustered(comparisons)
    assert found.map.rows == found.map.columns
    for row, cells in zip(found.map.rows, found.map.cells, strict=True):
        for column, cell in zip(found.map.columns, cells, strict=True):
            pair = pairs[frozenset((row.name, column.name))]
            assert (cell.text, cell.beside) == (f"{pair.jaccard.mean:.3f}", (f"{pair.by_chance.mean:.3f}",))
            assert cell.framed == (row == column)
            assert cell.clear == (pair.beyond_chance == 1)
    assert (found.left_out, found.others) == (0, 0)


def test_the_colour_is_how_far_the_similarity_is_from_chance_to_the_same(evidence):
    kept = np.arange(100) < 50  # by chance 1/3
    same = {"a": {0: {"w": kept}}, "b": {0: {"w": kept.copy()}}, "c": {0: {"w": ~kept}}}
    found = agreement_map(Given(same), of_techniques(evidence, same))
    cells = {
        frozenset((row.name, column.name)): cell
        for row, cells in zip(found.map.rows, found.map.cells, strict=True)
        for column, cell in zip(found.map.columns, cells, strict=True)
    }
    assert cells[frozenset("ab")].step == "gain-7"
    assert cells[frozenset("ac")].step == cells[frozenset("bc")].step == "loss-5"  # −1/3 : 2/3 is half the way
    assert cells[frozenset("a")].step == "none"  # one seed alone
    assert {"".join(sorted(pair)) for pair, cell in cells.items() if cell.clear} == {"ab"}


def test_the_words_of_a_cell_say_all_of_it(evidence):
    found = agreement_map(Given(random_masks(2, seeds=3)), of_techniques(evidence, ["t0", "t1"]))
    cell = found.map.cells[0][1]
    first, second = (head.name for head in found.map.rows)
    assert re.match(rf"t0 with t1: {cell.text} ±0\.\d+, by chance {cell.beside[0]}: ", cell.words)
    assert {first, second} == {"t0", "t1"}
    assert "itself over seeds" in found.map.cells[0][0].words


def test_of_many_techniques_some_are_left_out_and_counted(evidence):
    names = [f"t{number}" for number in range(agreement.MOST + 5)]
    found = agreement_map(Given(random_masks(len(names))), of_techniques(evidence, names))
    assert len(found.map.rows) == agreement.MOST
    assert found.left_out == 5
    assert found.map.upright


@pytest.mark.parametrize(
    ("limit", "value", "shown"),
    # Draws for the pair of each one's two seeds, and for the two pairs of each two.
    [("MOST_WEIGHTS", 3 * 2 * 60, 3), ("MOST_DRAWS", 4 * 1 + 6 * 2, 4), ("MOST_DRAWS", 4 * 1 + 6 * 2 - 1, 3)],
)
def test_what_takes_long_or_much_memory_is_left_out_too(evidence, monkeypatch, limit, value, shown):
    monkeypatch.setattr(agreement, limit, value)
    names = [f"t{number}" for number in range(6)]
    found = agreement_map(Given(random_masks(6)), of_techniques(evidence, names))
    assert (len(found.map.rows), found.left_out) == (shown, 6 - shown)


def test_masks_of_other_parameters_are_not_compared(evidence):
    odd = {"odd": random_masks(1, shape=(3, 4))["t0"]}
    found = agreement_map(Given(random_masks(2) | odd), of_techniques(evidence, ["odd", "t0", "t1"]))
    assert {head.name for head in found.map.rows} == {"t0", "t1"}
    assert found.others == 1


def test_nothing_to_compare_is_no_map(evidence):
    assert agreement_map(Given(random_masks(1, seeds=1)), of_techniques(evidence, ["t0"])) is None
    assert agreement_map(Given({}), evidence) is None


def test_a_mask_that_is_damaged_or_gone_is_left_out_and_said_to_be(make):
    history = make.tickets(seeds=[0, 1], sparsities=[0.9])
    digests = recorded(history).digests["tickets"]
    history.blobs.path(digests[0]).unlink()
    history.blobs.path(digests[1]).write_bytes(b"damaged")
    masks = recorded(history)
    found = agreement_map(masks, gather(history, None))
    assert masks.unread == {*digests.values()}
    assert {head.name for head in found.map.rows} == {"tickets, shuffled", "others"}
    text = re.sub(r"\s+", " ", render(history))
    assert "2 masks of the history cannot be read and are left out." in text
    assert text.count("by input") == 2  # the picture of the other ticket, and its words


def test_a_blob_that_is_no_mask_is_left_out(tickets):
    weights = gather(tickets, None).states
    digest = next(state.weights for state in weights.values())
    masks = RecordedMasks({"t": {0: digest}}, tickets.blobs)
    assert masks.of("t") == {}
    assert masks.unread == {digest}


def test_arrays_are_those_of_the_masks(tickets):
    _, masks = found_masks(tickets, sparsity=0.9)
    arrays = recorded(tickets).of("tickets")
    for seed, found in masks["tickets"].items():
        assert {name: mask.tolist() for name, mask in arrays[seed].items()} == {
            name: mask.tolist() for name, mask in found.items()
        }
        assert masks_to_bytes(found) == tickets.blobs.get(recorded(tickets).digests["tickets"][seed])
