"""What a technique without a name is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prunus.experiments.technique_settings import TechniqueSettings

# Settings of a technique that say which tickets it takes, and what it changes in them.
ABOUT_TICKETS = ("ticket", "searches", "tasks", "vote", "source", "carry")


def told(key: str, value: Any) -> str:
    """What a value of a setting adds to a name; empty where that is nothing."""
    if (key, value) in (("ticket", "found"), ("searches", 1), ("source", None), ("tasks", ())):
        return ""
    if key == "tasks":
        return " and ".join(each.label for each in value)
    parts = {
        "source": "from {0.label}",
        "searches": "{} searches",
        "vote": "vote {:g}",
        "rewind_step": "from step {}",
    }
    return parts.get(key, "{}").format(value)


def made_label(technique: TechniqueSettings) -> str:
    """A name made from the settings."""
    if technique.rewire:
        parts: tuple[str, ...] = (technique.rewire, technique.budget or "erk")
    elif technique.learning:
        parts = _learning(technique)
    else:
        parts = _chosen(technique)
    return ", ".join(parts)


def _learning(technique: TechniqueSettings) -> tuple[str, ...]:
    if technique.movement == "hard":
        return "hard movement", technique.scope
    stated = technique.stated()
    settings = [f"{key} {stated[key]:g}" for key in ("threshold", "drop_rate", "mask_learning_rate") if key in stated]
    if technique.edge_popup:
        return "edge-popup", technique.edge_popup, *settings
    kind = f"{technique.movement} movement" if technique.movement else "l0"
    return f"{kind} {technique.strength:g}", *_pattern(technique), *settings


def _chosen(technique: TechniqueSettings) -> tuple[str, ...]:
    retraining = technique.retrain if technique.timing == "after" else f"{technique.timing} training"
    retraining += f" to step {technique.rewind_step}" if technique.rewind_step else ""
    retraining += " with a teacher" if technique.distill else ""
    aggregate = () if technique.aggregate == "mean" else (technique.aggregate,)
    settings = tuple(f"{name} {value}" for name, value in technique.settings.items())
    again = ("reinitialised",) if technique.timing == "before" and technique.retrain == "reinit" else ()
    return (
        *((f"{technique.penalty} {technique.strength:g}",) if technique.penalty else ()),
        technique.criterion,
        *settings,
        *_pattern(technique),
        *aggregate,
        technique.budget or technique.scope,
        technique.schedule,
        retraining,
        *again,
        *{None: (), "shuffle": ("shuffled",), "invert": ("inverted",)}[technique.control],
        *_taken(technique),
    )


def _pattern(technique: TechniqueSettings) -> tuple[str, ...]:
    return () if technique.pattern == "weight" else (technique.pattern,)


def _taken(technique: TechniqueSettings) -> tuple[str, ...]:
    keys = {*technique.stated()} & {*ABOUT_TICKETS}
    parts = [told(key, getattr(technique, key)) for key in ABOUT_TICKETS[1:] if key in keys]
    return *parts, *((f"{technique.ticket} ticket",) if "ticket" in keys else ())
