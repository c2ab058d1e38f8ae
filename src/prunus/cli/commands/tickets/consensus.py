"""``prunus tickets consensus``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunus.cli.commands.tickets.options import Experiment, in_percent, told_names
from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from prunus.tickets.agreeing import Agreed


def consensus(experiment: Experiment = None, folder: HistoryFolder = None, as_json: AsJson = False) -> None:
    """Say how good it is what several searches agree on, how sparse beside chance, and how long it took to find."""
    from prunus.history.store import History
    from prunus.tickets.agreeing import consensus as agreed
    from prunus.tickets.gathering import gather_tickets

    history = History(folder, create=False)
    found = agreed(history, gather_tickets(history, experiment))
    if as_json:
        print_json([_plain(each) for each in found])
        return
    _print(found)


def _print(found: list[Agreed]) -> None:
    from prunus.report.words import mean_and_half

    short = told_names(each.verdict.ticket.technique for each in found)
    rows = [
        [
            short[each.verdict.ticket.technique],
            in_percent(each.verdict.ticket.sparsity),
            f"{each.votes} of {each.of}",
            mean_and_half(each.sparsity, 100),
            f"{100 * each.by_chance.mean:.1f}",
            mean_and_half(each.verdict.accuracy, 100),
            mean_and_half(each.verdict.to_controls.get("bespoke"), 100, sign=True),
            mean_and_half(each.verdict.to_controls.get("shuffled"), 100, sign=True),
        ]
        for each in found
    ]
    columns = ["consensus", "searched", "votes", "sparsity", "chance", "accuracy", "to bespoke", "to shuffled"]
    print_table(columns, rows, "What several searches agree on, in %, over seeds ± half the 95 % interval")
    say("")
    times = [
        [
            short[each.verdict.ticket.technique],
            in_percent(each.verdict.ticket.sparsity),
            mean_and_half(each.apart, 1),
            mean_and_half(each.together, 1),
            mean_and_half(each.bespoke, 1),
        ]
        for each in found
    ]
    print_table(
        ["consensus", "searched", "side by side", "one by one", "bespoke"], times, "Seconds until it is trained"
    )
    say("")
    say("searched: sparsity of each search; chance: sparsity of as many masks that keep")
    say("as many weights of each layer at random; bespoke: the ticket that one search")
    say("finds at the sparsity of the consensus; side by side: every search on a core")
    say("of its own; one by one: all on one core, which is the work that it takes.")


def _plain(found: Agreed) -> dict[str, object]:
    ticket = found.verdict.ticket
    told = {key: value for key, value in vars(found).items() if key != "verdict"}
    outcome = {"accuracy": found.verdict.accuracy, "to_controls": found.verdict.to_controls}
    return {"technique": ticket.technique, "searched": ticket.sparsity, **told, **outcome}
