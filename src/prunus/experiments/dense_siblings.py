"""Training siblings of the dense network."""

from __future__ import annotations

from prunus.experiments.maker import Made, Making
from prunus.experiments.making import TechniqueMaker
from prunus.training.together.fit import Fit
from prunus.training.trainer import Stretch


class SiblingMaker(TechniqueMaker):
    """The dense network from the weights to rewind to on, on the data in another order.

    The dense network itself has passed through these weights, so that it is the other copy.

    Source: Frankle et al. 2020, instability analysis from step k, figure 1 (arXiv:1912.05671).
    """

    def make(self, position: int) -> Making:
        """Position 0 is the step to rewind to, unless it is the initialisation; the last is the trained sibling."""
        late = self.settings.begins_with_training
        if late and position == 0:
            return (yield from self._checkpoint())
        start = self.work.state_id(0) if late else self.initial_state
        model, _ = self.restored(start)
        stretch = Stretch(self.start)
        losses = yield Fit(self.shop.trainer(), model, self.order_seed(position), stretch=stretch)
        return Made(model, "trained", start, training_loss=tuple(losses))

    def order_seed(self, position: int) -> int:
        """Of the other order; the same whatever the step, so that steps differ in nothing else."""
        return self.work.pruning_seed("reordered", 1)
