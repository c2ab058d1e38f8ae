"""One technique of a recipe. Unknown keys are refused; every name is looked up where it stands."""

from __future__ import annotations

import itertools
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from prunus.allocation.aggregates import require_aggregate
from prunus.allocation.budgets.table import BUDGETS
from prunus.allocation.controls import require_control
from prunus.allocation.scopes import require_scope
from prunus.criteria.table import CRITERIA
from prunus.experiments.lines import Path
from prunus.experiments.messages import mistakes
from prunus.experiments.settings import Number, Whole, known
from prunus.experiments.technique_labels import made_label, told
from prunus.experiments.technique_rules import GRADUAL, ignored, wrong_with
from prunus.experiments.ticket_settings import TicketSettings
from prunus.lookup import unknown_name
from prunus.masks.pattern_names import read_pattern
from prunus.schedules.table import SCHEDULES
from prunus.training.tables import PENALTIES

Retraining = Literal["finetune", "rewind", "rewind-lr", "reinit", "none"]
_COMBINED = "a combination of each"


class TechniqueSettings(TicketSettings):
    """One way to prune, to compare with the others.

    Attributes:
        each: key → values: the technique is run with every combination of them.
        criterion: what scores the weights (``prunus criteria``), or ``"module:name"``.
        settings: of the criterion, where it has any, as a table: ``settings = { temperature = 200 }``.
        pattern: what goes together: ``"weight"``, ``"channel"``, ``"block:4x1"``, ``"2:4"`` ….
        aggregate: how the scores of a group become one: ``"mean"``, ``"sum"``, ``"max"``, ``"l2"`` or ``"first"``.
        scope: ``"global"``, where all tensors compete, ``"layer"`` or ``"row"``, where each has the same sparsity.
        budget: how sparse each tensor is to be (``"erk"``, ``"lamp"`` …), or ``"module:name"``; it takes the place of
            the scope.
        budget_settings: of the budget, where it has any.
        rounds: steps in which one pruning reaches its sparsity, scoring anew at each; the criterion's own number
            where it is left out.
        control: ``"shuffle"`` removes as many weights of each tensor at random, ``"invert"`` the best first.
        sanity_checks: run the technique three times more: shuffled, inverted, and with new weights before training
            again (Frankle et al. 2021).
        schedule: ``"one-shot"``, ``"iterative"``, ``"levels"``, ``"linear"`` or ``"cubic"``.
        when: ``"before"``, ``"during"`` or ``"after"`` training; linear and cubic prune during it, the others
            after it unless told otherwise.
        retrain: what happens to the kept weights after each pruning: ``"finetune"`` goes on at the last learning
            rate, ``"rewind"`` sets them back to step ``rewind_step`` and trains again, ``"rewind-lr"`` keeps them
            and trains again from that step's learning rate, ``"reinit"`` draws new ones, ``"none"`` leaves them.
        rewind_step: step of the dense training to go back to; 0 is the initialisation.
        epochs: of fine-tuning; those of the training where it is left out.
        learning_rate: of fine-tuning; the last of the training where it is left out.
        fraction: largest share of what is left that one round of ``"iterative"`` removes; with ``rewire``, the share of
            the connections that the first update moves.
        begin, end: fractions of the training at which ``"linear"`` and ``"cubic"`` begin and end; rewiring ends too.
        every: steps between two of their prunings, or between two rewirings.
        rewire: train a network that is sparse from the start and move its connections: ``"set"`` or ``"rigl"``; the
            budget is ``"erk"`` unless another is named.
        movement: learn a score for every weight while training; the lowest go. ``"hard"`` reaches the sparsities, as
            ``"cubic"`` does; with ``"soft"`` the sparsity is what comes of ``strength``.
        edge_popup: learn a score for every weight and train no weight at all, so that what is left is a supermask. The
            weights that take part are the ``"first"`` ones, or ``"signed"`` constants; ``"scaled"`` and
            ``"signed-scaled"`` make up for the weights that are out.
        penalty: term of the loss (``"group-lasso"``, ``"batch-norm-slimming"`` …, or ``"module:name"``) of the training
            that goes before the pruning, or during which it happens. With ``"l0"``, gates learn what goes, and the
            sparsity is what comes of ``strength``.
        strength: factor of the penalty, or of that on the scores of soft movement.
        threshold: weights stay as long as the sigmoid of their score is above it, with ``movement = "soft"``.
        drop_rate: probability with which gates are closed at first, about; with ``penalty = "l0"``.
        mask_learning_rate: of the scores of soft movement, 100 where it is left out, of the gates, 0.1, or of
            edge-popup's scores, 0.1, from which it falls to 0.
        distill: learn from the outputs of the dense network too when the kept weights are trained again.
        recalibrate: re-estimate the statistics of batch normalisation on the training split at the end.
        include, exclude, types: which parameters are in scope; by default the weights of all linear,
            convolutional, recurrent and attention layers.
        protect: keep at least one weight of every tensor.
        calibration_examples: training examples that criteria with data look at.
    """

    each: dict[str, tuple[Any, ...]] = Field({})
    criterion: str = "magnitude"
    settings: dict[str, Any] = Field({})
    pattern: str = "weight"
    aggregate: str = "mean"
    scope: str = "global"
    budget: str | None = None
    budget_settings: dict[str, Any] = Field({})
    rounds: Whole | None = Field(None, ge=1)
    control: str | None = None
    sanity_checks: bool = False
    schedule: str = "one-shot"
    when: Literal["before", "during", "after"] | None = None
    retrain: Retraining = "finetune"
    rewind_step: Whole = Field(0, ge=0)
    epochs: Whole | None = Field(None, ge=1)
    learning_rate: Number | None = Field(None, gt=0, allow_inf_nan=False)
    fraction: Number = Field(0.2, gt=0, lt=1)
    begin: Number = Field(0.0, ge=0, le=1)
    end: Number = Field(0.75, gt=0, le=1)
    every: Whole = Field(10, ge=1)
    rewire: Literal["set", "rigl"] | None = None
    movement: Literal["hard", "soft"] | None = None
    edge_popup: Literal["first", "scaled", "signed", "signed-scaled"] | None = None
    penalty: str | None = None
    strength: Number | None = Field(None, ge=0, allow_inf_nan=False)
    threshold: Number = Field(0.1, gt=0, lt=0.5)
    drop_rate: Number = Field(0.5, gt=0, lt=1)
    mask_learning_rate: Number | None = Field(None, gt=0, allow_inf_nan=False)
    distill: bool = False
    recalibrate: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    protect: bool = True
    calibration_examples: Whole = Field(1000, ge=1)

    @field_validator("criterion")
    @classmethod
    def _criterion_exists(cls, name: str) -> str:
        return known(CRITERIA, name)

    @field_validator("pattern")
    @classmethod
    def _pattern_is_written_right(cls, text: str) -> str:
        read_pattern(text)
        return text

    @field_validator("schedule")
    @classmethod
    def _schedule_exists(cls, name: str) -> str:
        SCHEDULES[name]
        return name

    @field_validator("scope")
    @classmethod
    def _scope_exists(cls, name: str) -> str:
        require_scope(name)
        return name

    @field_validator("aggregate")
    @classmethod
    def _aggregate_exists(cls, name: str) -> str:
        require_aggregate(name)
        return name

    @field_validator("budget")
    @classmethod
    def _budget_exists(cls, name: str | None) -> str | None:
        return name if name is None else known(BUDGETS, name)

    @field_validator("control")
    @classmethod
    def _control_exists(cls, name: str | None) -> str | None:
        require_control(name)
        return name

    @field_validator("penalty")
    @classmethod
    def _penalty_exists(cls, name: str | None) -> str | None:
        return name if name is None else known(PENALTIES, name)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        found: list[tuple[Path, str]] = [((key,), wrong) for key, wrong in wrong_with(self)] if not self.each else []
        if found:
            raise mistakes(found)
        if self.when == ("during" if self.learning else _implied(self.schedule)):
            self.__dict__["when"] = None  # saying what is implied must not make it another technique
        return self

    @property
    def learning(self) -> str:
        """What learns by itself which weights go, as a recipe writes it, see ``LEARNING``; empty where nothing does."""
        if self.movement:
            return f"movement = '{self.movement}'"
        if self.edge_popup:
            return "edge_popup"
        return "penalty = 'l0'" if self.penalty == "l0" else ""

    @property
    def own_choice(self) -> bool:
        """Whether its sparsity is what comes of its strength, and not one that is asked for."""
        return self.movement == "soft" or self.penalty == "l0"

    @property
    def trains_penalized(self) -> bool:
        """Whether it prunes a network that it has trained itself, with a penalty, instead of the dense one."""
        return self.penalty is not None and self.timing == "after"

    @property
    def timing(self) -> str:
        """``"before"``, ``"during"`` or ``"after"`` training."""
        return "during" if self.rewire or self.learning else self.when or _implied(self.schedule)

    @property
    def rewinds_late(self) -> bool:
        """Whether weights are set back to a step after the initialisation, which must be recorded first."""
        return self.retrain == "rewind" and self.rewind_step > 0

    @property
    def begins_with_training(self) -> bool:
        """Whether its first state is a network that it trains before any pruning."""
        return self.finds and (self.rewinds_late or self.trains_penalized)

    @property
    def label(self) -> str:
        """The name, or one made from the settings."""
        return self.name or made_label(self)

    @model_validator(mode="after")
    def _each_is_a_technique(self, info: ValidationInfo) -> Self:
        for key, values in self.each.items():
            if key not in type(self).model_fields or key in ("name", "each"):
                raise ValueError(f"each: {unknown_name('key of a technique', key, type(self).model_fields)}")
            if not values:
                raise ValueError(f"each: {key} has no value")
        combinations = self._combinations
        # A setting may be for some of the combinations alone.
        found: list[tuple[Path, str]] = [((key,), wrong) for key, wrong in ignored(self, combinations)]
        if found and info.context != _COMBINED:
            raise mistakes(found)
        return self

    @property
    def _combinations(self) -> tuple[Self, ...]:
        """One technique for each combination of the values in ``each``."""
        given = self.model_dump(exclude_unset=True, exclude={"each"})
        if not self.each:
            return (self,)
        found = []
        for values in itertools.product(*self.each.values()):
            combination = dict(zip(self.each, values, strict=True))
            one = type(self).model_validate({**given, **combination}, context=_COMBINED)
            parts = filter(None, (told(key, getattr(one, key)) for key in combination))
            found.append(one.model_copy(update={"name": ", ".join((self.name, *parts))}) if self.name else one)
        return tuple(found)

    @property
    def expanded(self) -> tuple[Self, ...]:
        """What the technique stands for: every combination of ``each``, and of each its sanity checks."""
        return tuple(each for technique in self._combinations for each in technique._checked)

    @property
    def _checked(self) -> tuple[Self, ...]:
        if not self.sanity_checks:
            return (self,)
        plain = self.model_copy(update={"sanity_checks": False})
        changes: dict[str, dict[str, Any]] = {
            "shuffled": {"control": "shuffle"},
            "inverted": {"control": "invert"},
            "reinitialised": {"retrain": "reinit", "rewind_step": 0, "epochs": None, "learning_rate": None},
        }
        return (
            plain,
            *(plain.model_copy(update={**change, "name": f"{self.label}, {how}"}) for how, change in changes.items()),
        )


def _implied(schedule: str) -> str:
    return "during" if schedule in GRADUAL else "after"
