"""The tables of a recipe. Unknown keys are refused; every name is looked up where it stands."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError
from pydantic_core.core_schema import no_info_after_validator_function

from prunus.errors import ArgumentError
from prunus.experiments.messages import mistakes
from prunus.lookup import Table, require_name
from prunus.schedules.base import require_sparsity
from prunus.selection.constraints import parse_constraints
from prunus.selection.metrics import METRICS


def _no_switch(kind: Literal["int_type", "float_type"]) -> BeforeValidator:
    """Refuses true and false, which Python takes for 1 and 0."""

    def check(value: object) -> object:
        if isinstance(value, bool):
            raise PydanticKnownError(kind)
        return value

    return BeforeValidator(check)


Whole = Annotated[int, _no_switch("int_type")]
Number = Annotated[float, _no_switch("float_type")]


def _rising(values: tuple[float, ...]) -> tuple[float, ...]:
    for value in values:
        require_sparsity(value)
    if any(later <= earlier for earlier, later in zip((0.0, *values), values, strict=False)):
        raise ValueError(f"sparsities must rise and be above 0, got {list(values)}")
    return values


# The bounds are for the JSON schema alone: here a percentage is told apart from a fraction.
_Sparsity = Annotated[Number, Field(json_schema_extra={"exclusiveMinimum": 0, "exclusiveMaximum": 1})]
Sparsities = Annotated[tuple[_Sparsity, ...], AfterValidator(_rising), Field(json_schema_extra={"uniqueItems": True})]


class Settings(BaseModel):
    """What all tables share: frozen, and no unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def stated(self) -> dict[str, Any]:
        """The settings that differ from their defaults, as plain values: what identifies them."""
        return self.model_dump(mode="json", exclude_defaults=True)


OWN_SCHEMA: JsonSchemaValue = {"type": "string", "pattern": r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"}


@dataclass(frozen=True, eq=False)
class Named:
    """What a text in a recipe is: a name of a table, or a user's own ``"module:name"``.

    Refused is what is neither; the JSON schema lists the names.

    Attributes:
        table: of the names.
        own: whether it may be the user's own.
    """

    table: Table
    own: bool = True

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        names: JsonSchemaValue = {"type": "string", "enum": [*self.table]}
        return {"anyOf": [names, OWN_SCHEMA]} if self.own else names

    def _known(self, name: str) -> str:
        if self.own:
            return known(self.table, name)
        self.table[name]
        return name


class ChoiceSettings(BaseModel):
    """Which result to ship: the best by one metric among those that satisfy every constraint.

    Attributes:
        by: the metric.

    Every other key is a constraint, ``METRIC_at_least`` or ``METRIC_at_most``.
    """

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        json_schema_extra={
            "additionalProperties": False,
            "patternProperties": {f"^({'|'.join(METRICS)})_at_(least|most)$": {"type": "number"}},
        },
    )

    by: str = Field(default="accuracy", json_schema_extra={"enum": [*METRICS]})

    @field_validator("by")
    @classmethod
    def _metric_exists(cls, name: str) -> str:
        require_name("metric", name, METRICS)
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


def known(table: Any, name: str) -> str:
    """The name, looked up unless it is a user's own ``module:name``."""
    if ":" in name:
        return own(name)
    table[name]
    return name


def own(name: str) -> str:
    """A user's own ``module:name``, if it is written right."""
    module, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise ValueError(f"a thing of your own is written 'package.module:name', got {name!r}")
    return name
