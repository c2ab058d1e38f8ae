"""A pruner that is made when a library's training begins, and outlives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

from torch import nn
from torch.optim.optimizer import Optimizer

from prunus.errors import TrainingError
from prunus.masks.masks import Masks
from prunus.training.loop_pruner import LoopPruner

MakePruner = Callable[..., LoopPruner[Any]]


@final
class Attached:
    """Makes a pruner for the model and the optimizer that a library comes with, and keeps it.

    Args:
        make: ``Pruner``, ``Rewirer``, ``MovementPruner``, ``EdgePopup``, or what is called like them.
        options: its keyword arguments, without the model and the optimizer.
    """

    def __init__(self, make: MakePruner, options: Mapping[str, Any]) -> None:
        self._make, self._options = make, dict(options)
        self._pruner: LoopPruner[Any] | None = None
        self._at_work = False

    @property
    def pruner(self) -> LoopPruner[Any]:
        """The pruner; after the training, that of the last one.

        Raises:
            TrainingError: no training has begun.
        """
        if self._pruner is None:
            raise TrainingError("the pruner is made when the training begins, and none has begun")
        return self._pruner

    @property
    def begun(self) -> bool:
        """Whether there is a pruner."""
        return self._pruner is not None

    @property
    def masks(self) -> Masks:
        """What stays; see ``pruner``."""
        return self.pruner.masks

    def begin(self, model: nn.Module, optimizer: Optimizer, state: Mapping[str, Any] | None) -> None:
        """Make the pruner.

        Args:
            model: with the weights that go with the state.
            optimizer: that trains it.
            state: of a checkpoint; None where the training begins.

        Raises:
            PrunusError: see the pruner.
        """
        self.end()
        self._pruner = self._make(model, optimizer, **self._options, state=state)
        self._at_work = True

    def end(self) -> None:
        """Hold nothing any longer; the second time, do nothing."""
        if self._at_work:
            self._at_work = False
            self.pruner.close()
