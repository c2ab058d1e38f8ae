"""Making the states of a technique."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from prunus.allocation.allocate import Allocation
from prunus.allocation.technique import Technique
from prunus.criteria.subject import Subject
from prunus.criteria.table import CRITERIA
from prunus.errors import ArgumentError
from prunus.experiments.during import train_gradually, train_moving, train_popping_up, train_rewiring
from prunus.experiments.maker import Made, Maker, Making
from prunus.experiments.penalties import penalized, train_gated
from prunus.experiments.technique_settings import TechniqueSettings
from prunus.experiments.work import Step
from prunus.history.records import OWN_CHOICE, Pruning, TensorCount
from prunus.masks.masks import Masks
from prunus.masks.scope import canonical_parameters
from prunus.schedules.rounds import rounds_to
from prunus.training.batch_norm import recalibrate_batch_norm
from prunus.training.distillation import Distillation
from prunus.training.together.fit import Fit
from prunus.training.trainer import Stretch, Trainer

Train = Callable[
    [nn.Module, TechniqueSettings, Trainer, float, tuple[int, int]],  # model, …, sparsity, seeds of order and draws
    tuple[Allocation, list[float]],
]
Retraining = Generator[Fit, list[float], list[float]]


@dataclass(frozen=True)
class TechniqueMaker(Maker):
    """A technique's states: one for each pruning step.

    Before them comes, with late rewinding, the one to rewind to; with a penalty, the network that is trained with it.
    """

    settings: TechniqueSettings

    def make(self, position: int) -> Making:
        """The state at that position."""
        before = int(self.settings.begins_with_training)
        if position < before:
            return (yield from self._penalized() if self.settings.trains_penalized else self._checkpoint())
        step = self.work.steps[position - before]
        if self.settings.timing == "during":
            return self._prune_during(step)
        return (yield from self._prune(step, position))

    @property
    def technique(self) -> Technique:
        """How the weights to remove are found."""
        settings = self.settings
        return Technique(
            criterion=settings.criterion,
            scope=settings.scope,
            pattern=settings.pattern,
            aggregate=settings.aggregate,
            budget=settings.budget,
            budget_settings=settings.budget_settings,
            settings=settings.settings,
            rounds=settings.rounds,
            control=settings.control,
            include=settings.include,
            exclude=settings.exclude,
            types=settings.types,
            protect=settings.protect,
        )

    def rewound_state(self) -> dict[str, Tensor]:
        """The state dict to rewind to, read anew from the history."""
        late = self.settings.rewinds_late
        return self.restored(self.work.found.state_id(0) if late else self.initial_state)[0].state_dict()

    @property
    def trained_state(self) -> str:
        """Id of the trained network that is pruned: the shared dense one, or that which was trained with a penalty."""
        return self.work.state_id(0) if self.settings.trains_penalized else self.dense_state

    @property
    def start(self) -> int:
        """The step of the plan from which rewound weights are trained again."""
        step, total = self.settings.rewind_step, self.shop.trainer().total_steps
        if step >= total:
            raise ArgumentError(f"rewind_step must be below the {total} steps that the training takes, got {step}")
        return step

    def _checkpoint(self) -> Making:
        """The dense network after ``rewind_step`` steps; training again from the start gives the same weights."""
        model, _ = self.restored(self.initial_state)
        stretch = Stretch(0, self.start)
        losses = yield Fit(self.shop.trainer(), model, self.work.order_seed(), stretch=stretch)
        return Made(model, "trained", self.initial_state, training_loss=tuple(losses))

    def _penalized(self) -> Making:
        """The network trained with the penalty, from the weights and in the order in which the dense one is."""
        model, _ = self.restored(self.initial_state)
        trainer = penalized(self.shop.trainer(), self.settings, model)
        losses = yield Fit(trainer, model, self.work.order_seed())
        return Made(model, "trained", self.initial_state, training_loss=tuple(losses))

    def _prune(self, step: Step, position: int) -> Making:
        """Prune a recorded state and train what stays."""
        parent = {
            "dense": self.trained_state,
            "initial": self.initial_state,
            "previous": self.work.state_id(position - 1),
        }[step.follows]
        model, current = self.restored(parent)
        allocation = self._allocate(step, model, current)
        allocation.apply(model)
        reinitialised = self.settings.retrain == "reinit"
        how = self.settings.retrain if self.settings.timing == "after" or reinitialised else "train"
        losses = yield from self._retrain(how, model, allocation.masks, position)
        self._recalibrate(model)
        pruning = self._pruning(step, allocation)
        return Made(model, "pruned", parent, allocation.masks, pruning, how, tuple(losses))

    def _allocate(self, step: Step, model: nn.Module, current: Masks | None) -> Allocation:
        """The step's masks; iterative pruning before training goes through several sparsities to them."""
        iterative = self.settings.timing == "before" and self.settings.schedule == "iterative"
        *approach, target = rounds_to([step.sparsity], self.settings.fraction) if iterative else [step.sparsity]
        subject = self._subject(step, model)
        model.train(self.settings.timing == "before")  # untrained, it has no running statistics to rely on
        with torch.random.fork_rng():
            torch.manual_seed(self.work.pruning_seed("dropout", step.position))  # a criterion may run the network
            for sparsity in approach:
                current = self.technique.allocate(subject, sparsity, current).masks
                current.apply(model)
            return self.technique.allocate(subject, target, current)

    def _retrain(self, how: str, model: nn.Module, masks: Masks, position: int) -> Retraining:
        """Train the kept weights again, in place, from where the technique says."""
        work, shop = self.work, self.shop
        if how == "none":
            return []
        if how == "finetune":
            trainer = self._taught(shop.finetuner(self.settings))
            return (yield Fit(trainer, model, work.finetuning_seed(position), masks))
        if how == "rewind":
            model.load_state_dict(self.rewound_state())
        if how == "reinit":
            model.load_state_dict(shop.build(work.pruning_seed("reinit", position)).state_dict())
        masks.apply(model)
        stretch = Stretch(self.start)
        return (yield Fit(self._taught(shop.trainer()), model, self.order_seed(position), masks, stretch))

    def order_seed(self, position: int) -> int:
        """Of the order in which kept weights see the data when they are trained again from a step of the plan."""
        return self.work.order_seed()

    def _taught(self, trainer: Trainer) -> Trainer:
        """The trainer with the trained dense network as a teacher, where the technique asks for it."""
        if not self.settings.distill:
            return trainer
        teacher, _ = self.restored(self.dense_state)
        return replace(trainer, distillation=Distillation(teacher, loss=trainer.loss))

    def _prune_during(self, step: Step) -> Made:
        """Prune while the network is trained from its initialisation."""
        model, _ = self.restored(self.initial_state)
        settings, trainer = self.settings, self.shop.trainer()
        order, drawing = self.work.order_seed(), self.work.pruning_seed("pruning", step.position)
        if settings.rewire or settings.learning:
            allocation, losses = _way_to_train(settings)(model, settings, trainer, step.sparsity, (order, drawing))
        else:
            subject, trainer = self._subject(step, model), penalized(trainer, settings, model)
            allocation, losses = train_gradually(subject, self.technique, settings, trainer, step.sparsity, order)
        self._recalibrate(model)
        pruning = self._pruning(step, allocation)
        how = "none" if settings.edge_popup else "train"
        return Made(model, "pruned", self.initial_state, allocation.masks, pruning, how, tuple(losses))

    def _recalibrate(self, model: nn.Module) -> None:
        """Re-estimate the statistics of batch normalisation, where the technique asks for it."""
        if self.settings.recalibrate:
            train = self.shop.task.data.train
            recalibrate_batch_norm(model, train.batches(self.shop.plan.batch_size))

    def _subject(self, step: Step, model: nn.Module) -> Subject:
        work = self.work
        return Subject(
            model,
            self.technique.parameters(model),
            self.shop.calibration(self.settings.calibration_examples, work.calibration_seed(step.position)),
            self.shop.task.loss,
            torch.Generator().manual_seed(work.pruning_seed("pruning", step.position)),
            self._initial(),
        )

    def _initial(self) -> dict[str, Tensor] | None:
        """The first weights, for criteria that compare with them."""
        name = self.settings.criterion
        if ":" not in name and "initial" not in CRITERIA[name].needs:
            return None
        model, _ = self.restored(self.initial_state)
        return {name: parameter.detach() for name, parameter in canonical_parameters(model).items()}

    def _pruning(self, step: Step, allocation: Allocation) -> Pruning:
        settings, masks = self.settings, allocation.masks
        criterion, scope, schedule = settings.criterion, settings.scope, settings.schedule
        if settings.edge_popup:
            criterion, scope = "edge-popup", "layer"
        elif settings.learning:
            criterion = "movement" if settings.movement else "l0"
            schedule = OWN_CHOICE if settings.own_choice else "cubic"
        return Pruning(
            criterion=criterion,
            pattern=settings.pattern,
            scope=scope,
            schedule=schedule,
            position=step.position,
            of=step.of,
            requested_sparsity=step.sparsity,
            sparsity=masks.sparsity,
            tensors={
                name: TensorCount(tuple(mask.shape), int(mask.sum()), mask.numel()) for name, mask in masks.items()
            },
            protected=allocation.protected,
            seed=self.work.pruning_seed("pruning", step.position),
        )


def _way_to_train(settings: TechniqueSettings) -> Train:
    """What trains a network while connections are moved or something learns which weights go."""
    if settings.rewire:
        return train_rewiring
    if settings.movement:
        return train_moving
    return train_popping_up if settings.edge_popup else train_gated
