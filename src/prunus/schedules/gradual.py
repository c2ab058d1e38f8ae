"""Schedules that rise little by little while training goes on."""

from __future__ import annotations

from dataclasses import dataclass

from prunus.errors import ArgumentError
from prunus.schedules.base import Schedule, require_sparsity, require_steps


@dataclass(frozen=True)
class _Ramp(Schedule):
    """From ``initial`` at step ``begin`` to ``final`` at step ``end``, with new masks every ``every`` steps.

    Attributes:
        final: sparsity at the end, in [0, 1).
        begin: first step at which masks are made.
        end: step at which the final sparsity is reached.
        initial: sparsity at the beginning, in [0, final].
        every: steps between two prunings.
    """

    final: float
    begin: int
    end: int
    initial: float = 0.0
    every: int = 1

    def __post_init__(self) -> None:
        require_sparsity(self.final, "final")
        require_sparsity(self.initial, "initial")
        require_steps(begin=self.begin, end=self.end, every=self.every)
        if self.initial > self.final:
            raise ArgumentError(f"initial must not exceed final, got {self.initial} and {self.final}")
        if self.end < self.begin:
            raise ArgumentError(f"end must not lie before begin, got {self.end} and {self.begin}")
        if self.every < 1:
            raise ArgumentError(f"every must be at least 1, got {self.every}")

    def due(self, step: int) -> bool:
        """At ``begin``, every ``every`` steps after it, and at ``end``."""
        return self.begin <= step <= self.end and ((step - self.begin) % self.every == 0 or step == self.end)

    def _ramp(self, step: int, exponent: int) -> float:
        """Final + (initial − final) · (1 − progress)^exponent, with the progress of the last due step; 0 before all."""
        if step < self.begin:
            return 0.0
        if step >= self.end:
            return self.final
        progress = (step - self.begin) // self.every * self.every / (self.end - self.begin)
        return self.final + (self.initial - self.final) * (1 - progress) ** exponent


@dataclass(frozen=True)
class Linear(_Ramp):
    """The same number of weights at every pruning; see the attributes of the ramp."""

    def sparsity(self, step: int) -> float:
        """Final + (initial − final) · (1 − progress); 0 before ``begin``."""
        return self._ramp(step, 1)


@dataclass(frozen=True)
class Cubic(_Ramp):
    """Many weights at first, few in the end.

    Source: Zhu & Gupta 2017, equation 1 (arXiv:1710.01878).
    """

    def sparsity(self, step: int) -> float:
        """Final + (initial − final) · (1 − progress)³; 0 before ``begin``."""
        return self._ramp(step, 3)
