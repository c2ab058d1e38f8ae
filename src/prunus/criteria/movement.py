"""Movement: which weights training moves away from zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from prunus.criteria.elementwise import ElementwiseScores
from prunus.criteria.gradients import require_telling, telling_gradients
from prunus.criteria.subject import Scores, Subject
from prunus.errors import ArgumentError


@final
class Movement:
    """−Σ w · ∂L/∂w over training steps: positive where the gradient moved the weight away from zero.

    Inside a ``Pruner`` it grows by one term at every step of the optimizer, from the gradients that the optimizer is
    given, whether pruning is due or not. The paper's step size of the scores, a common factor, is left out. A weight
    that was removed stays at 0.0 and scores no more; for scores that bring weights back, and for soft movement
    pruning, see ``prunus.training.movement``.

    Where no step was seen, as after training, it is one term: of the mean gradient over the batches, at the weights as
    they are. Then it says where training would move, and not where it did.

    Source: Sanh et al. 2020, section 4, eq. 3 (arXiv:2005.07683).
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    @torch.no_grad()
    def observe(self, subject: Subject) -> None:
        """Add the term of the gradients that the parameters hold now."""
        for name, parameter in subject.parameters.items():
            if name not in self._sums:
                dtype = torch.promote_types(parameter.dtype, torch.float32)
                self._sums[name] = torch.zeros_like(parameter, dtype=dtype, requires_grad=False)
            elif self._sums[name].device != parameter.device:  # they come of a checkpoint
                self._sums[name] = self._sums[name].to(parameter.device)
            gradient = parameter.grad
            if gradient is not None:
                self._sums[name].addcmul_(parameter, gradient.to_dense() if gradient.is_sparse else gradient, value=-1)

    def __call__(self, subject: Subject) -> Scores:
        """Name → tensor of the parameter's shape, in float32 at least; higher stays, below zero goes first.

        Raises:
            ArgumentError: no step was seen and there are no batches, or steps of other parameters were seen.
            ScoreError: all scores are zero.
        """
        if not self._sums:
            if subject.batches is None:
                raise ArgumentError(
                    "no training step was seen and there are no batches: begin the schedule later, or pass "
                    "batches=[(inputs, targets), …]"
                )
            return ElementwiseScores(_pull, (subject.weights(), telling_gradients(subject)))
        if self._sums.keys() != subject.parameters.keys():
            raise ArgumentError(
                f"training steps of {sorted(self._sums)} were seen, the parameters are {sorted(subject.parameters)}"
            )
        require_telling(self._sums, "the product of weight and gradient, over all training steps,")
        return dict(self._sums)

    def state_dict(self) -> dict[str, Any]:
        """The sums, for a checkpoint."""
        return {name: total.clone() for name, total in self._sums.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._sums = {name: total.clone() for name, total in state.items()}


def _pull(weight: Tensor, gradient: Tensor) -> Tensor:
    return -weight * gradient
