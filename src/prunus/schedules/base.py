"""What every schedule answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import SupportsFloat, SupportsIndex

from prunus.errors import ArgumentError


class Schedule(ABC):
    """Training step → sparsity. Steps count from 1: step k is the k-th call of ``optimizer.step()``."""

    @abstractmethod
    def sparsity(self, step: int) -> float:
        """Sparsity that the masks have after ``step`` steps, in [0, 1)."""

    @abstractmethod
    def due(self, step: int) -> bool:
        """Whether the masks are made anew after ``step`` steps."""


def require_sparsity(value: object, name: str = "sparsity") -> float:
    """The sparsity as a float.

    Raises:
        ArgumentError: it is no number in [0, 1).
    """
    number = float(value) if isinstance(value, SupportsFloat) and not isinstance(value, bool) else None
    if number is not None and 0 <= number < 1:
        return number
    hint = ": it is a fraction removed, not a percentage" if number is not None and number >= 1 else ""
    raise ArgumentError(f"{name} must lie in [0, 1), got {value!r}{hint}")


def require_schedule(value: object) -> None:
    """Refuse what is no schedule, such as a sparsity alone.

    Raises:
        ArgumentError: it does not say when it is due and how sparse it asks the model to be.
    """
    if not callable(getattr(value, "due", None)) or not callable(getattr(value, "sparsity", None)):
        raise ArgumentError(
            "a schedule is one of prunus.schedules, such as OneShot(0.9) or Cubic(0.9, begin=0, end=1000), "
            f"got {value!r}"
        )


def require_steps(**steps: int) -> None:
    """Refuse what is no whole number of steps, or negative."""
    for name, value in steps.items():
        if not isinstance(value, SupportsIndex) or isinstance(value, bool) or value.__index__() < 0:
            raise ArgumentError(f"{name} must be a whole number of steps, not negative, got {value!r}")
