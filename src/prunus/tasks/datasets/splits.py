"""Splitting by class: every split has every class in the proportion of the whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prunus.errors import DataError

_SEED = 20190312


def stratified(labels: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """Disjoint shuffled index arrays of exactly ``sizes``, each class within one example of its share of each.

    The same labels and sizes always give the same split, on every machine and with every version of NumPy.

    Args:
        labels: integers (N,).
        sizes: examples per split; together exactly N.

    Returns:
        int64 index arrays, one per size.

    Raises:
        DataError: the sizes do not add up to the number of labels.
    """
    if sum(sizes) != len(labels):
        raise DataError(
            f"splits of {', '.join(f'{size:,}' for size in sizes)} examples need {sum(sizes):,} in all, "
            f"but there are {len(labels):,}"
        )
    # RandomState, because NumPy promises its stream forever; that of Generator may change
    random = np.random.RandomState(_SEED)
    queues = [random.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    splits = []
    for size in sizes:
        counts = _shares([len(queue) for queue in queues], size)
        taken = [queue[:count] for queue, count in zip(queues, counts, strict=True)]
        queues = [queue[count:] for queue, count in zip(queues, counts, strict=True)]
        splits.append(random.permutation(np.concatenate(taken)))
    return splits


def _shares(available: list[int], size: int) -> list[int]:
    """``size`` divided in the proportion of ``available``; what rounding leaves goes to the largest remainders."""
    total = max(sum(available), 1)
    counts = [count * size // total for count in available]
    remainders = [count * size % total for count in available]
    for index in sorted(range(len(available)), key=lambda index: -remainders[index])[: size - sum(counts)]:
        counts[index] += 1
    return counts
