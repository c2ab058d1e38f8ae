"""Which settings of a technique go together, and which do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prunus.experiments.technique_settings import TechniqueSettings

Wrong = Iterator[tuple[str, str]]  # key, and what is wrong with it

GRADUAL = ("linear", "cubic")
_DRAWN = ("criterion", "settings", "pattern", "aggregate", "scope", "schedule", "rounds", "control", "begin")


def wrong_with(technique: TechniqueSettings) -> Wrong:
    """Every setting that does not go with the others."""
    if technique.rewire:
        yield from _wrong_rewiring(technique)
    else:
        yield from _wrong_schedule(technique)
    yield from _wrong_retraining(technique)


def _wrong_rewiring(technique: TechniqueSettings) -> Wrong:
    taken = technique.model_fields_set & {*_DRAWN}
    if taken or technique.when not in (None, "during"):
        yield (
            "rewire",
            "rewire draws connections at random and moves them while training: leave out "
            f"{', '.join(sorted(taken)) or 'when'}",
        )


def _wrong_schedule(technique: TechniqueSettings) -> Wrong:
    gradual = technique.schedule in GRADUAL
    if technique.when is not None and gradual != (technique.when == "during"):
        yield (
            "schedule",
            f"schedule = '{technique.schedule}' prunes {'during' if gradual else 'before or after'} training, "
            f"not {technique.when} it: 'linear' and 'cubic' go with when = 'during', the others do not",
        )
    if gradual and technique.end <= technique.begin:
        yield "end", _end_before_begin(technique)


def _wrong_retraining(technique: TechniqueSettings) -> Wrong:
    timing, retrain = technique.timing, technique.retrain
    if timing != "after" and retrain not in ("finetune", "reinit" if timing == "before" else ""):
        yield (
            "retrain",
            f"retrain is about pruning after training; here the pruning is {timing} it"
            + (", where only 'reinit' makes a difference" if timing == "before" else ""),
        )
    if technique.sanity_checks and (technique.control or retrain == "reinit" or timing == "during"):
        yield (
            "sanity_checks",
            "sanity_checks adds runs with other controls and new weights to a technique before or after training: "
            "leave out control and retrain = 'reinit'",
        )
    if technique.rewind_step and retrain not in ("rewind", "rewind-lr"):
        yield "rewind_step", f"rewind_step goes with retrain = 'rewind' or 'rewind-lr', not '{retrain}'"
    if retrain != "finetune" and (technique.epochs is not None or technique.learning_rate is not None):
        key = "learning_rate" if technique.epochs is None else "epochs"
        yield key, f"epochs and learning_rate are those of fine-tuning, not of retrain = '{retrain}'"
    if technique.distill and (timing != "after" or retrain == "none"):
        yield "distill", "distill goes with training again after pruning: the teacher is the trained dense network"


def _end_before_begin(technique: TechniqueSettings) -> str:
    return f"end must lie after begin, got {technique.end} and {technique.begin}"
