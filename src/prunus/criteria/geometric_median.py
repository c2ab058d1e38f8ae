"""Geometric median: filters that others can stand in for."""

from __future__ import annotations

import torch
from torch import Tensor

from prunus.criteria.subject import Scores, Subject
from prunus.criteria.unit_gates import over_units, unit_layouts

_ELEMENTS = 1 << 25  # distances that are computed together


def geometric_median(subject: Subject) -> Scores:
    """The sum of a filter's Euclidean distances to all filters of its layer, for all weights of the filter.

    The filter nearest to the geometric median of all of them has the least sum, and goes first: what it does, the
    others can do too, whatever its norm. Filters are outputs of any layer. Sums of layers that differ in width cannot
    be compared, and the paper removes the same fraction of each: the scope ``"layer"``.

    Returns:
        parameter name → tensor of the parameter's shape, in float32 at least; higher stays.

    Source: He et al. 2019, "filter pruning via geometric median" (arXiv:1811.00250).
    """
    weights, layouts = subject.weights(), unit_layouts(subject)
    return over_units(subject, {name: _distances(layouts[name].matrix(weights.__getitem__, 0.0)) for name in weights})


def _distances(filters: Tensor) -> Tensor:
    """(filters,) sum of the distances to all others."""
    exact = filters.double()  # the distance of filters that are nearly equal is a small difference of large numbers
    parts = exact.split(max(1, _ELEMENTS // len(exact)))
    sums = torch.cat([torch.cdist(part, exact).sum(1) for part in parts])
    return sums.to(torch.promote_types(filters.dtype, torch.float32))
