"""Dynamic sparse training: connections are dropped and others grown while any loop trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack, final

import torch
from torch import Tensor, nn

from prunus.allocation.allocate import Allocation
from prunus.allocation.technique import Technique
from prunus.criteria.subject import Subject
from prunus.errors import ArgumentError, ScoreError
from prunus.lookup import require_name
from prunus.masks.holding import Holding
from prunus.masks.masks import Masks
from prunus.training.connections import survivors, with_grown
from prunus.training.dense_gradients import DenseGradients
from prunus.training.loop_pruner import LoopPruner
from prunus.training.options import ScopeOptions
from prunus.training.replicas import replica_group
from prunus.training.updates import DROPS, GROWTHS, Updates

_STATE = {"steps", "masks", "generator"}


@final
class Rewirer(LoopPruner[Masks]):
    """Trains a network that is sparse from the start and moves its connections while your own loop trains it.

    Connections are first drawn at random, so many in each layer as the budget says. At every update a fraction of
    each tensor's connections is dropped and as many are grown, so the number in each tensor never changes. What is
    grown starts from 0.0 and the optimizer remembers nothing of it.

    - RigL: ``grow="gradient"``, ``drop="magnitude"``, ``budget="erk"`` and the updates' defaults.
    - SET: ``grow="random"``, ``drop="signed"``, ``budget="erk"`` and
      ``Updates(until=steps, every=steps_of_an_epoch, fading="constant")``.

    Call ``step()`` after every ``optimizer.step()``. Algorithm 1 of RigL rewires instead of taking the optimizer's
    step; to have exactly this, write ``if not rewirer.due: optimizer.step()``. Otherwise the optimizer steps first,
    and the gradient by which connections grow is the one of that step. It is taken over all backward passes since the
    last ``step()``, by all processes that train replicas of the model together, before anything scales or clips it.
    Where it is not finite, as in a step that a GradScaler skips, this update is left out; a tensor that no gradient
    reaches stays as it is, and so does one that is frozen.

    A connection that is dropped may grow again in the same update, as in both papers. RigL then leaves it as it was,
    SET starts it from 0.0; both as in their authors' code.

    Args:
        model: any module, as it is initialised.
        optimizer: the one that trains it.
        sparsity: fraction without a connection, over all parameters in scope, in [0, 1).
        updates: when, and how many.
        grow: where connections grow, one of ``GROWTHS``.
        drop: which connections go, one of ``DROPS``.
        budget: how sparse each tensor is, a name of ``BUDGETS`` or ``"package.module:name"``.
        protect: leave every tensor at least one connection.
        seed: of all that is drawn, the same in all processes.
        state: of a checkpoint whose weights are loaded already: its connections are used, and none are drawn.
        replicas: False where the other processes of ``torch.distributed`` train models of their own.
        scope: include, exclude, types; see ``Technique``.

    Raises:
        ArgumentError: a name is unknown, or the sparsity out of bounds.
        ScopeError: nothing is in scope.
        TargetError: the sparsity cannot be met.
        MaskError: the optimizer updates none of the parameters in scope, or the state's masks are of others.

    Source: Evci et al. 2020, section 3 and algorithm 1 (arXiv:1911.11134); Mocanu et al. 2018, sparse evolutionary
        training (arXiv:1707.04780).
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        sparsity: float,
        updates: Updates,
        *,
        grow: str = "gradient",
        drop: str = "magnitude",
        budget: str = "erk",
        protect: bool = True,
        seed: int = 0,
        state: Mapping[str, Any] | None = None,
        replicas: bool = True,
        **scope: Unpack[ScopeOptions],
    ) -> None:
        if not isinstance(updates, Updates):
            raise ArgumentError(f"updates are Updates(until=steps), got {updates!r}")
        super().__init__(optimizer)
        require_name("way to grow", grow, GROWTHS)
        require_name("way to drop", drop, DROPS)
        technique = Technique("random", budget=budget, protect=protect, **scope)
        self._parameters = technique.parameters(model)
        self._generator = torch.Generator().manual_seed(seed)
        self.updates, self.grow, self.drop = updates, grow, drop
        if state is None:
            subject = Subject(model, self._parameters, generator=self._generator)
            self.initial = technique.allocate(subject, sparsity)
        else:
            masks = self._masks_in(state, _STATE, self._parameters)
            self.initial = Allocation(masks, sparsity, ())
        self._holding = Holding(self.initial.masks, model, optimizer)
        self._gradients = DenseGradients(self._parameters if grow == "gradient" else {})
        self._replicas = replica_group(model, replicas)
        self._holding.__enter__()
        self._listen_when_due()
        if state is not None:
            self.load_state_dict(state)

    @property
    def masks(self) -> Masks:
        """The connections there are now."""
        return self._holding.masks

    @property
    def due(self) -> bool:
        """Whether the next ``step()`` rewires."""
        return self.updates.due(self._steps + 1)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint between two steps needs to go on."""
        return {"steps": self._steps, "masks": dict(self.masks), "generator": self._generator.get_state()}

    def _load(self, state: Mapping[str, Any]) -> None:
        masks = self._masks_in(state, _STATE, self._parameters)
        self._holding.replace(masks)
        self._steps = int(state["steps"])
        self._generator.set_state(state["generator"].cpu())
        self._listen_when_due()

    def close(self) -> None:
        """Hold nothing any longer; the weights stay as they are."""
        self._gradients.close()
        self._holding.__exit__(None, None, None)

    def _advance(self) -> Masks | None:
        """Rewire when an update is due.

        Raises:
            ScoreError: no gradient came to any parameter, or a weight is not finite; the masks are as before.
        """
        try:
            return self._rewire() if self.updates.due(self._steps) else None
        finally:
            self._listen_when_due()

    def _listen_when_due(self) -> None:
        if self.due:
            self._gradients.listen(self.masks)

    def _rewire(self) -> Masks | None:
        scores = self._growth_scores()
        if scores is None:
            return None
        fraction = self.updates.fraction_at(self._steps)
        surviving, rewired = dict(self.masks), dict(self.masks)
        for name, score in scores.items():
            weight = self._parameters[name].detach()
            if not bool(weight.isfinite().all()):
                raise ScoreError(f"{name!r} has weights that are not finite: lower the learning rate or clip gradients")
            mask = self.masks[name].to(weight.device)
            surviving[name] = survivors(weight, mask, fraction, self.drop)
            rewired[name] = with_grown(surviving[name], score, int(mask.sum()) - int(surviving[name].sum()))
        if self.grow == "random":
            self._holding.replace(Masks.owning(surviving))  # so that what is drawn again starts from 0.0
        self._holding.replace(Masks.owning(rewired))
        return self.masks

    def _growth_scores(self) -> dict[str, Tensor] | None:
        """Name → score of every place in the tensors that are to be rewired; None where this update is left out."""
        if self.grow == "random":
            return {
                name: torch.rand(parameter.shape, generator=self._generator).to(parameter.device)
                for name, parameter in self._parameters.items()
                if parameter.requires_grad
            }
        scores = {name: gradient.abs() for name, gradient in self._gradients.take(self._replicas).items()}
        if not all(bool(score.isfinite().all()) for score in scores.values()):
            return None
        reached = {name: score for name, score in scores.items() if bool(score.any())}
        if not reached:
            raise ScoreError(
                "no gradient came to any parameter since the last step(), so there is nothing to grow by: call step() "
                "after backward() and optimizer.step(), and look for a network whose outputs do not depend on it"
            )
        return reached
