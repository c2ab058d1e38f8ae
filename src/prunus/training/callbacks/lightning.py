"""Pruning while Lightning trains (extra ``lightning``)."""

from __future__ import annotations

from typing import Any, final

from torch.optim.optimizer import Optimizer

from prunus.errors import ArgumentError, MissingExtraError
from prunus.masks.masks import Masks
from prunus.training.callbacks.attached import Attached, MakePruner
from prunus.training.loop_pruner import LoopPruner
from prunus.training.pruner import Pruner

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
    from lightning.pytorch.callbacks import WeightAveraging
except ImportError as error:
    raise MissingExtraError("Lightning", "lightning", "pruning in Lightning's loop") from error


@final
class PruningCallback(Callback):
    """Prunes the module while ``Trainer.fit`` trains it, and holds what is pruned at 0.0.

    Steps are those of the optimizer, so that with ``accumulate_grad_batches`` several batches are one. With manual
    optimization a batch in which it steps several times is one step, too, and one in which it does not is none. What is
    pruned goes into Lightning's checkpoints, and a training that is resumed with ``ckpt_path`` goes on in the middle of
    its schedule. In averages of the weights that Lightning's ``WeightAveraging`` keeps, removed weights are 0.0 too.
    With the strategy ``"ddp"`` all processes have the same masks.

    When the training is over, nothing is held any longer: the module's removed weights are 0.0, and ``masks`` says
    which they are.

    Args:
        make: ``prunus.Pruner``, or ``Rewirer``, ``MovementPruner`` or ``EdgePopup`` of ``prunus.training``.
        optimizer: number of the optimizer that trains what is pruned, where the module has several.
        options: keyword arguments of ``make``, such as ``schedule`` and ``criterion``.

    Raises:
        ArgumentError: the module has several optimizers, and it is not said which.
    """

    def __init__(self, make: MakePruner = Pruner, /, *, optimizer: int | None = None, **options: Any) -> None:
        super().__init__()
        self._number = optimizer
        self._attached = Attached(make, options)
        self._state: dict[str, Any] | None = None
        self._global_step = 0
        self._stepped = False

    @property
    def pruner(self) -> LoopPruner[Any]:
        """The pruner that the training has made."""
        return self._attached.pruner

    @property
    def masks(self) -> Masks:
        """What stays."""
        return self._attached.masks

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget what was read for another training: Lightning hands the state over for tests and validations too."""
        self._state = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the pruner; model, optimizer and state are restored by now."""
        number = self._number
        if number is None and len(trainer.optimizers) != 1:
            raise ArgumentError(
                f"the module has {len(trainer.optimizers)} optimizers: say by optimizer=0 which trains what is pruned"
            )
        if number is not None and not 0 <= number < len(trainer.optimizers):
            raise ArgumentError(f"optimizer must be below the module's {len(trainer.optimizers)}, got {number}")
        self._global_step, self._stepped = trainer.global_step, False
        self._attached.begin(pl_module, trainer.optimizers[number or 0], self._state)
        self._state = None
        for callback in getattr(trainer, "callbacks", ()):  # which its types do not tell of
            average = callback._average_model if isinstance(callback, WeightAveraging) else None
            if average is not None:
                self.pruner.mask_also(average)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """See which of several optimizers steps."""
        self._stepped |= optimizer is trainer.optimizers[self._number or 0]

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        """Count a step, if the batch ended in one."""
        stepped = trainer.global_step > self._global_step  # counts the steps of all optimizers
        if stepped and (pl_module.automatic_optimization or self._stepped):
            self.pruner.step()
        self._global_step, self._stepped = trainer.global_step, False

    def on_train_end(self, *_: object) -> None:
        """Let go."""
        self._attached.end()

    def on_exception(self, *_: object) -> None:
        """Let go."""
        self._attached.end()

    def state_dict(self) -> dict[str, Any]:
        """What Lightning stores in its checkpoint."""
        return self.pruner.state_dict() if self._attached.begun else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What Lightning read from its checkpoint; the next training goes on from there."""
        self._state = state_dict
