"""``prunus tickets consensus``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunus.cli.commands.tickets.options import Experiment, in_percent, opened, told_names
from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from prunus.tickets.agreeing import Agreed


def consensus(experiment: Experiment = None, folder: HistoryFolder = None, as_json: AsJson = False) -> None:
    """Say how good it is what several searches agree on, how sparse beside chance, and how long it took to find."""
    from prunus.tickets.agreeing import consensus as agreed
    from prunus.tickets.gathering import gather_tickets

    history = opened(folder, experiment)
    found = agreed(history, gather_tickets(history, experiment))
    if as_json:
        print_json([_plain(each) for each in found])
        return
    _print(found)


def _print(found: list[Agreed]) -> None:
    from prunus.report.words import mean_and_half

    short = told_names(each.verdict.ticket.technique for each in found)
    names = [f"{short[one.technique]}, of {in_percent(1 - one.sparsity)}" for one in (e.verdict.ticket for e in found)]
    rows = [
        [
            name,
            f"{each.votes} of {each.of}",
            f"{100 * (1 - each.sparsity.mean):.1f}",
            f"{100 * (1 - each.by_chance.mean):.1f}",
            mean_and_half(each.verdict.accuracy, 100),
            mean_and_half(each.verdict.to_controls.get("bespoke"), 100, sign=True),
            mean_and_half(each.verdict.to_controls.get("shuffled"), 100, sign=True),
        ]
        for name, each in zip(names, found, strict=True)
    ]
    columns = ["consensus", "votes", "left", "chance", "accuracy", "to bespoke", "to shuffled"]
    print_table(columns, rows, "What several searches agree on, in %, over seeds ± half the 95 % interval")
    say("")
    times = [
        [name, mean_and_half(each.apart, 1), mean_and_half(each.together, 1), mean_and_half(each.bespoke, 1)]
        for name, each in zip(names, found, strict=True)
    ]
    print_table(["consensus", "side by side", "one by one", "bespoke"], times, "Seconds until it is trained")
    say("")
    say("of: what each search has left; left: what the vote has, and by chance of as many")
    say("masks that keep as many weights of each layer at random; bespoke: the ticket")
    say("that one search finds at that sparsity; side by side: every search on a core of")
    say("its own; one by one: all on one core, which is the work that it takes. Networks")
    say("that are trained as one share its time.")


def _plain(found: Agreed) -> dict[str, object]:
    ticket = found.verdict.ticket
    told = {key: value for key, value in vars(found).items() if key != "verdict"}
    outcome = {"accuracy": found.verdict.accuracy, "to_controls": found.verdict.to_controls}
    return {"technique": ticket.technique, "searched": ticket.sparsity, **told, **outcome}
