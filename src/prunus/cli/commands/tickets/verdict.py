"""``prunus tickets verdict``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from prunus.cli.commands.tickets.options import Experiment, in_percent, opened
from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import print_json, print_table, say
from prunus.errors import SelectionError

if TYPE_CHECKING:
    from prunus.tickets.gathering import Tickets
    from prunus.tickets.verdict import Verdict


def verdict(
    experiment: Experiment = None,
    folder: HistoryFolder = None,
    margin: Annotated[float, typer.Option(help="Accuracy that a winning ticket may lose, in points.", min=0)] = 0.5,
    later: Annotated[float, typer.Option(help="How much later it may stop, in % of the dense steps.", min=0)] = 10,
    as_json: AsJson = False,
) -> None:
    """Say of every ticket whether it wins: as accurate as the dense network, after as many steps, and by how much."""
    from prunus.tickets.gathering import gather_tickets
    from prunus.tickets.verdict import judge

    tickets = gather_tickets(opened(folder, experiment), experiment)
    found = judge(tickets, margin=margin / 100, later=later / 100)
    if not found:
        raise SelectionError(
            "the experiment has no tickets to judge: none was found beside a dense network of its seed"
        )
    if as_json:
        print_json([_plain(each) for each in found])
        return
    _print_dense(tickets)
    for technique in dict.fromkeys(each.ticket.technique for each in found):
        _print(technique, [each for each in found if each.ticket.technique == technique])
    say("")
    say(f"winning: at most {margin:g} points less accurate than the dense network and, where")
    say(f"learning curves were recorded, stopping at most {later:g} % later, each shown by")
    say("its 95 % interval; losing: one of them shown to be otherwise. Paired by seed.")


def _print(technique: str, verdicts: list[Verdict]) -> None:
    from prunus.report.words import mean_and_half, plural

    controls = list(dict.fromkeys(kind for each in verdicts for kind in each.to_controls))
    columns = ["left", "accuracy", "to dense", "stops at", "later", "verdict", *(f"to {kind}" for kind in controls)]
    rows = [
        [
            in_percent(each.ticket.left),
            mean_and_half(each.accuracy, 100),
            mean_and_half(each.to_dense, 100, sign=True),
            mean_and_half(each.step, 1, 0),
            f"{mean_and_half(each.later, 100, 0, sign=True)}{' %' if each.later else ''}",
            each.word,
            *(mean_and_half(each.to_controls.get(kind), 100, sign=True) for kind in controls),
        ]
        for each in verdicts
    ]
    seeds = max(each.accuracy.count for each in verdicts)
    print_table(
        columns, rows, f"{technique}: test accuracy in %, mean of {plural(seeds, 'seed')} ± half the 95 % interval"
    )


def _print_dense(tickets: Tickets) -> None:
    from prunus.report.words import mean_and_half
    from prunus.selection.statistics import mean_interval
    from prunus.tickets.early_stopping import early_stop

    stops = [early_stop(state) for state in tickets.dense.values()]
    steps = [stop.step for stop in stops if stop.step is not None]
    last = max((point.step for state in tickets.dense.values() for point in state.curve), default=0)
    told = f"dense: {mean_and_half(mean_interval([stop.accuracy for stop in stops]), 100)}"
    every = max(stop.every for stop in stops)
    at = f", stops at {mean_and_half(mean_interval(steps), 1, 0)} of {last} steps, measured every {every}"
    say(told + (at if steps else ""))


def _plain(found: Verdict) -> dict[str, object]:
    return {
        "technique": found.ticket.technique,
        "sparsity": found.ticket.sparsity,
        "left": found.ticket.left,
        "accuracy": found.accuracy,
        "to_dense": found.to_dense,
        "step": found.step,
        "later": found.later,
        "verdict": found.word,
        "to_controls": found.to_controls,
    }
