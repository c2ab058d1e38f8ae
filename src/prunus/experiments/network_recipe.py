"""Recipes for networks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from prunus.errors import PrunusError
from prunus.experiments.base_work import with_needs
from prunus.experiments.lines import Path as KeyPath
from prunus.experiments.messages import mistakes
from prunus.experiments.recipe import Recipe
from prunus.experiments.settings import Sparsities
from prunus.experiments.task_settings import SourceSettings, TaskSettings
from prunus.experiments.technique_labels import made_label
from prunus.experiments.technique_settings import TechniqueSettings
from prunus.experiments.work import Work
from prunus.files.canonical import digest
from prunus.masks.pattern_names import read_pattern
from prunus.tasks.code import code_digests
from prunus.training.plan import Plan

UNPRUNED = "unpruned, from step"
SPARSITY_ROUNDING = 1e-6  # an N:M pattern's sparsity may be written with as many digits


class NetworkRecipe(Recipe):
    """One experiment with a network.

    Attributes:
        sparsities: rising targets, fractions of the weights in scope, in [0, 1).
        task: data and network.
        training: how the dense network is trained, and how pruned ones are trained again.
        technique: what to compare, sanity checks of those that ask for them included.
    """

    sparsities: Sparsities = Field(min_length=1)
    task: TaskSettings
    training: Plan = Plan()
    technique: tuple[TechniqueSettings, ...] = Field(min_length=1)

    @field_validator("training", mode="before")
    @classmethod
    def _training_has_no_switch_for_a_number(cls, values: object) -> object:
        kinds = {each.name: str(each.type).removesuffix(" | None") for each in fields(Plan)}
        allowed = {"int": "a whole number", "float": "a number"}
        found: list[tuple[KeyPath, str]] = [
            ((name,), f"must be {allowed[kinds[name]]}, got {value}")
            for name, value in (values.items() if isinstance(values, Mapping) else ())
            if isinstance(value, bool) and kinds.get(name) in allowed
        ]
        if found:
            raise mistakes(found)
        return values

    @field_validator("training")
    @classmethod
    def _training_is_finite(cls, plan: Plan) -> Plan:
        found = [
            ((name,), f"must be finite, got {value}")
            for name, value in vars(plan).items()
            if isinstance(value, float) and not math.isfinite(value)
        ]
        if found:
            raise mistakes(found)
        return plan

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        found = {
            (("technique", index, key), message)
            for index, technique in enumerate(self.technique)
            for each in technique.expanded
            for key, message in (
                *_wrong_name(each),
                *self._wrong_pattern(each),
                *self._wrong_rate(each),
                *self._wrong_source(each),
            )
        }
        if found:
            raise mistakes(sorted(found, key=str))
        return self

    def _wrong_pattern(self, technique: TechniqueSettings) -> Iterator[tuple[str, str]]:
        fixed = read_pattern(technique.pattern).fixed_sparsity
        if fixed is None:
            return
        if len(self.sparsities) > 1 or abs(self.sparsities[0] - fixed) > SPARSITY_ROUNDING:
            yield "pattern", f"{technique.pattern} fixes the sparsity: sparsities must be [{fixed:g}]"
        if technique.schedule not in ("one-shot", "levels"):
            yield (
                "schedule",
                f"'{technique.schedule}' goes through sparsities that the pattern {technique.pattern} cannot have: "
                "it needs 'one-shot' or 'levels'",
            )

    def _wrong_rate(self, technique: TechniqueSettings) -> Iterator[tuple[str, str]]:
        finetunes = technique.timing == "after" and technique.retrain == "finetune"
        if finetunes and technique.learning_rate is None and self.training.decay in ("cosine", "linear"):
            yield (
                "learning_rate",
                f"is missing: training.decay = '{self.training.decay}' ends at a learning rate of 0, so that "
                f"fine-tuning of '{technique.label}' needs one of its own",
            )

    def _wrong_source(self, technique: TechniqueSettings) -> Iterator[tuple[str, str]]:
        key = "tasks" if technique.tasks else "source"
        found = []
        for each in _sources(technique):
            try:
                found.append(each.beside(self.task))
            except ValueError as error:
                yield key, str(error)
        if key == "source" and _unordered(self.task) in map(_unordered, found):
            yield key, "the source is the task itself: a ticket is taken from another one"
        if any(_has_seen_tests(each, self.task) for each in found):
            yield (
                key,
                f"the test examples of {self.task.data} are among those that mnist trains on, so that its tickets have "
                "seen them: take other classes, or tickets from mnist5k to mnist",
            )
        if len({*map(_unordered, found)}) < len(found):
            yield key, "two of the tasks are the same: searches are repeated with 'searches'"

    @property
    def id(self) -> str:
        """Digest of what is stated: a new setting whose default changes nothing keeps old digests."""
        return digest(self.stated())

    def works(self) -> list[Work]:
        """Every run that has to be done, those of the dense network first."""
        task, finders = _identified(self.task), self._finders()
        return with_needs(
            Work(
                task,
                self.training,
                seeds,
                technique,
                () if technique.own_choice or technique.ticket == "unpruned" else self.sparsities,
                code_digests(technique.criterion, technique.budget, technique.penalty),
                tuple(_identified(each.beside(self.task)) for each in _sources(technique)),
                finder="" if technique.finds else finders[_nameless(technique.finding)],
            )
            for technique in map(_as_run, self.techniques)
            for seeds in self.replicates
        )

    def _finders(self) -> dict[str, str]:
        """A technique that finds tickets, without its name → what it is called in this recipe, as nothing else is."""
        names = {_nameless(each): each.name for each in reversed(self.techniques) if each.finds}
        used = {each.label for each in self.techniques}
        for finding in (each.finding for each in self.techniques if not each.finds):
            if (key := _nameless(finding)) in names:
                continue
            label = finding.label if finding.name not in used else made_label(finding)
            free = (f"{label} ({number})" for number in itertools.count(2))
            name = label if label not in used else next(each for each in free if each not in used)
            names[key] = "" if name == made_label(finding) else name
            used.add(name)
        return names

    @property
    def own(self) -> list[tuple[KeyPath, str]]:
        """Key → every ``"module:name"`` of the user's own."""
        named: list[tuple[KeyPath, str | None]] = [
            *((("task", key), getattr(self.task, key)) for key in ("target", "data", "model")),
            *(
                (("technique", index, key), getattr(each, key))
                for index, technique in enumerate(self.technique)
                for each in technique.expanded
                for key in ("criterion", "budget", "penalty")
            ),
            *(
                (("technique", index, "tasks" if each.tasks else "source"), name)
                for index, technique in enumerate(self.technique)
                for each in technique.expanded
                for source in _sources(each)
                for name in (source.target, source.data)
            ),
        ]
        return list(dict.fromkeys((path, name) for path, name in named if name is not None and ":" in name))

    def wrong_settings(self) -> Iterator[tuple[KeyPath, PrunusError]]:
        """Key → what is wrong with the settings of a criterion or of a budget."""
        for index, technique in enumerate(self.technique):
            for each in technique.expanded:
                for key, wrong in _wrong_settings(each).items():
                    yield ("technique", index, key), wrong


def _wrong_name(technique: TechniqueSettings) -> Iterator[tuple[str, str]]:
    if technique.ticket != "unpruned" and technique.label.startswith(UNPRUNED):
        yield "name", f"'{UNPRUNED} …' is what siblings of the dense network are called: call it something else"


def _nameless(technique: TechniqueSettings) -> str:
    return digest({key: value for key, value in technique.stated().items() if key != "name"})


def _sources(technique: TechniqueSettings) -> tuple[SourceSettings, ...]:
    return technique.tasks or ((technique.source,) if technique.source else ())


def _has_seen_tests(source: TaskSettings, target: TaskSettings) -> bool:
    """Whether a search on the one trains on what the other is tested on: mnist5k is of the training split of mnist."""
    apart = source.classes and target.classes and not {*source.classes} & {*target.classes}
    return (source.data, target.data) == ("mnist", "mnist5k") and not apart


def _unordered(task: TaskSettings) -> str:
    return repr(task.model_copy(update={"classes": sorted(task.classes)}))


def _identified(task: TaskSettings) -> dict[str, Any]:
    """The settings of the task that differ from their defaults, with digests of the user's own source files."""
    return task.stated() | code_digests(task.data, task.model, task.target)


def _as_run(technique: TechniqueSettings) -> TechniqueSettings:
    """What is run: without what nothing looks at where nothing is pruned, so that techniques share its run."""
    if technique.ticket != "unpruned":
        return technique
    step = technique.rewind_step
    stated = {"retrain": "rewind", "rewind_step": step, "ticket": "unpruned"}
    return TechniqueSettings.model_validate({"name": f"{UNPRUNED} {step}", **stated})


def _wrong_settings(technique: TechniqueSettings) -> dict[str, PrunusError]:
    """Key → what is wrong with the settings of the technique's criterion or budget."""
    if not technique.settings and not technique.budget_settings:
        return {}
    from prunus.allocation.technique import Technique  # needs torch too

    plain: dict[str, Any] = {"criterion": technique.criterion, "budget": technique.budget}
    found = {}
    for key in ("settings", "budget_settings"):
        try:
            Technique(**plain, **{key: getattr(technique, key)})
        except PrunusError as error:
            found[key] = error
    return found
