"""The tables of a recipe. Unknown keys are refused; every name is looked up where it stands."""

from __future__ import annotations

import difflib
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from prunus.allocation.scopes import SCOPES
from prunus.criteria.table import CRITERIA
from prunus.errors import ArgumentError
from prunus.experiments.messages import mistakes
from prunus.lookup import unknown_name
from prunus.masks.pattern_names import read_pattern
from prunus.schedules.table import SCHEDULES
from prunus.selection.constraints import parse_constraints
from prunus.selection.metrics import METRICS
from prunus.tasks.tables import DATASETS, MODELS

Retraining = Literal["finetune", "rewind", "rewind-lr", "reinit", "none"]
GRADUAL = ("linear", "cubic")


class Settings(BaseModel):
    """What all tables share: frozen, and no unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def stated(self) -> dict[str, Any]:
        """The settings that differ from their defaults, as plain values: what identifies them."""
        return self.model_dump(mode="json", exclude_defaults=True)


class TaskSettings(Settings):
    """What to learn, and with which network.

    Attributes:
        data: data set, by name or as ``"module:function"``.
        model: network, by name or as ``"module:function"``.
        augment: whether to train on the data set's augmentation.
        target: ``"module:function"`` that returns a ``prunus.tasks.Task``, instead of the other three;
            ``task = "module:function"`` says the same.
    """

    data: str | None = None
    model: str | None = None
    augment: bool = False
    target: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_text(cls, value: object) -> object:
        return {"target": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string", "pattern": "^[^:]+:[^:]+$"}, handler(core_schema)]}

    @field_validator("target")
    @classmethod
    def _target_is_written_right(cls, name: str | None) -> str | None:
        return name if name is None else _own(name)

    @field_validator("data")
    @classmethod
    def _data_exists(cls, name: str | None) -> str | None:
        return name if name is None else _known(DATASETS, name)

    @field_validator("model")
    @classmethod
    def _model_exists(cls, name: str | None) -> str | None:
        return name if name is None else _known(MODELS, name)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.target is None and (self.data is None or self.model is None):
            raise ValueError("a task needs data and model, or target = 'module:function'")
        if self.target is not None and (self.data is not None or self.model is not None or self.augment):
            raise ValueError("target stands for the whole task: leave out data, model and augment")
        return self


class SeedSettings(Settings):
    """Separate seeds for what is random.

    Attributes:
        init: of the first weights.
        order: of the data's order, of augmentation and of dropout.
        pruning: of criteria that draw, and of new weights for ``reinit``.
    """

    init: int = Field(ge=0)
    order: int = Field(ge=0)
    pruning: int = Field(ge=0)


class TechniqueSettings(Settings):
    """One way to prune, to compare with the others.

    Attributes:
        name: as it appears in tables; made from the settings where empty.
        criterion: what scores the weights (``prunus criteria``), or ``"module:name"``.
        pattern: ``"weight"``, ``"row"``, ``"block:4x1"``, ``"2:4"``.
        scope: ``"global"`` or ``"layer"``.
        schedule: ``"one-shot"``, ``"iterative"``, ``"levels"``, ``"linear"`` or ``"cubic"``.
        when: ``"before"``, ``"during"`` or ``"after"`` training; linear and cubic prune during it, the others
            after it unless told otherwise.
        retrain: what happens to the kept weights after each pruning: ``"finetune"`` goes on at the last learning
            rate, ``"rewind"`` sets them back to step ``rewind_step`` and trains again, ``"rewind-lr"`` keeps them
            and trains again from that step's learning rate, ``"reinit"`` draws new ones, ``"none"`` leaves them.
        rewind_step: step of the dense training to go back to; 0 is the initialisation.
        epochs: of fine-tuning; those of the training where it is left out.
        learning_rate: of fine-tuning; the last of the training where it is left out.
        fraction: largest share of what is left that one round of ``"iterative"`` removes.
        begin, end: fractions of the training at which ``"linear"`` and ``"cubic"`` begin and end.
        every: steps between two of their prunings.
        include, exclude, types: which parameters are in scope; by default the weights of all linear,
            convolutional, recurrent and attention layers.
        protect: keep at least one weight of every tensor.
        calibration_examples: training examples that criteria with data look at.
    """

    name: str = ""
    criterion: str = "magnitude"
    pattern: str = "weight"
    scope: str = "global"
    schedule: str = "one-shot"
    when: Literal["before", "during", "after"] | None = None
    retrain: Retraining = "finetune"
    rewind_step: int = Field(0, ge=0)
    epochs: int | None = Field(None, ge=1)
    learning_rate: float | None = Field(None, gt=0, allow_inf_nan=False)
    fraction: float = Field(0.2, gt=0, lt=1)
    begin: float = Field(0.0, ge=0, le=1)
    end: float = Field(0.75, gt=0, le=1)
    every: int = Field(10, ge=1)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    protect: bool = True
    calibration_examples: int = Field(1000, ge=1)

    @field_validator("criterion")
    @classmethod
    def _criterion_exists(cls, name: str) -> str:
        return _known(CRITERIA, name)

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
        if name not in SCOPES:
            raise ValueError(unknown_name("scope", name, SCOPES))
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        gradual = self.schedule in GRADUAL
        if self.when is not None and gradual != (self.when == "during"):
            raise ValueError(
                f"schedule = '{self.schedule}' prunes {'during' if gradual else 'before or after'} training, "
                f"not {self.when} it: 'linear' and 'cubic' go with when = 'during', the others do not"
            )
        if gradual and self.end <= self.begin:
            raise ValueError(f"end must lie after begin, got {self.end} and {self.begin}")
        if self.timing != "after" and self.retrain != "finetune":
            raise ValueError(f"retrain is about pruning after training; here the pruning is {self.timing} it")
        if self.rewind_step and self.retrain not in ("rewind", "rewind-lr"):
            raise ValueError(f"rewind_step goes with retrain = 'rewind' or 'rewind-lr', not '{self.retrain}'")
        if self.retrain != "finetune" and (self.epochs is not None or self.learning_rate is not None):
            raise ValueError(f"epochs and learning_rate are those of fine-tuning, not of retrain = '{self.retrain}'")
        if self.when == _implied(self.schedule):
            self.__dict__["when"] = None  # saying what is implied must not make it another technique
        return self

    @property
    def timing(self) -> str:
        """``"before"``, ``"during"`` or ``"after"`` training."""
        return self.when or _implied(self.schedule)

    @property
    def rewinds_late(self) -> bool:
        """Whether weights are set back to a step after the initialisation, which must be recorded first."""
        return self.retrain == "rewind" and self.rewind_step > 0

    @property
    def label(self) -> str:
        """The name, or one made from the settings."""
        if self.name:
            return self.name
        retraining = self.retrain if self.timing == "after" else f"{self.timing} training"
        pattern = () if self.pattern == "weight" else (self.pattern,)
        return ", ".join((self.criterion, *pattern, self.scope, self.schedule, retraining))


class ChoiceSettings(BaseModel):
    """Which result to ship: the best by one metric among those that satisfy every constraint.

    Attributes:
        by: the metric.

    Every other key is a constraint, ``METRIC_at_least`` or ``METRIC_at_most``.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    by: str = "accuracy"

    @field_validator("by")
    @classmethod
    def _metric_exists(cls, name: str) -> str:
        if name not in METRICS:
            raise ValueError(unknown_name("metric", name, METRICS))
        return name

    @model_validator(mode="after")
    def _constraints_parse(self) -> Self:
        found = [((key,), wrong) for key, limit in self.constraints.items() if (wrong := _wrong_with(key, limit))]
        if found:
            raise mistakes(found)
        return self

    @property
    def constraints(self) -> dict[str, float]:
        """Constraint → limit."""
        return dict(self.model_extra or {})


def _implied(schedule: str) -> str:
    return "during" if schedule in GRADUAL else "after"


def _wrong_with(key: str, limit: Any) -> str | None:
    """What is wrong with a constraint, or None."""
    try:
        parse_constraints({key: limit})
    except ArgumentError as error:
        allowed = ["by", *(f"{metric}_{bound}" for metric in METRICS for bound in ("at_least", "at_most"))]
        nearest = difflib.get_close_matches(key, allowed, n=1) if key not in allowed else []
        hint = f"; did you mean '{nearest[0]}'?" if nearest and "did you mean" not in str(error) else ""
        return f"{error}{hint}"
    return None


def _known(table: Any, name: str) -> str:
    """The name, looked up unless it is a user's own ``module:name``."""
    if ":" in name:
        return _own(name)
    table[name]
    return name


def _own(name: str) -> str:
    """A user's own ``module:name``, if it is written right."""
    module, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise ValueError(f"a thing of your own is written 'package.module:name', got {name!r}")
    return name
