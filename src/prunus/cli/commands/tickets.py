"""``prunus tickets``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from prunus.selection.statistics import Interval
    from prunus.tickets.verdict import Verdict

app = typer.Typer(no_args_is_help=True, help="Study lottery tickets: judge them, with controls.")

Experiment = Annotated[
    str | None,
    typer.Argument(metavar="[EXPERIMENT]", help="Id of an experiment, or its beginning; the latest where left out."),
]


@app.command()
def verdict(
    experiment: Experiment = None,
    folder: HistoryFolder = None,
    margin: Annotated[float, typer.Option(help="Accuracy that a winning ticket may lose, in points.", min=0)] = 0.5,
    later: Annotated[float, typer.Option(help="How much later it may stop, in % of the dense steps.", min=0)] = 10,
    as_json: AsJson = False,
) -> None:
    """Say of every ticket whether it wins: as accurate as the dense network, after as many steps, and by how much."""
    from prunus.history.store import History
    from prunus.tickets.gathering import gather_tickets
    from prunus.tickets.verdict import judge

    found = judge(gather_tickets(History(folder, create=False), experiment), margin=margin / 100, later=later / 100)
    if as_json:
        print_json([_plain(each) for each in found])
        return
    for technique in dict.fromkeys(each.ticket.technique for each in found):
        _print(technique, [each for each in found if each.ticket.technique == technique])
    say("")
    say(f"winning: at most {margin:g} points less accurate than the dense network and, where learning")
    say(f"curves were recorded, stopping at most {later:g} % later, each shown by its 95 % interval;")
    say("losing: one of them shown to be otherwise. Differences are paired by seed.")


def _print(technique: str, verdicts: list[Verdict]) -> None:
    controls = list(dict.fromkeys(kind for each in verdicts for kind in each.to_controls))
    columns = ["left", "accuracy", "to dense", "stops at", "later", "verdict", *(f"to {kind}" for kind in controls)]
    rows = [
        [
            f"{100 * (1 - each.ticket.sparsity):.4g} %",
            _shown(each.accuracy, 100),
            _shown(each.to_dense, 100, sign=True),
            _shown(each.step, 1, digits=0),
            f"{_shown(each.later, 100, digits=0, sign=True)}{' %' if each.later else ''}",
            each.word,
            *(_shown(each.to_controls.get(kind), 100, sign=True) for kind in controls),
        ]
        for each in verdicts
    ]
    seeds = max(each.accuracy.count for each in verdicts)
    print_table(columns, rows, f"{technique}: test accuracy in %, mean of {seeds} seeds ± half the 95 % interval")


def _shown(interval: Interval | None, factor: float, *, digits: int = 1, sign: bool = False) -> str:
    if interval is None:
        return "–"
    mean = f"{factor * interval.mean:{'+' if sign else ''}.{digits}f}".replace("-", "−")
    if interval.low is None:
        return mean
    return f"{mean} ±{factor * (interval.mean - interval.low):.{digits}f}"


def _plain(found: Verdict) -> dict[str, object]:
    return {
        "technique": found.ticket.technique,
        "sparsity": found.ticket.sparsity,
        "accuracy": found.accuracy,
        "to_dense": found.to_dense,
        "step": found.step,
        "later": found.later,
        "verdict": found.word,
        "to_controls": found.to_controls,
    }
