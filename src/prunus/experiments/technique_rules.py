"""Which settings of a technique go together, and which do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from prunus.allocation.budgets.table import BUDGETS
from prunus.criteria.table import CRITERIA
from prunus.experiments.ticket_rules import wrong_ticket
from prunus.masks.pattern_names import read_pattern

if TYPE_CHECKING:
    from prunus.experiments.technique_settings import TechniqueSettings

Wrong = Iterator[tuple[str, str]]  # key, and what is wrong with it

GRADUAL = ("linear", "cubic")
_EVERYWHERE = ("name", "each", "when", "recalibrate", "include", "exclude", "types", "protect")
# What learns by itself which weights go → the other settings that it has.
LEARNING = {
    "movement = 'hard'": ("movement", "scope", "begin", "end", "every"),
    "movement = 'soft'": ("movement", "strength", "threshold", "mask_learning_rate"),
    "edge_popup": ("edge_popup", "mask_learning_rate"),
    "penalty = 'l0'": ("penalty", "strength", "pattern", "drop_rate", "mask_learning_rate"),
}
_PENALTY = "a penalty"  # every other one: it has a strength, and a criterion says what goes
_DRAWN = ("criterion", "settings", "pattern", "aggregate", "scope", "schedule", "rounds", "control", "begin", "penalty")
_IN_GROUPS = ("group-lasso", "l0")
_UNPRUNED = ("name", "each", "retrain", "rewind_step", "ticket")


def wrong_with(technique: TechniqueSettings) -> Wrong:
    """Every setting that does not go with the others."""
    if technique.learning:
        yield from _wrong_learning(technique)
        return
    yield from _ownerless(technique)
    yield from _wrong_choice(technique)
    if technique.rewire:
        yield from _wrong_rewiring(technique)
    else:
        yield from _wrong_schedule(technique)
    if technique.penalty:
        yield from _wrong_penalty(technique)
    yield from _wrong_retraining(technique)
    yield from wrong_ticket(technique)


def ignored(technique: TechniqueSettings, combinations: Sequence[TechniqueSettings]) -> Wrong:
    """Settings that none of the techniques that it stands for looks at."""
    for key in technique.stated():
        if key in _USED:
            goes_with, looks_at = _USED[key]
            if not any(looks_at(each) for each in combinations):
                yield key, f"{key} goes with {goes_with}: nothing here looks at it, so leave it out"
        elif key not in _UNPRUNED and all(each.ticket == "unpruned" for each in combinations):
            yield key, f"ticket = 'unpruned' prunes nothing: nothing here looks at {key}, so leave it out"


def _is_gradual(technique: TechniqueSettings) -> bool:
    return (technique.schedule in GRADUAL and not technique.learning) or technique.movement == "hard"


def _fine_tunes(technique: TechniqueSettings) -> bool:
    return (technique.timing, technique.retrain) == ("after", "finetune")


def _chooses_freely(technique: TechniqueSettings) -> bool:
    return read_pattern(technique.pattern).fixed_sparsity is None


def _needs_data(technique: TechniqueSettings) -> bool:
    named = [(CRITERIA, technique.criterion), (BUDGETS, technique.budget or "uniform")]
    return any(":" in name or "batches" in table[name].needs for table, name in named)


_OVER_TIME = "schedule = 'linear' or 'cubic', or movement = 'hard'"
_USED: dict[str, tuple[str, Callable[[TechniqueSettings], bool]]] = {  # setting → what looks at it
    "aggregate": ("a pattern of groups", lambda each: each.pattern != "weight" and _chooses_freely(each)),
    "scope": ("patterns other than N:M, and no budget", lambda each: not each.budget and _chooses_freely(each)),
    "rounds": ("patterns other than N:M", _chooses_freely),
    "protect": ("patterns other than N:M", _chooses_freely),
    "calibration_examples": ("a criterion or a budget that looks at data", _needs_data),
    "fraction": (
        "schedule = 'iterative', or rewire",
        lambda each: each.schedule == "iterative" or each.rewire is not None,
    ),
    "begin": (_OVER_TIME, _is_gradual),
    "end": (f"{_OVER_TIME}, or rewire", lambda each: _is_gradual(each) or each.rewire is not None),
    "every": (f"{_OVER_TIME}, or rewire", lambda each: _is_gradual(each) or each.rewire is not None),
    "epochs": ("fine-tuning after pruning", _fine_tunes),
    "learning_rate": ("fine-tuning after pruning", _fine_tunes),
}


def _wrong_learning(technique: TechniqueSettings) -> Wrong:
    allowed = LEARNING[technique.learning]
    for key in sorted(technique.model_fields_set - {*allowed, *_EVERYWHERE}):
        yield key, f"{technique.learning} learns by itself what goes: leave out {key}; it has {', '.join(allowed[1:])}"
    if technique.when not in (None, "during"):
        yield "when", f"{technique.learning} prunes during training, not {technique.when} it"
    if "end" in allowed and technique.end <= technique.begin:
        yield "end", _end_before_begin(technique)
    if technique.penalty:
        yield from _wrong_groups(technique)
    if "strength" in allowed:
        yield from _missing_strength(technique)


def _ownerless(technique: TechniqueSettings) -> Wrong:
    """Settings of something that is not there."""
    for key in technique.stated():
        owners = [name for name, keys in LEARNING.items() if key in keys]
        if key == "strength" and not technique.penalty:
            yield key, f"strength goes with {owners[0]} or {_PENALTY}"
        elif key in ("threshold", "drop_rate", "mask_learning_rate"):
            yield key, f"{key} goes with {' or '.join(owners)}"


def _wrong_choice(technique: TechniqueSettings) -> Wrong:
    """What ``Technique`` would refuse, when the dense network is trained already."""
    fixed = read_pattern(technique.pattern).fixed_sparsity is not None
    if technique.scope == "row" and technique.pattern != "weight" and not fixed:
        yield "scope", f"scope = 'row' compares single weights, not pattern = '{technique.pattern}': write 'layer'"
    if technique.budget and fixed:
        yield "budget", f"the pattern {technique.pattern} fixes every layer's sparsity: leave the budget out"


def _wrong_rewiring(technique: TechniqueSettings) -> Wrong:
    taken = technique.model_fields_set & {*_DRAWN}
    if taken or technique.when not in (None, "during"):
        yield (
            "rewire",
            "rewire draws connections at random and moves them while training: leave out "
            f"{', '.join(sorted(taken)) or 'when'}",
        )
    budget = technique.budget or "erk"
    if ":" not in budget and "batches" in BUDGETS[budget].needs:
        yield "budget", f"rewire draws connections before there is anything to look at, and '{budget}' looks at data"
    if technique.budget_settings:
        yield "budget_settings", "rewire takes a budget without settings: leave out budget_settings"


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


def _wrong_penalty(technique: TechniqueSettings) -> Wrong:
    yield from _missing_strength(technique)
    yield from _wrong_groups(technique)
    if technique.timing == "before":
        yield "penalty", "penalty is a term of the loss of the training, and when = 'before' prunes before there is any"
    if technique.rewinds_late:
        yield (
            "rewind_step",
            "rewind_step must be 0 beside a penalty: no state of the training with the penalty is kept but its last",
        )


def _missing_strength(technique: TechniqueSettings) -> Wrong:
    if technique.strength is None:
        of = technique.learning or f"penalty = '{technique.penalty}'"
        yield "strength", f"is missing: {of} needs to know how strong it is, such as strength = 1e-4"


def _wrong_groups(technique: TechniqueSettings) -> Wrong:
    pattern, penalty = technique.pattern, technique.penalty
    if penalty in _IN_GROUPS and read_pattern(pattern).fixed_sparsity is not None:
        yield "pattern", f"penalty = '{penalty}' needs groups that stand or fall together, and {pattern} has none"
    if penalty == "group-lasso" and pattern == "weight":
        yield (
            "pattern",
            "penalty = 'group-lasso' draws groups of weights to zero: say which, such as pattern = 'channel', or write "
            "penalty = 'l1' for single weights",
        )
    if penalty == "batch-norm-slimming" and pattern != "channel":
        yield "pattern", f"penalty = '{penalty}' draws channels to zero: write pattern = 'channel', not '{pattern}'"


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
    if technique.distill and (timing != "after" or retrain == "none"):
        yield "distill", "distill goes with training again after pruning: the teacher is the trained dense network"


def _end_before_begin(technique: TechniqueSettings) -> str:
    return f"end must lie after begin, got {technique.end} and {technique.begin}"
