"""Training a network that is pruned meanwhile."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from prunus.allocation.allocate import Allocation
from prunus.allocation.technique import Technique
from prunus.criteria.subject import Subject
from prunus.errors import TargetError
from prunus.experiments.technique_settings import TechniqueSettings
from prunus.masks.masks import Masks
from prunus.schedules.base import Schedule
from prunus.schedules.table import SCHEDULES
from prunus.training.edge_popup import EdgePopup
from prunus.training.movement import MovementPruner, ScoreThreshold, TopScores
from prunus.training.plan import Plan
from prunus.training.pruner import Pruner
from prunus.training.rewiring import Rewirer
from prunus.training.trainer import Trainer
from prunus.training.updates import Updates

SCORE_LEARNING_RATE = 100.0  # of soft movement; from a few hundred steps on, it tells the weights apart
POPUP_LEARNING_RATE = 0.1  # of edge-popup, as in the authors' code
RULES = {  # rewire → where connections grow, which go, how their fraction fades
    "rigl": ("gradient", "magnitude", "cosine"),
    "set": ("random", "signed", "constant"),
}


def train_gradually(
    subject: Subject, technique: Technique, settings: TechniqueSettings, trainer: Trainer, sparsity: float, seed: int
) -> tuple[Allocation, list[float]]:
    """Train the subject's model in place and prune it little by little; what was done last, and the losses.

    Raises:
        TargetError: the schedule is never due.
    """
    optimizer, total = trainer.make_optimizer(subject.model), trainer.total_steps
    schedule = _ramp(settings.schedule, settings, sparsity, total)
    with Pruner.of(subject, optimizer, schedule, technique) as pruner:

        def watch(*_: object) -> None:
            pruner.step()

        losses = trainer.fit(subject.model, seed, optimizer=optimizer, watch=watch)
    if pruner.last is None:
        raise TargetError(f"the schedule {schedule} pruned nothing in {total} steps")
    return pruner.last, losses


def train_rewiring(
    model: nn.Module, settings: TechniqueSettings, trainer: Trainer, sparsity: float, seeds: tuple[int, int]
) -> tuple[Allocation, list[float]]:
    """Train the model in place, sparse from the start, moving its connections; what is left, and the losses.

    Args:
        model: as it is initialised.
        settings: whose ``rewire`` names the rules.
        trainer: of the whole plan.
        sparsity: throughout.
        seeds: of the data's order, and of all that is drawn.
    """
    grow, drop, fading = RULES[settings.rewire or "rigl"]
    optimizer, total = trainer.make_optimizer(model), trainer.total_steps
    updates = Updates(max(1, round(settings.end * total)), settings.every, settings.fraction, fading)
    order, drawing = seeds
    with Rewirer(
        model,
        optimizer,
        sparsity,
        updates,
        grow=grow,
        drop=drop,
        budget=settings.budget or "erk",
        protect=settings.protect,
        seed=drawing % 2**63,
        include=settings.include,
        exclude=settings.exclude,
        types=settings.types,
    ) as rewirer:

        def watch(*_: object) -> None:
            rewirer.step()

        losses = trainer.fit(model, order, optimizer=optimizer, watch=watch)
    return replace(rewirer.initial, masks=rewirer.masks), losses


def train_moving(
    model: nn.Module, settings: TechniqueSettings, trainer: Trainer, sparsity: float, seeds: tuple[int, int]
) -> tuple[Allocation, list[float]]:
    """Train the model in place, with scores that say which weights take part; what is left, and the losses.

    Args:
        model: as it is initialised.
        settings: whose ``movement`` names the rule.
        trainer: of the whole plan.
        sparsity: to be reached; soft movement takes none.
        seeds: of the data's order; nothing else is drawn.

    Raises:
        TargetError: no weight is left.
    """
    optimizer, rule = trainer.make_optimizer(model), _movement(settings, sparsity, trainer.total_steps)
    with MovementPruner(
        model,
        optimizer,
        rule,
        learning_rate=settings.mask_learning_rate or SCORE_LEARNING_RATE,
        protect=settings.protect,
        include=settings.include,
        exclude=settings.exclude,
        types=settings.types,
    ) as pruner:

        def watch(*_: object) -> None:
            pruner.step()

        losses = trainer.fit(model, seeds[0], optimizer=optimizer, watch=watch)
    return learnt(pruner.masks, rule.masks(pruner.scores, pruner.steps, protect=False), sparsity), losses


def train_popping_up(
    model: nn.Module, settings: TechniqueSettings, trainer: Trainer, sparsity: float, seeds: tuple[int, int]
) -> tuple[Allocation, list[float]]:
    """Train scores that say which weights take part, and nothing else; what takes part, and the losses.

    Args:
        model: as it is initialised; nothing of it changes but which weights it has, and its statistics.
        settings: whose ``edge_popup`` says which values the weights have.
        trainer: of the whole plan, whose optimizer and learning rate nothing looks at: the scores have their own.
        sparsity: of every tensor, throughout.
        seeds: of the data's order, and of the first scores.
    """
    optimizer, total, (order, drawing) = trainer.make_optimizer(model), trainer.total_steps, seeds
    falling = Plan(learning_rate=settings.mask_learning_rate or POPUP_LEARNING_RATE, decay="cosine")
    with EdgePopup(
        model,
        optimizer,
        sparsity,
        settings.edge_popup or "first",
        learning_rate=falling.learning_rate,
        protect=settings.protect,
        seed=drawing % 2**63,
        include=settings.include,
        exclude=settings.exclude,
        types=settings.types,
    ) as pruner:

        def watch(step: int, _: object) -> None:
            pruner.step()
            pruner.learner.param_groups[0]["lr"] = falling.rate(step, total)

        losses = trainer.fit(model, order, optimizer=optimizer, watch=watch)
    return pruner.last, losses


def learnt(masks: Masks, unprotected: Masks, sparsity: float) -> Allocation:
    """What has been learnt to stay.

    Args:
        masks: what stays.
        unprotected: what would stay if no tensor were protected.
        sparsity: that was asked for.

    Raises:
        TargetError: nothing stays.
    """
    if not masks.kept:
        raise TargetError("training has removed every weight: lower strength, or protect the layers")
    emptied = [name for name, mask in unprotected.items() if bool(masks[name].any()) and not bool(mask.any())]
    return Allocation(masks, sparsity, tuple(emptied))


def _movement(settings: TechniqueSettings, sparsity: float, total: int) -> TopScores | ScoreThreshold:
    if settings.movement == "hard":
        return TopScores(_ramp("cubic", settings, sparsity, total), settings.scope)
    return ScoreThreshold(settings.strength or 0.0, settings.threshold)


def _ramp(name: str, settings: TechniqueSettings, sparsity: float, total: int) -> Schedule:
    """The schedule of that name over so many steps."""
    begin, end = round(settings.begin * total), max(1, round(settings.end * total))
    schedule: Schedule = SCHEDULES[name].load()(sparsity, begin, end, every=settings.every)
    return schedule
