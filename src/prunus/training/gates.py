"""L0 regularisation: random gates on weights or groups of weights, trained together with the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from prunus.allocation.technique import Technique
from prunus.errors import ArgumentError
from prunus.masks.masks import Masks
from prunus.training.options import ScopeOptions
from prunus.training.penalties import require_groups, require_lists, require_strength


@dataclass(frozen=True)
class HardConcrete:
    """The distribution of a gate in [0, 1] that is exactly 0 or 1 with probabilities above zero.

    Attributes:
        beta: temperature, above 0.
        gamma: lower end of the stretched interval, below 0.
        zeta: upper end, above 1.

    Source: Louizos et al. 2018, "hard concrete" (arXiv:1712.01312); the defaults are those of the authors' code.
    """

    beta: float = 2 / 3
    gamma: float = -0.1
    zeta: float = 1.1

    def __post_init__(self) -> None:
        if not (self.beta > 0 > self.gamma and self.zeta > 1):
            raise ArgumentError(
                f"beta must be above 0, gamma below 0 and zeta above 1, got {self.beta}, {self.gamma} and {self.zeta}"
            )

    def gate(self, log_alpha: Tensor, uniform: Tensor) -> Tensor:
        """The gates that uniform numbers in (0, 1) become."""
        return self._stretched(((uniform.logit() + log_alpha) / self.beta).sigmoid())

    def test_gate(self, log_alpha: Tensor) -> Tensor:
        """The gates without chance."""
        return self._stretched(log_alpha.sigmoid())

    def open_probability(self, log_alpha: Tensor) -> Tensor:
        """The probability that a gate is not 0."""
        return (log_alpha - self.beta * math.log(-self.gamma / self.zeta)).sigmoid()

    def _stretched(self, concrete: Tensor) -> Tensor:
        return (concrete * (self.zeta - self.gamma) + self.gamma).clamp(0, 1)


class GatedModel(nn.Module):
    """A model whose weights are multiplied by gates when it runs.

    The model itself stays as it is: the products are handed to its forward pass by ``torch.func.functional_call``.
    ``parameters()`` are those of the model and the gates', so an optimizer made of them trains both. In training mode
    every forward pass draws new gates, from torch's random state as dropout does; in evaluation mode they are those
    of ``HardConcrete.test_gate``. When training is over, ``prune()``, and go on with the model itself.

    Args:
        model: any module.
        pattern: what a gate is for, one of ``PATTERNS`` but not N:M; a parameter has its gates by its first name.
        drop_rate: the gates' first log α is drawn from N(log((1 − drop rate) / drop rate), 0.01²); in (0, 1).
        distribution: of the gates.
        seed: of their first log α.
        scope: include, exclude, types; see ``Technique``.

    Raises:
        ScopeError: nothing is in scope.
        ArgumentError: ``drop_rate`` is out of bounds, or a parameter in scope has no such groups.

    Source: Louizos et al. 2018 (arXiv:1712.01312).
    """

    def __init__(
        self,
        model: nn.Module,
        pattern: str = "weight",
        *,
        drop_rate: float = 0.5,
        distribution: HardConcrete = HardConcrete(),
        seed: int = 0,
        **scope: Unpack[ScopeOptions],
    ) -> None:
        super().__init__()
        if not 0 < drop_rate < 1:
            raise ArgumentError(f"drop_rate must lie in (0, 1), got {drop_rate}")
        parameters = Technique(**scope).parameters(model)
        shapes = {name: parameter.shape for name, parameter in parameters.items()}
        self.model, self.distribution = model, distribution
        groups = require_groups(pattern)
        self._layouts, self._may_empty = groups.layouts(shapes, model), groups.empties_layers
        own = {parameter: name for name, parameter in model.named_parameters()}
        self._names = {name: own[parameter] for name, parameter in parameters.items()}
        generator, middle = torch.Generator().manual_seed(seed), math.log((1 - drop_rate) / drop_rate)
        self.log_alpha = nn.ParameterList()
        for layout in self._layouts:
            weight = parameters[layout.names[0]]
            first = middle + 0.01 * torch.randn(len(layout.sizes), generator=generator)
            self.log_alpha.append(
                nn.Parameter(first.to(weight.device, torch.promote_types(weight.dtype, torch.float32)))
            )

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        """What the model gives with its weights multiplied by their gates."""
        draw = self._drawn if self.training else self.distribution.test_gate
        weights = {}
        for layout, log_alpha in zip(self._layouts, self.log_alpha, strict=True):
            for name, gates in layout.spread(draw(log_alpha)).items():
                weight = self.model.get_parameter(self._names[name])
                weights[self._names[name]] = weight * gates.to(weight.dtype)
        return torch.func.functional_call(self.model, weights, arguments, keywords)

    def expected_l0(self) -> Tensor:
        """How many weights in scope are expected to be kept, 0-d, differentiable in the gates.

        The probability that a gate is open, times the number of weights behind it, summed up.
        """
        terms = [
            layout.sizes.to(log_alpha.device, log_alpha.dtype) @ self.distribution.open_probability(log_alpha)
            for layout, log_alpha in zip(self._layouts, self.log_alpha, strict=True)
        ]
        return torch.stack(terms).sum()

    @property
    def masks(self) -> Masks:
        """What gates without chance leave open now."""
        return self._open(self._test_gates(protect=False))

    @torch.no_grad()
    def prune(self, protect: bool = False) -> Masks:
        """Multiply the model's weights by the gates without chance, in place; gates at 0 remove them.

        To be called once.

        Args:
            protect: where all gates of a tensor are closed, open the likeliest wholly, unless the pattern removes
                whole layers.

        Returns:
            what stays.
        """
        gates = self._test_gates(protect)
        for name, own in self._names.items():
            weight = self.model.get_parameter(own)
            weight.mul_(gates[name].to(weight.dtype))
        masks = self._open(gates)
        masks.apply(self.model)
        return masks

    @torch.no_grad()
    def _test_gates(self, protect: bool) -> dict[str, Tensor]:
        """Name → the gates without chance, of the parameter's shape."""
        found: dict[str, Tensor] = {}
        for layout, log_alpha in zip(self._layouts, self.log_alpha, strict=True):
            gates = self.distribution.test_gate(log_alpha)
            if protect and not self._may_empty and not bool(gates.any()):
                gates[log_alpha.argmax()] = 1.0
            found |= layout.spread(gates)
        return found

    def _open(self, gates: Mapping[str, Tensor]) -> Masks:
        return Masks.owning({name: (gates[name] > 0).contiguous() for name in self._names})

    def _drawn(self, log_alpha: Tensor) -> Tensor:
        return self.distribution.gate(log_alpha, torch.rand_like(log_alpha))


@dataclass(frozen=True)
class ExpectedL0:
    """Strength · expected number of kept weights, of a model with gates.

    Attributes:
        strength: λ, not negative.
        pattern, drop_rate, include, exclude, types: of the gates; see ``GatedModel``.
        seed: of their first values.

    Source: Louizos et al. 2018, the expected L0 norm (arXiv:1712.01312).
    """

    strength: float
    pattern: str = "weight"
    drop_rate: float = 0.5
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    types: Sequence[str] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        require_strength(self.strength)
        require_groups(self.pattern)
        require_lists(include=self.include, exclude=self.exclude, types=self.types)

    def gated(self, model: nn.Module) -> GatedModel:
        """The model with gates, to be trained in its place."""
        scope = ScopeOptions(include=self.include, exclude=self.exclude, types=self.types)
        return GatedModel(model, self.pattern, drop_rate=self.drop_rate, seed=self.seed, **scope)

    def __call__(self, model: nn.Module) -> Tensor:
        """0-d.

        Raises:
            ArgumentError: the model has no gates.
        """
        if not isinstance(model, GatedModel):
            raise ArgumentError(
                f"the expected L0 norm is that of a model with gates, got {type(model).__name__}: train "
                "penalty.gated(model) in its place"
            )
        return self.strength * model.expected_l0()
