"""The outcome in a sentence and a small table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunus.cli.output import percent, print_table, size
from prunus.selection.statistics import mean_interval

if TYPE_CHECKING:
    from prunus.history.store import History
    from prunus.selection.choose import Choice


def sentence(choice: Choice) -> str:
    """What was chosen, and what it costs, on the test split."""
    candidate, shipped = choice.candidate, choice.replicate.reporting
    limits = " and ".join(str(constraint) for constraint in choice.constraints)
    drop = 100 * shipped["accuracy_drop"]
    change = f"{abs(drop):.1f} points {'below' if drop >= 0 else 'above'} dense"
    return (
        f"Best by {choice.metric.replace('_', ' ')}{f' with {limits}' if limits else ''}: {candidate.technique} at "
        f"{percent(shipped['sparsity'])} sparsity. Test accuracy {percent(shipped['accuracy'])}, {change}; "
        f"worst class loses {100 * shipped['worst_class_drop']:.1f} points; {size(shipped['size_bytes'])}, "
        f"{shipped['compression']:.1f} times smaller than dense."
    )


def print_comparison(history: History, sparsities: tuple[float, ...]) -> None:
    """Test accuracy of every technique at every target sparsity: mean over seeds and half width of its interval."""
    candidates = history.candidates()
    techniques = list(dict.fromkeys(candidate.technique for candidate in candidates))
    found = {(each.technique, each.requested_sparsity): each for each in candidates}
    rows = []
    for technique in techniques:
        cells = []
        for sparsity in sparsities:
            candidate = found.get((technique, sparsity if technique != "dense" else 0.0))
            cells.append(_accuracy(candidate.reporting("accuracy")) if candidate else "–")
        rows.append([technique, *cells])
    seeds = max((len(candidate.replicates) for candidate in candidates), default=0)
    replicates = f"mean of {seeds} seeds ± half the 95 % interval" if seeds > 1 else "one seed"
    title = f"Test accuracy in %, {replicates}, at sparsity"
    print_table(["technique", *[percent(sparsity, 0) for sparsity in sparsities]], rows, title)


def _accuracy(values: list[float]) -> str:
    interval = mean_interval(values)
    text = f"{100 * interval.mean:.1f}"
    return text if interval.high is None else f"{text} ±{100 * (interval.high - interval.mean):.1f}"
