"""What all that prune while somebody else's loop trains have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, final

from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from prunus.errors import ArgumentError, MaskError
from prunus.masks.masks import Masks

Done = TypeVar("Done")


class LoopPruner(ABC, Generic[Done]):
    """Prunes while any loop trains: call ``step()`` after every ``optimizer.step()``.

    Made by ``Pruner``, ``Rewirer``, ``MovementPruner`` and ``EdgePopup``.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._steps = 0
        self._averages: list[nn.Module] = []

    @property
    def steps(self) -> int:
        """Training steps done."""
        return self._steps

    @property
    @abstractmethod
    def masks(self) -> Masks:
        """What stays now."""

    @final
    def step(self) -> Done | None:
        """Count one training step, and do what is due after it.

        Calls between which Accelerate only accumulates gradients, so that its optimizer makes no step, do not count.

        Returns:
            what was done; None where nothing was due.

        Raises:
            PrunusError: it could not be done; the masks are as before.
        """
        if _accumulates(self._optimizer):
            return None
        self._steps += 1
        done = self._advance()
        if done is not None:
            self._mask_averages()
        return done

    @final
    def mask_also(self, average: nn.Module) -> None:
        """Remove from this copy too whatever is removed, now and from now on.

        For a moving average of the model's weights, such as ``torch.optim.swa_utils.AveragedModel``, in which a
        removed weight would otherwise fade away over many steps and never be 0.0.

        Args:
            average: a module with the model's parameters, which your loop updates from the model.

        Raises:
            MaskError: it has other parameters than the model.
        """
        self.masks.apply(average)
        self._averages.append(average)

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint between two steps needs to go on."""

    @final
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        The optimizer's state is loaded by you, and so are the model's weights, but for those in scope of a
        ``MovementPruner`` or an ``EdgePopup``, which are in its state. Load them after the pruner is made, which may
        have removed weights by then; where they are loaded before, make the pruner with ``state``.

        Raises:
            ArgumentError: the state of another kind of pruner.
            MaskError: it does not fit the model.
        """
        self._load(state)
        self._mask_averages()

    @abstractmethod
    def close(self) -> None:
        """Hold nothing any longer; the weights stay as they are."""

    @abstractmethod
    def _advance(self) -> Done | None:
        """Do what is due after ``steps`` steps."""

    @abstractmethod
    def _load(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; see ``load_state_dict``."""

    def _mask_averages(self) -> None:
        for average in self._averages:
            self.masks.apply(average)

    @final
    def _masks_in(self, state: Mapping[str, Any], keys: set[str], parameters: Mapping[str, Tensor]) -> Masks:
        """The masks of a state, if it has these keys and its masks are those of the parameters in scope.

        Raises:
            ArgumentError: it has other keys.
            MaskError: its masks are of other parameters.
        """
        if state.keys() != keys:
            raise ArgumentError(
                f"not a {type(self).__name__}'s state: it has the keys {sorted(state)}, this one's {sorted(keys)}"
            )
        masks = Masks(state["masks"])
        if masks.keys() != parameters.keys():
            raise MaskError(f"the state's masks cover {sorted(masks)}, in scope are {sorted(parameters)}")
        for name, mask in masks.items():
            if mask.shape != parameters[name].shape:
                raise MaskError(
                    f"the state's mask of {name!r} has shape {tuple(mask.shape)}, the parameter "
                    f"{tuple(parameters[name].shape)}"
                )
        return masks

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _accumulates(optimizer: Optimizer) -> bool:
    """Whether this is Accelerate's wrapper, and its last ``step()`` made none."""
    state = getattr(optimizer, "gradient_state", None)
    return state is not None and not state.sync_gradients
