from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from prunus.errors import ArgumentError
from prunus.training.batches import LoaderBatches, TensorBatches, epoch_seed


def numbered(count, size, augment=None):
    return TensorBatches(torch.arange(count).float().reshape(-1, 1), torch.arange(count), size, augment)


def order(batches, *place):
    return [targets.tolist() for _, targets in batches.epoch(*place)]


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 5), st.integers(0, 2**63))
def test_an_epoch_shows_every_example_once(count, size, epoch, seed):
    batches = numbered(count, size)
    found = order(batches, epoch, seed)
    assert len(found) == len(batches)
    assert sorted(example for batch in found for example in batch) == list(range(count))
    assert all(len(batch) == size for batch in found[:-1])
    for inputs, targets in batches.epoch(epoch, seed):
        assert torch.equal(inputs[:, 0].long(), targets)


@given(st.integers(0, 4))
def test_an_epoch_from_the_middle_is_the_rest_of_the_whole(first):
    batches = numbered(20, 4, augment=lambda inputs, generator: inputs + torch.rand(1, generator=generator))
    whole = list(batches.epoch(3, 7))
    rest = list(batches.epoch(3, 7, first))
    assert len(rest) == 5 - first
    for (ours, our_targets), (theirs, their_targets) in zip(whole[first:], rest, strict=True):
        assert torch.equal(ours, theirs)
        assert torch.equal(our_targets, their_targets)


def test_the_order_depends_on_seed_and_epoch_alone():
    batches = numbered(20, 4)
    first = order(batches, 0, 1)
    torch.manual_seed(5)
    assert order(batches, 0, 1) == first
    assert order(batches, 1, 1) != first
    assert order(batches, 0, 2) != first


def test_augmentation_draws_anew_for_every_batch_epoch_and_seed():
    drawn = []
    batches = numbered(4, 2, augment=lambda inputs, generator: drawn.append(generator.initial_seed()) or inputs)
    for epoch, seed in ((0, 0), (1, 0), (0, 1)):
        list(batches.epoch(epoch, seed))
    assert len(set(drawn)) == 6


def test_epoch_seeds_are_distinct():
    seeds = {epoch_seed(seed, epoch, batch) for seed in range(20) for epoch in range(20) for batch in range(-1, 20)}
    assert len(seeds) == 20 * 20 * 21
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(("inputs", "targets", "size"), [(3, 2, 1), (0, 0, 1), (3, 3, 0)])
def test_batches_that_cannot_be_cut_are_refused(inputs, targets, size):
    with pytest.raises(ArgumentError):
        TensorBatches(torch.zeros(inputs, 2), torch.zeros(targets), size)


def loader(**settings):
    return DataLoader(TensorDataset(torch.arange(10.0), torch.arange(10)), batch_size=3, **settings)


def test_a_loader_with_a_generator_is_seeded_anew_for_every_epoch():
    batches = LoaderBatches(loader(shuffle=True, generator=torch.Generator()))
    assert len(batches) == 4
    first = order(batches, 0, 1)
    assert sorted(example for batch in first for example in batch) == list(range(10))
    assert order(batches, 1, 1) != first
    assert order(batches, 0, 1) == first
    assert order(batches, 0, 1, 2) == first[2:]


def test_a_loader_of_unknown_or_no_length_is_refused():
    class Endless(IterableDataset):
        def __iter__(self):
            return iter([])

    for broken in (DataLoader(Endless()), [], iter([])):
        with pytest.raises(ArgumentError, match=r"the loader must know its number of batches"):
            LoaderBatches(broken)


def test_a_single_example_that_is_left_over_joins_the_batch_before_it():
    batches = TensorBatches(torch.arange(241.0), torch.arange(241), 60)
    lengths = [len(targets) for _, targets in batches.epoch(0, 0)]
    assert lengths == [60, 60, 60, 61]
    assert len(batches) == 4
    assert [len(targets) for _, targets in TensorBatches(torch.ones(1), torch.ones(1), 60).epoch(0, 0)] == [1]
    assert [len(targets) for _, targets in TensorBatches(torch.ones(3), torch.ones(3), 1).epoch(0, 0)] == [1, 1, 1]
