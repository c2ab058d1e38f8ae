"""Outlier-weighed layerwise sparsity."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from torch import nn

from prunus.allocation.budgets.request import Request
from prunus.allocation.budgets.settling import settled
from prunus.criteria.subject import Scores
from prunus.criteria.wanda import wanda
from prunus.errors import ArgumentError
from prunus.masks.owners import Owner, owners_of

Granularity = Literal["block", "layer"]


@dataclass(frozen=True)
class Owl:
    """Blocks with many outliers stay denser.

    An outlier is a weight whose |w| · ‖X‖₂, with the norm of the input that it is multiplied with over all examples and
    positions, is above ``outlier`` times the mean of its block. The densities of the blocks are spread in proportion to
    their fractions of outliers over an interval of length 2 · ``spread``, set so that the total is right; all layers of
    a block have the same. Blocks are weighed by their weights, which in transformers with equal blocks is as published.

    Masks need not be nested: rounding can give a layer one weight more at a higher sparsity.

    Attributes:
        outlier: M, how many times the mean an outlier exceeds, above 0.
        spread: λ, in [0, 1]; 0 is uniform. The defaults of both are those of the authors' examples.
        granularity: ``"block"``, where the weights of a block count together, or ``"layer"``, each for itself.
        blocks: what the names of the blocks match, such as ``"model.layers.*"``; of modules inside one another the
            outermost counts. Where empty, the entries of ``ModuleList`` and ``Sequential``, again the outermost. A
            layer in no block is one by itself.

    Raises:
        ArgumentError: a setting is out of bounds, or there are no batches.
        ScoreError: a weight is not that of a linear layer or convolution that is called, or its inputs are not finite.
        TargetError: see ``Request.wanted``.

    Source: Yin et al. 2024 (arXiv:2310.05175), and ``prune_wanda_outlier`` of the authors' code.
    """

    outlier: float = 5.0
    spread: float = 0.08
    granularity: Granularity = "block"
    blocks: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.outlier, int | float) or not 0 < self.outlier < float("inf"):
            raise ArgumentError(f"outlier must be above 0 and finite, got {self.outlier!r}: it multiplies the mean")
        if not isinstance(self.spread, int | float) or not 0 <= self.spread <= 1:
            raise ArgumentError(f"spread must lie in [0, 1], got {self.spread!r}: it is a difference of densities")
        if self.granularity not in get_args(Granularity):
            raise ArgumentError(f"granularity must be 'block' or 'layer', got {self.granularity!r}")

    def __call__(self, request: Request) -> dict[str, float]:
        """Share out the sparsity of the request, see the class."""
        blocks = self._members(request)
        scores = wanda(request.subject)
        shares = {block: self._outliers(scores, names, request.left) for block, names in blocks.items()}
        lowest, highest = min(shares.values()), max(shares.values())
        factor = 2 * self.spread / (highest - lowest) if highest > lowest else 0.0
        densities = {name: factor * shares[block] for block, names in blocks.items() for name in names}
        total = sum(request.sizes.values())
        mean = sum(densities[name] * size for name, size in request.sizes.items()) / total
        shift = 1 - request.sparsity - mean
        return settled(
            request, {name: max(0.0, densities[name] + shift) * size for name, size in request.sizes.items()}
        )

    def _members(self, request: Request) -> dict[str, list[str]]:
        """Block → names of its parameters."""
        owners = owners_of(request.subject.model)
        found: dict[str, list[str]] = {}
        for name in request.sizes:
            block = None if self.granularity == "layer" else self._block(owners[name])
            found.setdefault(name if block is None else block, []).append(name)
        return found

    def _block(self, owner: Owner) -> str | None:
        paths = list(owner.ancestors)
        for parent, path in pairwise(paths):
            listed = isinstance(owner.ancestors[parent], nn.ModuleList | nn.Sequential)
            if fnmatch.fnmatchcase(path, self.blocks) if self.blocks else listed:
                return path
        return None

    def _outliers(self, scores: Scores, names: Sequence[str], left: Mapping[str, int]) -> float:
        """The fraction of outliers among the weights that are left of a block; removed ones score 0."""
        count = sum(left[name] for name in names)
        if not count:
            return 0.0
        threshold = self.outlier * sum(float(scores[name].double().sum()) for name in names) / count
        return sum(int((scores[name].double() > threshold).sum()) for name in names) / count
