"""The outcome in a sentence and a small table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prunus.cli.output import percent, print_table, size
from prunus.report.words import constraints, objective, sparsity_percent
from prunus.selection.statistics import mean_interval

if TYPE_CHECKING:
    from prunus.history.store import History
    from prunus.selection.candidates import Candidate
    from prunus.selection.choose import Choice


def sentence(choice: Choice) -> str:
    """What was chosen, and what it costs, on the test split."""
    candidate, shipped = choice.candidate, choice.replicate.reporting
    limits = constraints(choice.constraints)
    drop, lost = 100 * shipped["accuracy_drop"], 100 * shipped["worst_class_drop"]
    against = (
        "" if math.isnan(drop) else f", {abs(drop):.1f} points {'below' if drop >= 0 else 'above'} the dense model"
    )
    worst = f" The class that loses most loses {lost:.1f} points." if lost > 0 else ""
    return (
        f"{candidate.technique} at {sparsity_percent(candidate.requested_sparsity)} sparsity has "
        f"{objective(choice.metric)}{f' with {limits}' if limits else ''}. Its model of seed {choice.replicate.seed} "
        f"predicts {percent(shipped['accuracy'])} of the test examples right{against}.{worst} "
        f"Packed it takes {size(shipped['size_bytes'])}, {shipped['compression']:.1f} times less than dense."
    )


def print_comparison(history: History, sparsities: tuple[float, ...]) -> None:
    """Test accuracy of every technique at every target sparsity: mean over seeds and half width of its interval.

    Techniques that make their own choice have a column of their own, which says the sparsity too.
    """
    candidates = history.candidates()
    techniques = list(dict.fromkeys(candidate.technique for candidate in candidates))
    found = {(each.technique, each.requested_sparsity): each for each in candidates}
    own = {run.technique for run in history.runs() if not run.sparsities} - {"dense"}
    rows = []
    for technique in techniques:
        cells = []
        for sparsity in sparsities:
            candidate = found.get((technique, sparsity if technique != "dense" else 0.0))
            cells.append(_accuracy(candidate.reporting("accuracy")) if candidate else "–")
        choices = [each for each in candidates if each.technique == technique and technique in own]
        rows.append([technique, *cells, *([", ".join(map(_own_choice, choices)) or "–"] if own else [])])
    seeds = max((len(candidate.replicates) for candidate in candidates), default=0)
    replicates = f"mean of {seeds} seeds ± half the 95 % interval" if seeds > 1 else "one seed"
    title = f"Test accuracy in %, {replicates}, at sparsity"
    columns = ["technique", *[percent(sparsity, 0) for sparsity in sparsities], *(["own choice"] if own else [])]
    print_table(columns, rows, title)


def _own_choice(candidate: Candidate) -> str:
    return f"{_accuracy(candidate.reporting('accuracy'))} at {sparsity_percent(candidate.requested_sparsity)}"


def _accuracy(values: list[float]) -> str:
    interval = mean_interval(values)
    text = f"{100 * interval.mean:.1f}"
    return text if interval.high is None else f"{text} ±{100 * (interval.high - interval.mean):.1f}"
