"""``prunus tickets stability``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated

import typer

from prunus.cli.commands.tickets.options import Experiment, in_percent, opened
from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from prunus.tickets.siblings import Stability


def stability(
    experiment: Experiment = None,
    folder: HistoryFolder = None,
    points: Annotated[int, typer.Option(help="On the line between two networks, its ends included.", min=2)] = 30,
    as_json: AsJson = False,
) -> None:
    """Say from which step on training ends in one valley whatever the order of the data, and how far weights go."""
    from prunus.tickets.gathering import gather_tickets
    from prunus.tickets.siblings import stability as measured

    history = opened(folder, experiment)
    found = measured(history, gather_tickets(history, experiment), points)
    if as_json:
        print_json([_plain(each) for each in found])
        return
    dense = [each for each in found if not each.ticket.sparsity]
    for search in dict.fromkeys(each.ticket.search for each in found if each.ticket.sparsity) or [""]:
        its = [each for each in found if each.ticket.sparsity and each.ticket.search == search]
        _print(_title([each.ticket.technique for each in its]), [*dense, *its])
        say("")
    say("barrier: the highest test error on the line between the network and its")
    say(f"sibling, at {points} points, less the mean of its ends, in points; at the least half")
    say("of what these differ by, and below 2 where training is called stable;")
    say("alike: % of the kept weights with one sign in both; apart: their distance, in %")
    say("of the norm; kept: % that end with the sign of their first value; change: their")
    say("distance from it, in % of its norm.")
    if not dense:
        say("The dense network has a sibling with 'unpruned' in the list of ticket.")


def _print(title: str, found: Sequence[Stability]) -> None:
    from prunus.report.words import mean_and_half, plural

    rows = [
        [
            in_percent(each.ticket.left) if each.ticket.sparsity else "dense",
            str(each.ticket.rewind_step),
            mean_and_half(each.barrier, 100, sign=True),
            mean_and_half(each.sibling_signs, 100),
            mean_and_half(each.apart, 100),
            mean_and_half(each.signs, 100),
            mean_and_half(each.change, 100),
        ]
        for each in sorted(found, key=lambda each: (each.ticket.sparsity, each.ticket.rewind_step))
    ]
    seeds = max(each.barrier.count for each in found)
    columns = ["left", "from step", "barrier", "alike", "apart", "kept", "change"]
    print_table(columns, rows, f"{title}: beside siblings with the data in another order, {plural(seeds, 'seed')}")


def _title(names: Sequence[str]) -> str:
    """What the names of one search's tickets have in common, part by part."""
    if not names:
        return "dense"
    parts = zip(*(name.split(", ") for name in names), strict=False)
    return ", ".join(each[0] for each in takewhile(lambda each: len({*each}) == 1, parts)) or names[0]


def _plain(found: Stability) -> dict[str, object]:
    ticket = found.ticket
    of = {"ticket": ticket.technique, "sparsity": ticket.sparsity, "rewind_step": ticket.rewind_step}
    return {**of, **{key: value for key, value in vars(found).items() if key != "ticket"}}
