"""What a technique without a name is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prunus.experiments.technique_settings import TechniqueSettings


def made_label(technique: TechniqueSettings) -> str:
    """A name made from the settings."""
    if technique.rewire:
        parts: tuple[str, ...] = (technique.rewire, technique.budget or "erk")
    else:
        parts = _chosen(technique)
    return ", ".join(parts)


def _chosen(technique: TechniqueSettings) -> tuple[str, ...]:
    retraining = technique.retrain if technique.timing == "after" else f"{technique.timing} training"
    retraining += " with a teacher" if technique.distill else ""
    aggregate = () if technique.aggregate == "mean" else (technique.aggregate,)
    settings = tuple(f"{name} {value}" for name, value in technique.settings.items())
    again = ("reinitialised",) if technique.timing == "before" and technique.retrain == "reinit" else ()
    return (
        technique.criterion,
        *settings,
        *_pattern(technique),
        *aggregate,
        technique.budget or technique.scope,
        technique.schedule,
        retraining,
        *again,
        *{None: (), "shuffle": ("shuffled",), "invert": ("inverted",)}[technique.control],
    )


def _pattern(technique: TechniqueSettings) -> tuple[str, ...]:
    return () if technique.pattern == "weight" else (technique.pattern,)
