"""What was asked and what came out, in words and on cards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prunus.report.evidence import DENSE, Evidence
from prunus.report.words import (
    constraint,
    constraints,
    kilobytes,
    listed,
    objective,
    percent,
    plural,
    signed,
    sparsity_percent,
    spread,
)
from prunus.selection.candidates import Candidate
from prunus.selection.choose import Choice
from prunus.selection.constraints import ROUNDING
from prunus.selection.statistics import mean, mean_interval

_MOST_NAMES = 4  # in a sentence
_MOST_CARDS = 7  # techniques; with the chosen one two rows of four


@dataclass(frozen=True)
class Verdict:
    """The parts of the sentence that says what was chosen.

    Attributes:
        technique: chosen.
        sparsity: at which.
        reason: by which metric, under which constraints.
        seed: of the shipped model.
        accuracy: of the shipped model on the test split.
        average: the mean over seeds and its interval, and the dense model's.
        worst_class: how the class fared that lost most.
        size: of the packed file.
        smaller, beside: ``"7.9 times smaller"`` and ``"than"``.
        dense_size: of the dense model's plain safetensors file.
        missed: constraints that the shipped model misses by itself, in words; empty where it misses none.
    """

    technique: str
    sparsity: str
    reason: str
    seed: int
    accuracy: str
    average: str
    worst_class: str
    size: str
    smaller: str
    beside: str
    dense_size: str
    missed: str


@dataclass(frozen=True)
class Card:
    """One number that stands out: it, its interval, whose it is, and what it is.

    ``apart`` is true of a technique that stands at another sparsity than the others.
    """

    value: str
    spread: str
    technique: str
    text: str
    index: int | None = None
    apart: bool = False


def subtitle(evidence: Evidence) -> str:
    """What was tried, in one line: task, training, and how many of what."""
    recipe = evidence.experiment.recipe
    task = _stated(evidence.runs[0].task if evidence.runs else recipe.get("task"))
    training = _stated(recipe.get("training")) or _stated(evidence.runs[0].training if evidence.runs else {})
    named = [str(task[key]) for key in ("model", "target") if key in task]
    parts = [" on ".join([*named, *([str(task["data"])] if "data" in task else [])])]
    epochs = plural(training["epochs"], "epoch") if isinstance(training.get("epochs"), int) else ""
    batch = f"in batches of {training['batch_size']}" if "batch_size" in training else ""
    optimizer = f"of {training['optimizer']}" if epochs and "optimizer" in training else ""
    parts.append(" ".join(filter(None, (epochs, optimizer, batch))))
    # What was asked for, also where the process was killed before all of it had begun.
    asked = [recipe.get(key) for key in ("technique", "seeds", "sparsities")]
    begun = evidence.techniques, evidence.seeds, evidence.targets
    counts = [
        plural(max(len(some if isinstance(some, (list, tuple)) else ()), len(other)), noun)
        for some, other, noun in zip(asked, begun, ("technique", "seed", "sparsity"), strict=True)
    ]
    parts.append(" × ".join(counts))
    trainings = sum(bool(state.training_loss) for state in evidence.states.values())
    return " · ".join(filter(None, [*parts, plural(trainings, "training")]))


def _stated(settings: Any) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if value is not None} if isinstance(settings, Mapping) else {}


def verdict(evidence: Evidence) -> Verdict | None:
    """The sentence's parts; None where nothing was chosen."""
    choice = evidence.choice
    if choice is None:
        return None
    shipped = choice.replicate
    limits = constraints(choice.constraints)
    cost = evidence.states[shipped.state].cost
    smaller, beside = _smaller(shipped.reporting["compression"])
    return Verdict(
        technique=choice.candidate.technique,
        sparsity=sparsity_percent(choice.candidate.requested_sparsity),
        reason=" ".join(filter(None, [objective(choice.metric), f"with {limits}" if limits else ""])),
        seed=shipped.seed,
        accuracy=percent(shipped.reporting["accuracy"]),
        average=_average(evidence, choice.candidate),
        worst_class=_worst_class(evidence, choice),
        size=kilobytes(shipped.reporting["size_bytes"]),
        smaller=smaller,
        beside=beside,
        dense_size=kilobytes(cost.dense_size_bytes if cost else math.nan),
        missed=listed([f"the {constraint(limit)}" for limit in choice.missed]),
    )


def _average(evidence: Evidence, candidate: Candidate) -> str:
    own = mean_interval(candidate.reporting("accuracy"))
    parts = []
    if own.count > 1:
        parts.append(f"over {plural(own.count, 'seed')} {percent(own.mean)} {_apart(spread(own))}".rstrip())
    else:
        parts.append("one seed, so no interval")
    if evidence.dense and candidate.technique != DENSE:
        dense = mean_interval(evidence.dense.reporting("accuracy"))
        parts.append(f"dense {percent(dense.mean)} {_apart(spread(dense))}".rstrip())
    return "; ".join(parts)


def _apart(text: str) -> str:
    return text.replace("±", "±\N{NO-BREAK SPACE}")


def _worst_class(evidence: Evidence, choice: Choice) -> str:
    changes = evidence.class_changes(choice.replicate)
    if choice.candidate.technique == DENSE:
        return "it is the model that the others are measured against"
    if not changes:
        return "its change per class is unknown, for there is no dense model of its seed"
    name = min(changes, key=lambda one: changes[one])
    points = 100 * changes[name]
    if float(f"{points:.1f}") >= 0:
        return "no class loses accuracy"
    return f"the class that loses most, {name}, changes by {signed(points)} points"


def _smaller(times: float) -> tuple[str, str]:
    if not math.isfinite(times):
        return "of unknown size", "beside"
    if 0.95 <= times < 1.05:
        return "as large", "as"
    return (f"{times:.1f} times smaller" if times > 1 else f"{1 / times:.1f} times larger"), "than"


def cards(evidence: Evidence) -> tuple[list[Card], int]:
    """What was chosen, then the techniques at the common sparsity, the best first; and how many were left out."""
    found = []
    chosen = evidence.choice.candidate if evidence.choice else None
    if evidence.choice and chosen:
        by = objective(evidence.choice.metric).removeprefix("the ")
        text = f"chosen for {by} at {sparsity_percent(chosen.requested_sparsity)} sparsity"
        found.append(Card(evidence.short[chosen.technique], "", "", text))
    shown = evidence.highlighted[:_MOST_CARDS] if evidence.is_crowded else evidence.techniques
    measured = [candidate for name in shown if (candidate := evidence.near(name, evidence.common))]
    winner = chosen.technique if chosen else ""
    apart = set(_apart_from_common(evidence))
    measured.sort(key=lambda one: (one.technique in apart, one.technique != winner, -mean(one.reporting("accuracy"))))
    for candidate in measured[:_MOST_CARDS]:
        name = candidate.technique
        found.append(_card(candidate, evidence.index(name), name in apart))
    return found, max(0, len(evidence.measured) - min(len(measured), _MOST_CARDS))


def comparability(evidence: Evidence) -> str:
    """Why the techniques are compared at another sparsity than the one at issue; empty where they are not."""
    at, common = sparsity_percent(evidence.level), sparsity_percent(evidence.common)
    chosen = "the chosen " if evidence.choice and evidence.choice.candidate.technique != DENSE else ""
    apart = _apart_from_common(evidence)
    sentences = []
    if abs(evidence.common - evidence.level) > ROUNDING:
        which = "that the most of them have" if apart else "that all of them have"
        sentences.append(
            f"Not every technique has a model at {chosen}{at} sparsity, so they are compared at {common}, "
            f"the nearest {which}."
        )
    if apart:
        which = listed(apart) if len(apart) <= _MOST_NAMES else plural(len(apart), "technique")
        sentences.append(f"{which} {'has' if len(apart) == 1 else 'have'} no model at {common}; shown apart.")
    return " ".join(sentences)


def _apart_from_common(evidence: Evidence) -> list[str]:
    return [name for name in evidence.measured if evidence.at(name, evidence.common) is None]


def _card(candidate: Candidate, index: int | None, apart: bool) -> Card:
    accuracy = mean_interval(candidate.reporting("accuracy"))
    worst = percent(mean(candidate.reporting("worst_class_accuracy")))
    at = sparsity_percent(candidate.requested_sparsity)
    text = f"{'only ' if apart else ''}at {at} · worst class {worst}"
    return Card(percent(accuracy.mean), spread(accuracy), candidate.technique, text, index, apart)
