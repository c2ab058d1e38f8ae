"""The outcome in a sentence and a small table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from prunus.cli.output import percent, print_table, say, size
from prunus.report.evidence import DENSE
from prunus.report.words import constraints, count, mean_and_half, objective, plural, sparsity_percent
from prunus.selection.statistics import mean_interval

_EXPLAINED = (
    "to the best: the paired difference in points, ± half its 95 % interval",
    "ranks: those that a technique may have, behind all that are clearly better and",
    "before all that are clearly worse, each comparison by itself; of comparisons",
    "between equals one in twenty looks clear by chance: see the page",
)
_UNSURE = ("one seed: no interval, so every technique may have any rank",)

if TYPE_CHECKING:
    from prunus.report.evidence import Evidence
    from prunus.report.ranking import Place
    from prunus.selection.candidates import Candidate
    from prunus.selection.choose import Choice


def sentence(choice: Choice) -> str:
    """What was chosen, and what it costs, on the test split."""
    candidate, shipped = choice.candidate, choice.replicate.reporting
    limits = constraints(choice.constraints)
    drop, lost = 100 * shipped["accuracy_drop"], 100 * shipped["worst_class_drop"]
    against = "" if candidate.technique == DENSE or math.isnan(drop) else f", {_against_dense(drop)}"
    worst = f" The class that loses most loses {lost:.1f} points." if lost > 0 else ""
    return (
        f"{candidate.technique} at {sparsity_percent(candidate.requested_sparsity)} sparsity has "
        f"{objective(choice.metric)}{f' with {limits}' if limits else ''}. Its model of seed {choice.replicate.seed} "
        f"predicts {percent(shipped['accuracy'])} of the test examples right{against}.{worst} "
        f"Packed it takes {size(shipped['size_bytes'])}, {_smaller(shipped['compression'])} dense."
    )


def _against_dense(drop: float) -> str:
    """How many points are lost."""
    if f"{abs(drop):.1f}" == "0.0":
        return "as many as the dense model"
    return f"{abs(drop):.1f} points {'below' if drop > 0 else 'above'} the dense model"


def _smaller(times: float) -> str:
    """How many times smaller, and the word that compares."""
    if 0.95 <= times < 1.05:
        return "as much as"
    return f"{times:.1f} times less than" if times > 1 else f"{1 / times:.1f} times more than"


def print_outcome(evidence: Evidence) -> None:
    """Test accuracy in order of merit: of few techniques at every target sparsity, of many their ranking at one."""
    if evidence.short.usual:
        who = "Every technique is" if evidence.short.all_have_it else "Unless its name says otherwise, a technique is"
        say(f"{who}: {evidence.short.usual}")
    if evidence.is_crowded:
        _print_ranking(evidence)
    else:
        _print_table(evidence)


def _print_table(evidence: Evidence) -> None:
    """Techniques that make their own choice have a column of their own, which says the sparsity too."""
    own = {run.technique for run in evidence.runs if not run.sparsities}.intersection(evidence.techniques)
    rows = []
    for technique in (DENSE, *evidence.by_merit):
        cells = []
        for sparsity in evidence.targets:
            candidate = evidence.dense if technique == DENSE else evidence.at(technique, sparsity)
            cells.append(_accuracy(candidate) if candidate and technique not in own else "–")
        if own:
            choices = evidence.of(technique) if technique in own else []
            cells.append(", ".join(map(_own_choice, choices)) or "–")
        rows.append([evidence.short[technique], *cells])
    title = f"Test accuracy in %, {_replicates(evidence)}, at sparsity"
    columns = ["technique", *[percent(sparsity, 0) for sparsity in evidence.targets], *(["own choice"] if own else [])]
    print_table(columns, rows, title)


def _own_choice(candidate: Candidate) -> str:
    return f"{_accuracy(candidate)} at {sparsity_percent(candidate.requested_sparsity)}"


def _print_ranking(evidence: Evidence) -> None:
    from prunus.report.ranking import levels
    from prunus.report.terms import terms_of

    parts = terms_of(evidence.experiment).parts
    found = [level for level in levels(evidence) if level.looked_at]
    for number, level in enumerate(found):
        if number:
            say("")
        say(f"Test accuracy in % at {sparsity_percent(level.sparsity)} sparsity, {_replicates(evidence)}")
        if evidence.dense:
            say(f"dense: {_accuracy(evidence.dense)}")
        for group in level.groups:
            title = f"{group.kind.title}, {plural(len(group.places), 'technique')}"
            say("")
            print_table(
                ["rank", "technique", "accuracy", "to the best", "ranks"],
                [_place(evidence.short[place.technique], place) for place in group.places],
                f"{title}, {count(group.kind.total)} {parts} in scope" if group.kind.total else title,
            )
    say("")
    for line in _EXPLAINED if len(evidence.seeds) > 1 else _UNSURE:
        say(line)
    ranked = {place.technique for level in found for group in level.groups for place in group.places}
    elsewhere = [one for name in evidence.measured if name not in ranked for one in evidence.of(name)]
    if elsewhere:
        rows = [
            [evidence.short[one.technique], _accuracy(one), sparsity_percent(one.requested_sparsity)]
            for one in elsewhere
        ]
        say("")
        print_table(["technique", "accuracy", "sparsity"], rows, "without a model at that sparsity")


def _place(name: str, place: Place) -> list[str]:
    accuracy, spread = place.accuracy
    return [
        place.rank,
        name,
        f"{accuracy.removesuffix('%').rstrip()} {spread}".rstrip(),
        f"{place.behind[0]} {place.half_width}".rstrip(),
        place.note or place.ranks,
    ]


def _replicates(evidence: Evidence) -> str:
    seeds = max((len(candidate.replicates) for candidate in evidence.candidates), default=0)
    return f"mean of {seeds} seeds ± half the 95 % interval" if seeds > 1 else "one seed"


def ranking_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """The rankings of every kind at every target sparsity, as plain values."""
    rows = []
    for sparsity in evidence.targets:
        for kind in evidence.kinds:
            for row in evidence.ranking(kind, sparsity).rows:
                values = {name: value for name, value in vars(row).items() if name != "candidate"}
                rows.append({"sparsity": sparsity, "kind": kind.title, "technique": row.candidate.technique, **values})
    return rows


def _accuracy(candidate: Candidate) -> str:
    return mean_and_half(mean_interval(candidate.reporting("accuracy")), 100)
