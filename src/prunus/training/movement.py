"""Movement pruning: scores are learnt beside the weights, and decide anew at every step which weights take part."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import Any, Protocol, Unpack, final

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from prunus.allocation.allocate import allocate
from prunus.allocation.scopes import require_scope
from prunus.allocation.technique import Technique
from prunus.errors import ArgumentError
from prunus.masks.holding import stepping_optimizer
from prunus.masks.masks import Masks
from prunus.schedules.base import Schedule, require_schedule
from prunus.training.before_update import before_update, gradient_scale
from prunus.training.loop_pruner import LoopPruner
from prunus.training.options import ScopeOptions
from prunus.training.score_learning import require_finite, require_fitting, require_gradients, require_trained


class Rule(Protocol):
    """Scores → masks."""

    def masks(self, scores: Mapping[str, Tensor], step: int, protect: bool) -> Masks:
        """What takes part after ``step`` steps; with ``protect``, at least the best weight of every tensor does."""

    def slope(self, scores: Tensor) -> Tensor | None:
        """Gradient of the rule's penalty with respect to the scores; None where it has none."""


@dataclass(frozen=True)
class TopScores:
    """The highest scores, as many as a schedule says: (hard) movement pruning.

    Attributes:
        schedule: step → sparsity; it is asked at every step.
        scope: ``"layer"``, the same sparsity in every tensor, as in the paper, or ``"global"``.

    Source: Sanh et al. 2020, eq. 1, Top_v, and section 4 (arXiv:2005.07683).
    """

    schedule: Schedule
    scope: str = "layer"

    def __post_init__(self) -> None:
        require_scope(self.scope)
        require_schedule(self.schedule)
        if self.schedule.sparsity(0) > 0:
            raise ArgumentError(
                f"before the first step all scores are 0, so nothing can be removed then: {self.schedule} asks for "
                f"sparsity {self.schedule.sparsity(0):g} at step 0; let it begin later"
            )

    def masks(self, scores: Mapping[str, Tensor], step: int, protect: bool) -> Masks:
        """Exactly counted; of equal scores the first takes part."""
        return allocate(scores, self.schedule.sparsity(step), scope=self.scope, protect=protect).masks

    def slope(self, scores: Tensor) -> None:
        """None."""


@dataclass(frozen=True)
class ScoreThreshold:
    """All scores S with σ(S) > threshold, under the penalty λ · Σ σ(S): soft movement pruning.

    The paper compares S itself with its threshold, the authors' code σ(S), as here. Its penalty is a mean over each
    tensor's scores and over the tensors, where the paper's and this one is a sum: its λ are larger accordingly.

    Attributes:
        penalty: λ, which settles how sparse the network becomes; not negative.
        threshold: τ, in (0, 0.5): before the first step σ(S) is 0.5 everywhere.

    Source: Sanh et al. 2020, section 4, "soft movement pruning" (arXiv:2005.07683).
    """

    penalty: float
    threshold: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.penalty < float("inf"):
            raise ArgumentError(f"penalty must be a number that is not negative, got {self.penalty}")
        if not 0 < self.threshold < 0.5:
            raise ArgumentError(
                f"threshold must lie in (0, 0.5), got {self.threshold}: from 0.5 on, everything is removed at once"
            )

    def masks(self, scores: Mapping[str, Tensor], step: int, protect: bool) -> Masks:
        """Whatever lies above the threshold."""
        found = {name: score.sigmoid() > self.threshold for name, score in scores.items()}
        for name, mask in found.items():
            if protect and not bool(mask.any()):
                mask.view(-1)[scores[name].argmax()] = True
        return Masks.owning(found)

    def slope(self, scores: Tensor) -> Tensor:
        """λ · σ'(S)."""
        likely = scores.sigmoid()
        return self.penalty * likely * (1 - likely)


@final
class MovementPruner(LoopPruner[Masks]):
    """Learns a score for every weight while your own loop trains the network with W ⊙ M(S).

    The scores S and the values of removed weights lie outside the model, which keeps its class and its state-dict
    keys; between two steps its removed weights are exactly 0.0, so it can be evaluated and saved at any time. When
    the optimizer steps, the weights of removed connections are put back, and afterwards taken out again. They come
    back with their value when their score rises.

    Call ``step()`` after every ``optimizer.step()``. Training is then exactly that of the paper's masked layers, for
    every optimizer that evaluates the loss once a step: the forward pass runs on W ⊙ M(S); W has the gradient
    ∂L/∂W' ⊙ M, so removed weights get none, but coast by momentum and decay as W's do there; and S makes its own step
    of plain gradient descent along ∂L/∂W' ⊙ W, the straight-through estimate, and the rule's penalty. Until the
    optimizer steps, ``parameter.grad`` is the dense ∂L/∂W': several backward passes add up, and clipping by norm
    counts removed weights and scales the scores' gradients too.

    Args:
        model: any module.
        optimizer: the one that trains it.
        rule: ``TopScores`` or ``ScoreThreshold``.
        learning_rate: of the scores. The authors' code trains them with AdamW: its rates mean something else.
        protect: keep at least the best weight of every tensor.
        state: of a checkpoint.
        scope: include, exclude, types; see ``Technique``.

    Raises:
        ScopeError: nothing is in scope, or a parameter in scope is not trained by the optimizer.

    Source: Sanh et al. 2020, sections 3 and 4 (arXiv:2005.07683).
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        rule: Rule,
        *,
        learning_rate: float = 1e-2,
        protect: bool = True,
        state: Mapping[str, Any] | None = None,
        **scope: Unpack[ScopeOptions],
    ) -> None:
        if not 0 < learning_rate < float("inf"):
            raise ArgumentError(f"learning_rate must be above 0, got {learning_rate}")
        if not callable(getattr(rule, "masks", None)):
            raise ArgumentError(f"the rule is TopScores(schedule) or ScoreThreshold(penalty), got {rule!r}")
        super().__init__(optimizer)
        optimizer = stepping_optimizer(optimizer)
        self.rule, self.learning_rate = rule, learning_rate
        self._protect = protect
        self._parameters = Technique(**scope).parameters(model)
        require_trained(self._parameters, optimizer)
        self._whole = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        self._scores = {
            name: torch.zeros_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32))
            for name, weight in self._whole.items()
        }
        self._masks = Masks.dense(self._parameters)
        if state is not None:
            self.load_state_dict(state)
        self._handles = [
            before_update(optimizer, self._before_update),
            optimizer.register_step_post_hook(self._after_step),
        ]

    @property
    def masks(self) -> Masks:
        """What takes part now."""
        return self._masks

    @property
    def scores(self) -> dict[str, Tensor]:
        """Name → learnt scores, float32 at least."""
        return self._scores

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint between two steps needs to go on; twice the weights in scope, and their masks."""
        return {
            "steps": self._steps,
            "scores": {name: scores.clone() for name, scores in self._scores.items()},
            "weights": {name: weight.clone() for name, weight in self._whole.items()},
            "masks": dict(self._masks),
        }

    @torch.no_grad()
    def _load(self, state: Mapping[str, Any]) -> None:
        masks = self._masks_in(state, {"steps", "scores", "weights", "masks"}, self._parameters)
        require_fitting(state, self._parameters)
        for name, parameter in self._parameters.items():
            self._scores[name].copy_(state["scores"][name])
            self._whole[name].copy_(state["weights"][name])
            parameter.copy_(state["weights"][name])
        self._steps = int(state["steps"])
        self._mask(Masks.owning({name: mask.to(self._whole[name].device) for name, mask in masks.items()}))

    def close(self) -> None:
        """Leave the model as it is, with its removed weights at 0.0."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _advance(self) -> Masks:
        """Decide anew what takes part.

        Raises:
            TrainingError: a score is no longer a number; the masks are as before.
            TargetError: the scheduled sparsity cannot be met.
        """
        require_finite(self._scores, self.learning_rate)
        self._mask(self.rule.masks(self._scores, self._steps, self._protect))
        return self._masks

    @torch.no_grad()
    def _mask(self, masks: Masks) -> None:
        """Put back what takes part again, and take out what no longer does."""
        for name, parameter in self._parameters.items():
            torch.where(self._masks[name], parameter, self._whole[name], out=self._whole[name])
            parameter.copy_(self._whole[name]).masked_fill_(~masks[name], 0.0)
        self._masks = masks

    @torch.no_grad()
    def _before_update(self, optimizer: Optimizer, first: bool) -> None:
        require_gradients(self._parameters, optimizer, first)
        scale = gradient_scale(optimizer)
        for name, parameter in self._parameters.items():
            mask, scores = self._masks[name], self._scores[name]
            # Kept weights may have been written to since, as by load_state_dict; removed ones lie outside the model.
            whole = parameter.copy_(torch.where(mask, parameter, self._whole[name]))
            if scale is not None:
                slope = self.rule.slope(scores)
                if parameter.grad is not None:
                    scores.sub_(parameter.grad * whole.to(scores.dtype), alpha=self.learning_rate / scale)
                if slope is not None:
                    scores.sub_(slope, alpha=self.learning_rate)
            if parameter.grad is not None:
                parameter.grad.masked_fill_(~mask, 0.0)

    @torch.no_grad()
    def _after_step(self, optimizer: Optimizer, args: Sized, kwargs: Sized) -> None:
        for name, parameter in self._parameters.items():
            self._whole[name].copy_(parameter)
            parameter.masked_fill_(~self._masks[name], 0.0)
