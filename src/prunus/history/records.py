"""What the history records, as plain values that go to JSON and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from prunus.outcomes import Cost, CurvePoint, SplitOutcome

SCHEMA = 3  # version of these records; history/migrations.py brings older ones here


@dataclass(frozen=True)
class TensorCount:
    """How much of one masked tensor was kept."""

    shape: tuple[int, ...]
    kept: int
    total: int

    @property
    def sparsity(self) -> float:
        """Fraction removed, in [0, 1)."""
        return 1 - self.kept / self.total


OWN_CHOICE = "own choice"  # schedule of what is as sparse as the technique makes it, and not as was asked for


@dataclass(frozen=True)
class Pruning:
    """One pruning step, as it was asked for and as it came out.

    Attributes:
        criterion, pattern, scope, schedule: names of the technique's parts; a global step is recorded as global.
        position: where in the schedule, such as round 3 of 6.
        of: number of positions in the schedule.
        requested_sparsity: asked, over all tensors in scope, in [0, 1).
        sparsity: reached.
        tensors: name → counts of every tensor in scope.
        protected: tensors that the protection kept from being emptied.
        seed: of the step's own random generator.
    """

    criterion: str
    pattern: str
    scope: str
    schedule: str
    position: int
    of: int
    requested_sparsity: float
    sparsity: float
    tensors: dict[str, TensorCount]
    protected: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class StateRecord:
    """One state of a model: after initialisation, after training, or after a pruning step and its training.

    Attributes:
        id: digest of the run, the position and the parent; the same work has the same id.
        run: id of the run it belongs to.
        parent: id of the state it was made from, perhaps of another run; None for an initialisation.
        kind: ``"initial"``, ``"trained"`` or ``"pruned"``.
        position: 0, 1, 2 … in the order in which the run made them.
        pruning: the step that made it, for a pruned state.
        retraining: what happened to the kept weights: ``"finetune"``, ``"rewind"``, …; None where nothing was trained.
        validation: outcome for choosing.
        test: outcome for reporting.
        cost: of the model.
        weights: digest of the blob with its state dict, packed.
        masks: digest of the blob with its masks; None where nothing is pruned.
        training_loss: mean training loss of each epoch that led here.
        created: UTC, ISO 8601.
        seconds: that pruning, training and evaluation took.
        curve: how it fared during the last training that led here, as often as the plan says.
        voters: ids of the states whose masks were put to a vote, where the masks come of one.
    """

    id: str
    run: str
    parent: str | None
    kind: str
    position: int
    pruning: Pruning | None
    retraining: str | None
    validation: SplitOutcome | None
    test: SplitOutcome | None
    cost: Cost | None
    weights: str
    masks: str | None
    training_loss: tuple[float, ...]
    created: str
    seconds: float
    curve: tuple[CurvePoint, ...] = ()
    voters: tuple[str, ...] = ()

    @property
    def sparsity(self) -> float:
        """Reached sparsity over all tensors in scope; 0 where nothing is pruned."""
        return self.pruning.sparsity if self.pruning else 0.0

    @property
    def requested_sparsity(self) -> float:
        """Asked sparsity over all tensors in scope; 0 where nothing is pruned."""
        return self.pruning.requested_sparsity if self.pruning else 0.0

    @property
    def effective_sparsity(self) -> float | None:
        """Fraction of the weights in scope that are removed or on no path from the input to the output.

        None where it is not known.

        Source: Vysogorets & Kempe 2023, "Connectivity matters: neural network pruning through the lens of effective
            sparsity", JMLR 24(99) (arXiv:2107.02306).
        """
        if self.pruning is None or self.cost is None or self.cost.effective_kept is None:
            return None
        return 1 - self.cost.effective_kept / sum(each.total for each in self.pruning.tensors.values())


@dataclass(frozen=True)
class RunRecord:
    """One technique on one task with one seed.

    Attributes:
        id: digest of everything below that determines the result.
        technique: its name, ``"dense"`` for the unpruned model.
        settings: the technique's settings, resolved.
        task: the task's settings, resolved; runs are comparable when these are equal.
        training: the training's settings, resolved.
        seed: the number that the recipe lists.
        seeds: the seeds of ``init``, ``order`` and ``pruning``.
        sparsities: targets asked for, in order.
        states_planned: how many states the run has when it is complete.
        created: UTC, ISO 8601.
        environment: versions, CPU, threads of the machine that began it.
    """

    id: str
    technique: str
    settings: dict[str, Any]
    task: dict[str, Any]
    training: dict[str, Any]
    seed: int
    seeds: dict[str, int]
    sparsities: tuple[float, ...]
    states_planned: int
    created: str
    environment: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ExperimentRecord:
    """One recipe and the runs that answer it.

    Attributes:
        id: digest of the resolved recipe.
        title: the question it asks.
        recipe: the resolved recipe.
        runs: ids of its runs, the dense ones first.
        created: UTC, ISO 8601.
    """

    id: str
    title: str
    recipe: dict[str, Any]
    runs: tuple[str, ...]
    created: str
