"""The layers' shares that SynFlow finds."""

from __future__ import annotations

from dataclasses import dataclass

from prunus.allocation.budgets.request import Request
from prunus.allocation.budgets.settling import settled
from prunus.errors import ArgumentError


@dataclass(frozen=True)
class SynFlow:
    """As many weights of each layer stay as when the model is pruned by iterated synaptic flow.

    The flow says how many stay; which ones, the request's scores decide. It looks at no data but the shape of the first
    inputs, and never empties a layer before all others are as small.

    Masks need not be nested: each sparsity is gone to in rounds of its own.

    Attributes:
        rounds: in which the sparsity is reached, scoring anew at each; at least 1.

    Raises:
        ArgumentError: ``rounds`` is out of bounds, or there are no batches.
        ScoreError: the model has no flow.
        TargetError: see ``Request.wanted``.

    Source: Tanaka et al. 2020, "iterative synaptic flow pruning" (arXiv:2006.05467).
    """

    rounds: int = 100

    def __post_init__(self) -> None:
        if not isinstance(self.rounds, int) or isinstance(self.rounds, bool) or self.rounds < 1:
            raise ArgumentError(f"rounds must be a whole number, at least 1, got {self.rounds!r}")

    def __call__(self, request: Request) -> dict[str, float]:
        """Share out the sparsity of the request, see the class."""
        from prunus.allocation.technique import Technique

        sparsity = 1 - request.wanted / sum(request.sizes.values())
        technique = Technique("synflow", rounds=self.rounds, protect=request.protect)
        masks = technique.allocate(request.subject, sparsity, request.current).masks
        return settled(request, {name: int(masks[name].count_nonzero()) for name in request.sizes})
