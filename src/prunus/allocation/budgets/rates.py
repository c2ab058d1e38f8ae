"""A pruning rate for each layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from prunus.allocation.budgets.bisection import smallest_double
from prunus.allocation.budgets.request import Request
from prunus.allocation.budgets.settling import settled
from prunus.errors import ArgumentError
from prunus.masks.scope import Scope


@dataclass(frozen=True)
class Rates:
    """Each layer loses a fraction of its own in every round, and as many rounds are gone, or parts of one, as it takes.

    After t rounds a layer that loses a fraction r in each has (1 − r)ᵗ of its weights; t is such that the sparsity over
    all is the one that is asked for. With equal rates this is the uniform budget.

    Masks are nested but for the rounding of single weights.

    Attributes:
        rate: of a layer that is not named, in (0, 1).
        layers: pattern of module or parameter names, as in ``include`` → rate of these, in (0, 1); of several patterns
            that match, the last counts.

    Raises:
        ArgumentError: a rate is out of bounds.
        ScopeError: a pattern names nothing to prune.
        TargetError: see ``Request.wanted``.

    Source: Frankle & Carbin 2019 (arXiv:1803.03635), who prune LeNet's output layer at half the rate of the others.
    """

    rate: float = 0.2
    layers: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.layers, Mapping):
            raise ArgumentError(f"layers must map names to rates, such as {{'fc3': 0.1}}, got {self.layers!r}")
        for rate in (self.rate, *self.layers.values()):
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1:
                raise ArgumentError(f"a rate is the fraction that goes in a round, in (0, 1), got {rate!r}")

    def __call__(self, request: Request) -> dict[str, float]:
        """Share out the sparsity of the request, see the class."""
        rates = dict.fromkeys(request.sizes, self.rate)
        for pattern, rate in self.layers.items():
            found = Scope(include=(pattern,)).parameters(request.subject.model)
            rates |= dict.fromkeys(found.keys() & rates.keys(), rate)

        def left_after(rounds: float) -> dict[str, float]:
            return {name: size * math.exp(rounds * math.log1p(-rates[name])) for name, size in request.sizes.items()}

        rounds = smallest_double(lambda rounds: math.fsum(left_after(rounds).values()) <= request.wanted, above=0.0)
        return settled(request, left_after(rounds if request.wanted < sum(request.sizes.values()) else 0.0))
