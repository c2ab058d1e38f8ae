from __future__ import annotations

import pytest
import torch

import prunus
from prunus.errors import ArgumentError, MaskError
from prunus.tickets import vote


def masks(*flags):
    return [prunus.Masks({"w": torch.tensor(each, dtype=torch.bool)}) for each in flags]


THREE = masks([1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0])


@pytest.mark.parametrize(
    ("share", "kept", "votes"),
    [(1.0, [1, 0, 0, 0], 3), (2 / 3, [1, 1, 0, 0], 2), (0.5, [1, 1, 0, 0], 2), (0.34, [1, 1, 0, 0], 2),
     (1 / 3, [1, 1, 1, 0], 1), (0.01, [1, 1, 1, 0], 1)],
)  # fmt: skip
def test_enough_votes_keep_a_weight(share, kept, votes):
    found = vote(THREE, share)
    assert found.masks["w"].tolist() == [bool(each) for each in kept]
    assert (found.votes, found.of) == (votes, 3)


def test_all_is_the_intersection_and_any_the_union():
    assert vote(THREE).masks == THREE[0] & THREE[1] & THREE[2]
    assert vote(THREE, 1e-9).masks == THREE[0] | THREE[1] | THREE[2]


def test_chance_is_what_random_masks_of_these_densities_give():
    generator = torch.Generator().manual_seed(0)
    drawn = [prunus.Masks({"w": torch.rand(200_000, generator=generator) < density}) for density in (0.3, 0.5, 0.8)]
    for share in (1.0, 0.6, 0.1):
        found = vote(drawn, share)
        assert found.masks.sparsity == pytest.approx(found.sparsity_by_chance, abs=0.005)


def test_five_tickets_of_a_third_sparsity_would_meet_at_nine_tenths_by_chance():
    # The figures of Paganini & Forde 2020: five tickets at 35.9 % sparsity intersect to 89 % by chance.
    each = masks(*[[1] * 641 + [0] * 359] * 5)
    assert vote(each).sparsity_by_chance == pytest.approx(0.892, abs=0.001)
    assert vote(each).masks.sparsity == pytest.approx(0.359)


def test_votes_that_are_none_are_refused():
    with pytest.raises(ArgumentError, match="at least one mask"):
        vote([])
    with pytest.raises(ArgumentError, match=r"share must lie in \(0, 1\], got 0"):
        vote(THREE, 0)
    with pytest.raises(MaskError, match="same parameters"):
        vote([*THREE, prunus.Masks({"v": torch.ones(4, dtype=torch.bool)})])
