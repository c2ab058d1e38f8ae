"""What all kinds of work share: one run, and what identifies it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

from prunus.experiments.seeds import Seeds
from prunus.files.canonical import digest


@dataclass(frozen=True)
class BaseWork(ABC):
    """One run that has to be done: what is not pruned, or one technique, with one seed.

    Attributes:
        kind: of experiment, see ``prunus.experiments.kinds``.
        task: the task's settings, with a digest of the user's own source files.
        training: how to train or to grow.
        seeds: of this replicate.
        technique: None for what is not pruned.
        sparsities: targets.
        code: digest of the user's own code behind the technique.
    """

    kind: ClassVar[str]
    task: dict[str, Any]
    training: Any
    seeds: Seeds
    technique: Any = None
    sparsities: tuple[float, ...] = ()
    code: dict[str, str] = field(default_factory=dict)

    @property
    @abstractmethod
    def stated_training(self) -> dict[str, Any]:
        """The settings of the training that differ from their defaults."""

    @property
    @abstractmethod
    def states_planned(self) -> int:
        """States that the run has when it is complete."""

    @property
    def beside(self) -> str | None:
        """What runs have in common that may be done side by side, as one model; None where it is done alone."""
        return None

    @property
    def needs(self) -> tuple[Self, ...]:
        """The runs that must be complete before it."""
        return (self.dense,) if self.technique else ()

    @property
    def elsewhere(self) -> tuple[Self, ...]:
        """Runs that must be complete before it too, but are of other tasks, or no replicates of its experiment."""
        return ()

    @property
    def dense(self) -> Self:
        """The work that makes what this replicate starts from."""
        return type(self)(self.task, self.training, Seeds(self.seeds.init, self.seeds.order))

    @property
    def id(self) -> str:
        """Digest of everything that determines the result; defaults are left out."""
        return digest({**self._stated, "seeds": [*self.seeds.stated.values()]})

    def state_id(self, position: int) -> str:
        """Digest of the run and the position: the same work has the same id."""
        return digest([self.id, position])

    @property
    def label(self) -> str:
        """The technique's name."""
        return self.technique.label if self.technique else "dense"

    @property
    def _stated(self) -> dict[str, Any]:
        """What identifies the work, but for the seeds."""
        stated: dict[str, Any] = {"task": self.task, _TRAINING[self.kind]: self.stated_training}
        if self.technique is not None:
            stated |= {"technique": self.technique.stated(), "sparsities": self.sparsities}
        return stated | ({"code": self.code} if self.code else {})


_TRAINING = {"network": "training", "trees": "trees"}  # kind → key of its training, by which no two kinds share an id
_Work = TypeVar("_Work", bound=BaseWork)


def with_needs(works: Iterable[_Work]) -> list[_Work]:
    """The work of techniques after that of the dense networks, and with all that it needs, each once."""
    found = [*works]
    needed = [each for work in found for each in work.needs]
    dense = {each.id: each for each in needed if not each.technique}
    return [*dense.values(), *{work.id: work for work in [*found, *needed] if work.technique}.values()]


def with_elsewhere(works: Iterable[_Work]) -> list[_Work]:
    """The work of an experiment, and all that it needs of other tasks or replicates, with what that needs."""
    shown = [*works]
    hidden = with_needs(each for work in shown for each in work.elsewhere)
    return [*{work.id: work for work in [*shown, *hidden]}.values()]
