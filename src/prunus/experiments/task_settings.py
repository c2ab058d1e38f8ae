"""What to learn, and other tasks of which tickets are taken."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from prunus.experiments.settings import OWN_SCHEMA, Named, Settings, own
from prunus.tasks.tables import DATASETS, MODELS


def _two_or_more(names: tuple[str, ...]) -> tuple[str, ...]:
    if names and len(set(names)) < max(2, len(names)):
        raise ValueError(f"classes must be two or more names, each once, got {', '.join(map(repr, names))}")
    return names


Own = Annotated[str, AfterValidator(own)]  # a user's own "module:name"
Classes = Annotated[tuple[str, ...], AfterValidator(_two_or_more)]


class TaskSettings(Settings):
    """What to learn, and with which network.

    Attributes:
        data: data set, by name or as ``"module:function"``.
        model: network, by name or as ``"module:function"``.
        augment: whether to train on the data set's augmentation.
        classes: names of the classes that are to be told apart; all where there are none.
        target: ``"module:function"`` that returns a ``prunus.tasks.Task``, instead of all the others;
            ``task = "module:function"`` says the same.
    """

    data: Annotated[str, Named(DATASETS)] | None = None
    model: Annotated[str, Named(MODELS)] | None = None
    augment: bool = False
    classes: Classes = ()
    target: Own | None = None

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["data", "model"]}, {"required": ["target"]}]})

    @model_validator(mode="before")
    @classmethod
    def _read_text(cls, value: object) -> object:
        return {"target": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [OWN_SCHEMA, handler(core_schema)]}

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.target is None and (self.data is None or self.model is None):
            raise ValueError("a task needs data and model, or target = 'module:function'")
        if self.target is not None and len(self.stated()) > 1:
            raise ValueError("target stands for the whole task: leave out data, model, augment and classes")
        return self


class SourceSettings(Settings):
    """Another task, on which tickets are found with the network of the recipe's task.

    Attributes:
        data: data set, by name or as ``"module:function"``; the text alone says the same. That of the recipe's task
            where it is left out.
        augment: as in a task; as in the recipe's where it is left out.
        classes: as in a task; with the recipe's data, as in the recipe's task where they are left out.
        target: as in a task, where the recipe's has one too.
    """

    data: Annotated[str, Named(DATASETS)] | None = None
    augment: bool | None = None
    classes: Classes | None = None
    target: Own | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_text(cls, value: object) -> object:
        return {"data": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [OWN_SCHEMA, {"type": "string", "enum": [*DATASETS]}, handler(core_schema)]}

    def beside(self, task: TaskSettings) -> TaskSettings:
        """The whole task, with what is left out as in the recipe's.

        Raises:
            ValueError: it does not go with the recipe's task.
        """
        if task.target is not None:
            target = self.target or self.data
            if target is None or ":" not in target or self.classes or self.augment is not None:
                raise ValueError("the recipe's task is a 'module:function', so that this must be one too")
            return TaskSettings(target=target)
        if self.target is not None:
            raise ValueError("target goes with a recipe whose task has one: name data instead")
        same = self.data in (None, task.data)
        return TaskSettings(
            data=self.data or task.data,
            model=task.model,
            augment=task.augment if self.augment is None else self.augment,
            classes=self.classes if self.classes is not None else task.classes if same else (),
        )

    @property
    def label(self) -> str:
        """What it is called in a technique's name."""
        classes = ("all classes" if not self.classes else f"classes {', '.join(self.classes)}",)
        parts = [self.target or self.data, *(classes if self.classes is not None else ())]
        return ", ".join(filter(None, parts)) or "here"
