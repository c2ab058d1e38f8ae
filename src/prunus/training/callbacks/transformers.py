"""Pruning while the Trainer of Hugging Face transformers trains (extra ``hf``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

from prunus.errors import FileFormatError, MissingExtraError, TrainingError
from prunus.masks.masks import Masks
from prunus.training.callbacks.attached import Attached, MakePruner
from prunus.training.callbacks.state_file import read_state, write_state
from prunus.training.loop_pruner import LoopPruner
from prunus.training.pruner import Pruner

try:
    import accelerate  # noqa: F401  # without it, transformers has no Trainer
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ImportError as error:
    raise MissingExtraError("transformers and accelerate", "hf", "pruning in the Trainer's loop") from error

STATE_FILE = "prunus.safetensors"  # beside the other files of a checkpoint


@final
class PruningCallback(TrainerCallback):
    """Prunes the model while ``Trainer.train`` trains it, and holds what is pruned at 0.0.

    Steps are those of the optimizer, so that with ``gradient_accumulation_steps`` several batches are one. The pruner's
    state is written into every checkpoint, and a training that is resumed from one goes on in the middle of its
    schedule. With several processes all have the same masks.

    When the training is over, nothing is held any longer: the model's removed weights are 0.0, and ``masks`` says
    which they are. With ``load_best_model_at_end`` they are those of the best checkpoint, which may have been written
    before the schedule had reached its sparsity.

    Args:
        make: ``prunus.Pruner``, or ``Rewirer``, ``MovementPruner`` or ``EdgePopup`` of ``prunus.training``.
        checkpoint: folder of the checkpoint that the training is resumed from, where it does not lie in
            ``output_dir``.
        options: keyword arguments of ``make``, such as ``schedule`` and ``criterion``.

    Raises:
        TrainingError: the training is resumed from a checkpoint that has no pruner's state.
    """

    def __init__(self, make: MakePruner = Pruner, /, *, checkpoint: Path | str | None = None, **options: Any) -> None:
        self._attached = Attached(make, options)
        self._checkpoint = checkpoint

    @property
    def pruner(self) -> LoopPruner[Any]:
        """The pruner that the training has made."""
        return self._attached.pruner

    @property
    def masks(self) -> Masks:
        """What stays."""
        return self._attached.masks

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **training: Any
    ) -> None:
        """Make the pruner; the model and the optimizer are restored by now."""
        resumed = self._resumed(Path(self._checkpoint or _folder(args, state))) if state.global_step else None
        self._attached.begin(training["model"], training["optimizer"], resumed)

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        """Count a step."""
        self.pruner.step()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Write the pruner's state into the checkpoint."""
        if state.is_world_process_zero:
            write_state(self.pruner.state_dict(), _folder(args, state) / STATE_FILE)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Let go; where the best model has been loaded, of its masks."""
        if args.load_best_model_at_end and state.best_model_checkpoint is not None:
            self.pruner.load_state_dict(read_state(Path(state.best_model_checkpoint) / STATE_FILE))
        self._attached.end()

    def _resumed(self, folder: Path) -> dict[str, Any]:
        try:
            return read_state(folder / STATE_FILE)
        except FileFormatError as error:
            raise TrainingError(
                f"the training is resumed, and there is no pruner's state to go on from: {error}. Name the folder of "
                "the checkpoint by PruningCallback(checkpoint=…); to begin to prune a model that was trained without, "
                "load its weights and begin a new training"
            ) from error


def _folder(args: TrainingArguments, state: TrainerState) -> Path:
    """Where the Trainer keeps the checkpoint of this step."""
    return Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
