from __future__ import annotations

import pytest

from prunus.history.records import Pruning, TensorCount
from prunus.report.kinds import kinds

LAYERS = {"fc1": 235_200, "fc2": 30_000, "fc3": 1_000}


def pruning(pattern="weight", scope=tuple(LAYERS)):
    tensors = {f"{name}.weight": TensorCount((LAYERS[name],), 1, LAYERS[name]) for name in scope}
    return Pruning("magnitude", pattern, "global", "one-shot", 1, 1, 0.9, 0.9, tensors, (), 0)


def found(**prunings):
    return {kind.title: (kind.total, kind.techniques) for kind in kinds([*prunings], prunings.__getitem__)}


def test_techniques_that_remove_the_same_from_the_same_are_of_one_kind():
    assert found(a=pruning(), b=pruning()) == {"single weights": (266_200, ("a", "b"))}


def test_each_pattern_is_a_kind_of_its_own():
    titles = found(a=pruning(), b=pruning("channel", ("fc1", "fc2")), c=pruning("2:4"), d=pruning("block:4x1"))
    assert [*titles] == ["single weights", "channels", "2 of 4 weights", "blocks of 4×1"]
    assert titles["channels"] == (265_200, ("b",))


def test_a_narrower_scope_of_one_pattern_is_named():
    assert [*found(a=pruning(), b=pruning(scope=["fc3"]))] == ["single weights", "single weights of fc3 alone"]
    assert [*found(a=pruning(), b=pruning(scope=["fc1", "fc3"]))][1] == "single weights of fc1 and fc3 alone"


def test_many_tensors_are_counted(monkeypatch):
    monkeypatch.setattr("prunus.report.kinds._MOST_NAMES", 1)
    assert [*found(a=pruning(), b=pruning(scope=["fc1", "fc3"]))][1] == "single weights of 2 tensors"


def test_the_kind_with_the_most_techniques_comes_first():
    assert [*found(a=pruning("row"), b=pruning(), c=pruning())] == ["single weights", "rows"]


@pytest.mark.parametrize(("pattern", "title"), [("head:4", "attention heads"), ("node", "nodes"), ("mine", "mine")])
def test_every_pattern_has_a_title(pattern, title):
    assert [*found(a=pruning(pattern))] == [title]


def test_a_technique_without_a_record_is_taken_for_one_of_single_weights():
    assert found(a=None) == {"single weights": (0, ("a",))}
