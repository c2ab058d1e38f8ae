from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

import prunus
from prunus.errors import ArgumentError
from prunus.tickets import mean_structure, structure


def masks(**flags):
    return prunus.Masks({name: torch.tensor(each, dtype=torch.bool) for name, each in flags.items()})


def gini(counts):
    """Half the relative mean absolute difference, as it is defined."""
    return np.mean([abs(a - b) for a in counts for b in counts]) / (2 * np.mean(counts))


def test_the_measures_are_those_counted_by_hand():
    found = structure(masks(w=[[1, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]))["w"]
    assert found.groups == 3
    assert found.empty == pytest.approx(1 / 3)
    assert found.gini == pytest.approx(gini([3, 0, 1]))
    assert found.entropy == pytest.approx(-(3 / 4 * math.log(3 / 4) + 1 / 4 * math.log(1 / 4)) / math.log(3))
    assert found.in_wholes == pytest.approx(3 / 4)  # one row of four would hold all four
    columns = structure(masks(w=[[1, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]), "column")["w"]
    assert (columns.groups, columns.empty) == (4, 1 / 4)
    assert columns.in_wholes == pytest.approx(3 / 4)  # two columns of three hold three of four


def test_whole_rows_and_equal_rows_are_the_two_ends():
    whole = structure(masks(w=[[1] * 6, [1] * 6, [0] * 6, [0] * 6]))["w"]
    assert (whole.in_wholes, whole.empty, whole.gini, whole.entropy) == (1, 0.5, 0.5, 0.5)
    equal = structure(masks(w=[[1, 0], [0, 1], [1, 0]]))["w"]
    assert (equal.empty, equal.gini) == (0, 0)
    assert equal.entropy == pytest.approx(1)


def test_nothing_kept_and_everything_kept():
    nothing, everything = (structure(masks(w=[[flag] * 3] * 2))["w"] for flag in (0, 1))
    assert (nothing.empty, nothing.empty_by_chance, nothing.gini, nothing.in_wholes) == (1, 1, 0, 1)
    assert (everything.empty, everything.gini, everything.in_wholes, everything.in_wholes_by_chance) == (0, 0, 1, 1)


def test_kernels_and_filters_of_convolutions():
    mask = torch.zeros(2, 3, 2, 2, dtype=torch.bool)
    mask[0, 1] = True
    found = {view: structure(prunus.Masks({"w": mask}), view)["w"] for view in ("row", "column", "kernel")}
    assert {view: (each.groups, round(each.empty, 6)) for view, each in found.items()} == {
        "row": (2, 0.5), "column": (3, 0.666667), "kernel": (6, 0.833333),
    }  # fmt: skip
    assert found["kernel"].in_wholes == 1
    assert structure(masks(w=[[1, 0]], b=[1, 0]), "kernel") == {}
    assert [*structure(masks(w=[[1, 0]], b=[1, 0]))] == ["w"]


def test_chance_is_what_all_placements_of_as_many_weights_give():
    placements = []
    for chosen in itertools.combinations(range(8), 3):
        counts = [sum(index // 2 == row for index in chosen) for row in range(4)]
        placements.append((np.mean([count == 0 for count in counts]), gini(counts)))
    found = structure(masks(w=[[1, 1], [1, 0], [0, 0], [0, 0]]), draws=60_000)["w"]
    assert found.empty_by_chance == pytest.approx(np.mean([empty for empty, _ in placements]), abs=0.003)
    assert found.gini_by_chance == pytest.approx(np.mean([each for _, each in placements]), abs=0.003)
    # C(n − m, k) / C(n, k) of a group of m among n weights
    assert found.empty_by_chance == pytest.approx(math.comb(6, 3) / math.comb(8, 3), abs=0.003)
    assert found.empty_beyond == 0.5


def test_means_over_seeds():
    several = {0: masks(w=[[1, 1], [0, 0]]), 1: masks(w=[[1, 0], [0, 1]])}
    found = mean_structure(several)["w"]
    assert (found.groups, found.empty) == (2, 0.25)
    assert mean_structure({}) == {}


def test_an_unknown_view_is_refused():
    with pytest.raises(ArgumentError, match="view must be one of row, column, kernel, got 'rows'"):
        structure(masks(w=[[1, 0]]), "rows")
