"""A training that is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from prunus.masks.masks import Masks
from prunus.training.trainer import WHOLE, Stretch, Trainer

Outcome = list[float] | Exception  # mean loss of every epoch, or the error by which a training ended


@dataclass(frozen=True)
class Fit:
    """What ``Trainer.fit`` takes.

    Attributes:
        trainer: data, plan and loss.
        model: trained in place.
        seed: of the order of the data, of augmentation and of dropout.
        masks: held throughout.
        stretch: part of the plan to train.
    """

    trainer: Trainer
    model: nn.Module
    seed: int
    masks: Masks | None = None
    stretch: Stretch = WHOLE

    def alone(self) -> list[float]:
        """Train; mean loss of every epoch.

        Raises:
            TrainingError: the loss or a weight is no longer finite.
        """
        return self.trainer.fit(self.model, self.seed, masks=self.masks, stretch=self.stretch)
