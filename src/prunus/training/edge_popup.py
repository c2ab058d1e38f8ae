"""Edge-popup: scores learn which of the first weights make a good network, and no weight is ever trained."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, Unpack, final

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from prunus.allocation.allocate import Allocation, allocate
from prunus.allocation.technique import Technique
from prunus.errors import ArgumentError, ScopeError
from prunus.lookup import require_name
from prunus.masks.holding import stepping_optimizer
from prunus.masks.masks import Masks
from prunus.masks.scope import canonical_parameters
from prunus.schedules.base import require_sparsity
from prunus.training.before_update import before_update, gradient_scale
from prunus.training.loop_pruner import LoopPruner
from prunus.training.options import ScopeOptions
from prunus.training.score_learning import require_finite, require_fitting, require_gradients, require_trained
from prunus.training.tables import EDGE_POPUPS

MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4  # of the scores, as in the authors' configurations for small networks
_STATE = {"steps", "scores", "weights", "masks", "learner"}


@final
class EdgePopup(LoopPruner[Masks]):
    """Learns a supermask while your own loop runs: which weights take part, each with the value it began with.

    Every weight W in scope has a score S. In each tensor those with the highest |S| take part, as many as the sparsity
    leaves; the others are exactly 0.0 in the model, which keeps its class and its state-dict keys, so it can be
    evaluated and saved at any time. The scores make their own steps of gradient descent with momentum, along
    ∂L/∂W' ⊙ W ⊙ sign(S), the straight-through estimate, where W' = W ⊙ M(|S|) is what the network runs on. Weights
    that are out get gradients too, and pop up when their score has risen.

    Call ``step()`` after every ``optimizer.step()``. Your optimizer trains nothing: its steps tell when there are
    gradients, and these are taken from it. Biases, and scales of normalisation, stay as they are; in the paper the
    networks have none. Statistics of batch normalisation are still estimated. With ``train_others``, the optimizer
    trains what is out of scope, such as a new head. Until the optimizer steps, ``parameter.grad`` is the dense ∂L/∂W':
    several backward passes add up, and clipping scales the scores' gradients.

    The scores' own optimizer is ``learner``, ``torch.optim.SGD`` with momentum 0.9 and weight decay 1e-4. In the paper
    its rate falls by half a cosine: give ``learner`` to one of torch's schedulers. ``last`` is the newest choice.

    Args:
        model: as it is initialised.
        optimizer: the one whose steps your loop makes, over the parameters in scope at least.
        sparsity: of every tensor, from the start, in [0, 1); the paper's k is 1 − sparsity.
        weights: which values they have, one of ``EDGE_POPUPS``; all but ``"first"`` replace the first ones at once.
        learning_rate: of the scores.
        train_others: let the optimizer train the parameters that are not in scope.
        protect: keep at least the best weight of every tensor.
        seed: of the first scores.
        state: of a checkpoint.
        scope: include, exclude, types; see ``Technique``.

    Raises:
        ArgumentError: the sparsity or the rate is out of bounds, or no such weights are known.
        ScopeError: nothing is in scope, or a parameter in scope is not among the optimizer's or has one dimension.

    Source: Ramanujan et al. 2020, edge-popup (arXiv:1911.13299); |S|, Kaiming-uniform first scores, and the scores'
        optimizer are those of the authors' code. It scales by 1/√(1 − k), which is the paper's 1/√k for a half alone.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        sparsity: float,
        weights: str = "first",
        *,
        learning_rate: float = 0.1,
        train_others: bool = False,
        protect: bool = True,
        seed: int = 0,
        state: Mapping[str, Any] | None = None,
        **scope: Unpack[ScopeOptions],
    ) -> None:
        if not 0 < learning_rate < float("inf"):
            raise ArgumentError(f"learning_rate must be above 0, got {learning_rate}")
        require_name("kind of weights", weights, EDGE_POPUPS)
        super().__init__(optimizer)
        optimizer = stepping_optimizer(optimizer)
        self.sparsity, self._protect = require_sparsity(sparsity), protect
        self._parameters = Technique(**scope).parameters(model)
        require_trained(self._parameters, optimizer)
        _require_matrices(self._parameters)
        held = self._parameters if train_others else canonical_parameters(model)
        self._held = list(held.values())
        self._weights = {name: _fixed(weight, weights, 1 - self.sparsity) for name, weight in self._parameters.items()}
        generator = torch.Generator().manual_seed(seed)
        self._scores = {name: _first_scores(weight, generator) for name, weight in self._weights.items()}
        self.learner = torch.optim.SGD(self._scores.values(), learning_rate, MOMENTUM, weight_decay=WEIGHT_DECAY)
        self.last = self._chosen()
        if state is None:
            self._show()
        else:
            self.load_state_dict(state)
        self._handle = before_update(optimizer, self._before_update)

    @property
    def masks(self) -> Masks:
        """What takes part now."""
        return self.last.masks

    @property
    def scores(self) -> dict[str, Tensor]:
        """Name → learnt scores, float32 at least; what counts is their absolute value."""
        return self._scores

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint between two steps needs to go on; three times the weights in scope, and their masks."""
        return {
            "steps": self._steps,
            "scores": {name: scores.clone() for name, scores in self._scores.items()},
            "weights": {name: weight.clone() for name, weight in self._weights.items()},
            "masks": dict(self.masks),
            "learner": copy.deepcopy(self.learner.state_dict()),
        }

    @torch.no_grad()
    def _load(self, state: Mapping[str, Any]) -> None:
        masks = self._masks_in(state, _STATE, self._parameters)
        require_fitting(state, self._parameters)
        for name in self._parameters:
            self._scores[name].copy_(state["scores"][name])
            self._weights[name].copy_(state["weights"][name])
        self.learner.load_state_dict(state["learner"])
        self._steps = int(state["steps"])
        devices = {name: weight.device for name, weight in self._weights.items()}
        moved = Masks.owning({name: mask.to(devices[name]) for name, mask in masks.items()})
        self.last = Allocation(moved, self.sparsity, ())
        self._show()

    def close(self) -> None:
        """Leave the model as it is, with its removed weights at 0.0."""
        self._handle.remove()

    def _advance(self) -> Masks:
        """Decide anew what takes part.

        Raises:
            TrainingError: a score is no longer a number; the masks are as before.
        """
        require_finite(self._scores, self.learner.param_groups[0]["lr"])
        self.last = self._chosen()
        self._show()
        return self.masks

    @torch.no_grad()
    def _show(self) -> None:
        """Let the model have the weights that take part, and no others."""
        for name, parameter in self._parameters.items():
            parameter.copy_(self._weights[name]).masked_fill_(~self.masks[name], 0.0)

    def _chosen(self) -> Allocation:
        sizes = {name: scores.abs() for name, scores in self._scores.items()}
        return allocate(sizes, self.sparsity, scope="layer", protect=self._protect)

    @torch.no_grad()
    def _before_update(self, optimizer: Optimizer, first: bool) -> None:
        require_gradients(self._parameters, optimizer, first)
        scale = gradient_scale(optimizer)
        if scale is not None:
            for name, parameter in self._parameters.items():
                scores, gradient = self._scores[name], parameter.grad
                if gradient is not None:
                    slope = gradient.to(scores.dtype) * self._weights[name].to(scores.dtype)
                    scores.grad = slope * scores.sign() / scale
            self.learner.step()
            self.learner.zero_grad()
        for parameter in self._held:
            parameter.grad = None  # optimizers leave alone what has none


def _require_matrices(parameters: Mapping[str, nn.Parameter]) -> None:
    for name, parameter in parameters.items():
        if parameter.dim() < 2:
            raise ScopeError(
                f"{name!r} has the shape {tuple(parameter.shape)}, and edge-popup chooses among weights that join "
                "inputs to outputs: exclude it"
            )


def _fixed(parameter: nn.Parameter, weights: str, density: float) -> Tensor:
    """What its weights are for good.

    Source: Ramanujan et al. 2020, the signed Kaiming constant and the scaled Kaiming normal (arXiv:1911.13299).
    """
    weight = parameter.detach().clone()
    if "signed" in weights:
        weight = weight.sign() * math.sqrt(2 / weight[0].numel())  # by torch's fan in
    return weight / math.sqrt(density) if "scaled" in weights else weight


def _first_scores(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Kaiming-uniform, drawn on the CPU so that they are the same on every device."""
    scores = torch.empty(weight.shape, dtype=torch.promote_types(weight.dtype, torch.float32))
    nn.init.kaiming_uniform_(scores, a=math.sqrt(5), generator=generator)
    return scores.to(weight.device)
