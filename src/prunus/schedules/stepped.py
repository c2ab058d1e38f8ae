"""Schedules that rise in steps."""

from __future__ import annotations

from dataclasses import dataclass

from prunus.errors import ArgumentError
from prunus.schedules.base import Schedule, require_sparsity, require_steps


@dataclass(frozen=True)
class OneShot(Schedule):
    """All at once.

    Attributes:
        final: sparsity, in [0, 1).
        at: step after which the masks are made; 0 is before the first.
    """

    final: float
    at: int = 0

    def __post_init__(self) -> None:
        require_sparsity(self.final, "final")
        require_steps(at=self.at)

    def sparsity(self, step: int) -> float:
        """0 before ``at``, then final."""
        return self.final if step >= self.at else 0.0

    def due(self, step: int) -> bool:
        """At ``at`` alone."""
        return step == self.at


@dataclass(frozen=True)
class Levels(Schedule):
    """A list of sparsities, one after another.

    Attributes:
        levels: rising sparsities, each in [0, 1).
        every: steps between two levels.
        begin: step after which the first level is reached.
    """

    levels: tuple[float, ...]
    every: int
    begin: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(self.levels))
        if not self.levels:
            raise ArgumentError("levels must name at least one sparsity")
        for level in self.levels:
            require_sparsity(level, "a level")
        if any(later <= earlier for earlier, later in zip(self.levels, self.levels[1:], strict=False)):
            raise ArgumentError(f"levels must rise, got {list(self.levels)}")
        require_steps(begin=self.begin, every=self.every)
        if self.every < 1:
            raise ArgumentError(f"every must be at least 1, got {self.every}")

    def sparsity(self, step: int) -> float:
        """The level reached last; 0 before the first."""
        if step < self.begin:
            return 0.0
        return self.levels[min((step - self.begin) // self.every, len(self.levels) - 1)]

    def due(self, step: int) -> bool:
        """Whenever the next level is reached."""
        rounds, rest = divmod(step - self.begin, self.every)
        return rest == 0 and 0 <= rounds < len(self.levels)


@dataclass(frozen=True)
class Iterative(Schedule):
    """The same fraction of what is left in every round.

    Attributes:
        rounds: how many.
        every: steps between two rounds.
        fraction: removed of what is left, in (0, 1); 0.2 in Frankle & Carbin 2019 (arXiv:1803.03635).
        begin: step after which the first round prunes.
    """

    rounds: int
    every: int
    fraction: float = 0.2
    begin: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise ArgumentError(f"fraction must lie in (0, 1), got {self.fraction}")
        require_steps(begin=self.begin, every=self.every, rounds=self.rounds)
        if self.rounds < 1 or self.every < 1:
            raise ArgumentError(f"rounds and every must be at least 1, got {self.rounds} and {self.every}")
        require_sparsity(1 - (1 - self.fraction) ** self.rounds, "the sparsity after the last round")

    def sparsity(self, step: int) -> float:
        """1 − (1 − fraction)^rounds, with the rounds done so far."""
        done = (step - self.begin) // self.every + 1 if step >= self.begin else 0
        return 1 - (1 - self.fraction) ** min(done, self.rounds)

    def due(self, step: int) -> bool:
        """At ``begin`` and every ``every`` steps after it, ``rounds`` times."""
        number, rest = divmod(step - self.begin, self.every)
        return rest == 0 and 0 <= number < self.rounds
