"""``prunus tickets rank``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from prunus.cli.commands.tickets.options import Experiment, Sparsity, in_percent, opened, told_names
from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from prunus.selection.ranking import Ranking


def rank(
    experiment: Experiment = None,
    folder: HistoryFolder = None,
    sparsity: Sparsity = None,
    controls: Annotated[bool, typer.Option("--controls", help="Rank the controls among the tickets.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say whether one ticket is better than the others, and which ranks each may have."""
    from prunus.tickets.gathering import gather_tickets
    from prunus.tickets.ranking import rank_tickets

    tickets = gather_tickets(opened(folder, experiment), experiment)
    found = rank_tickets(tickets, sparsity, controls=controls)
    if as_json:
        rows = [{**vars(each), "candidate": each.candidate.technique} for each in found.rows]
        at = (found.rows[0].candidate if found.rows else found.unranked[0]).requested_sparsity
        print_json({"sparsity": at, "rows": rows, "unranked": [each.technique for each in found.unranked]})
        return
    _print(found)
    if any(each.is_voted for each in tickets.tickets):
        say("What several searches agree on has a sparsity of its own and is not ranked: see")
        say("`prunus tickets consensus`.")


def _print(ranking: Ranking) -> None:
    from prunus.report.words import mean_and_half, plural, rank_range

    short = told_names(each.technique for each in (*(row.candidate for row in ranking.rows), *ranking.unranked))
    rows = [
        [
            str(each.rank),
            short[each.candidate.technique],
            mean_and_half(each.value, 100),
            mean_and_half(each.to_best, 100, sign=True) if each.to_best else "",
            rank_range(each.first, each.last),
            rank_range(each.sure_first, each.sure_last),
        ]
        for each in ranking.rows
    ]
    rows += [["–", short[each.technique], "–", "–", "–", "–"] for each in ranking.unranked]
    at = (ranking.rows[0].candidate if ranking.rows else ranking.unranked[0]).requested_sparsity
    seeds = max((each.value.count for each in ranking.rows), default=0)
    title = f"Tickets at {in_percent(at)} sparsity: accuracy in %, {plural(seeds, 'seed')} ± half the 95 % interval"
    print_table(["rank", "tickets", "accuracy", "to the best", "ranks", "surely"], rows, title)
    say("")
    if len(ranking.rows) > 1:
        best = ranking.rows[0]
        word = "is shown" if best.sure_last == 1 else "is not shown"
        say(f"{short[best.candidate.technique]} {word} to be better than all others.")
    say("to the best: difference, paired by seed; ranks: those that it may have, behind")
    say("all that are clearly better and before all that are clearly worse, each")
    say("comparison by itself; surely: with all of one ticket held to 95 % together.")
    if ranking.unranked:
        say("–: not compared, for its seeds are not those of the others, or it diverged.")
