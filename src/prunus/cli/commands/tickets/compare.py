"""``prunus tickets compare``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from prunus.cli.commands.tickets.options import Experiment, Rounds, Sparsity, asked_for, in_percent, opened, told_names
from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import print_json, print_table, say
from prunus.errors import SelectionError
from prunus.report.names import ShortNames

if TYPE_CHECKING:
    from prunus.tickets.comparison import Comparison
    from prunus.tickets.groups import Group
    from prunus.tickets.overlap import Chance
    from prunus.tickets.rounds import Reached

OWN_SPARSITY = 5e-3  # by which a technique misses what was asked for where it has a sparsity of its own
_COLUMNS = ["Jaccard", "by chance", "beyond it", "Hamming", "by chance"]
_EXPLAINED = (
    "Jaccard: weights that both keep, of those that either keeps; Hamming: weights",
    "that one keeps and the other removes, of all; seed by seed, ± half the 95 %",
    "interval. By chance: masks that keep as many weights of each layer at random,",
    "± half the range of 95 % of them; beyond it: pairs more alike than 97.5 % of",
    "those.",
)
_EFFECTIVE = (
    "effective: kept weights on no path from input to output count as removed;",
    "–: recorded before these were counted, or the network cannot be followed.",
)


class _At(NamedTuple):
    """What is shown of one sparsity."""

    sparsity: float
    pairs: list[Comparison]
    reached: Mapping[str, Reached]
    groups: Group | None


def compare(
    experiment: Experiment = None,
    folder: HistoryFolder = None,
    sparsity: Sparsity = None,
    rounds: Rounds = False,
    layers: Annotated[bool, typer.Option("--layers", help="Show every layer too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say how far techniques, and seeds, agree on what stays, beside what chance would give."""
    from prunus.tickets.comparison import compare as compared
    from prunus.tickets.groups import grouped
    from prunus.tickets.rounds import gather_rounds

    found = []
    for each in asked_for(gather_rounds(opened(folder, experiment), experiment), sparsity, rounds):
        pairs = compared(each.masks)
        found.append(_At(each.sparsity, pairs, each.reached, grouped(pairs)))
    if not any(each.pairs for each in found):
        raise SelectionError("there is nothing to compare: the masks are those of one technique with one seed")
    if as_json:
        plain = [_plain(each) for each in found]
        print_json({"rounds": plain} if rounds else plain[0])
        return
    short = told_names(name for each in found for name in each.reached)
    if rounds:
        _print_rounds(found, short, layers)
    else:
        _print_one(found[0], short, layers)


def _print_one(at: _At, short: ShortNames, layers: bool) -> None:
    names = _layers(at.pairs) if layers else []
    order = at.groups.names if at.groups else [*at.reached]
    pairs = sorted(at.pairs, key=lambda each: (each.first != each.second, *_places(each, order)))
    rows = [[_told(each, short), *_cells(each, names)] for each in pairs]
    title = f"What stays at {in_percent(at.sparsity)} sparsity"
    if any(abs(each.sparsity.mean - at.sparsity) > OWN_SPARSITY for each in at.reached.values()):
        title += ", or of searches at it"
    print_table(["masks of", *_COLUMNS, *names], rows, title)
    say("")
    _explain(_EXPLAINED)
    say("")
    _print_groups(at.groups, short)
    say("")
    columns = ["masks of", "sparsity in %", "effective in %"]
    rows = [[short[name], *_sparsities(reached)] for name, reached in at.reached.items()]
    print_table(columns, rows)
    say("")
    _explain(_EFFECTIVE)


def _print_rounds(found: Sequence[_At], short: ShortNames, layers: bool) -> None:
    pairs = dict.fromkeys((each.first, each.second) for at in found for each in at.pairs)
    names = _layers([each for at in found for each in at.pairs]) if layers else []
    for pair in sorted(pairs, key=lambda each: each[0] != each[1]):
        at = [(at.sparsity, each) for at in found for each in at.pairs if (each.first, each.second) == pair]
        rows = [[in_percent(sparsity), *_cells(each, names)] for sparsity, each in at]
        print_table(["sparsity", *_COLUMNS, *names], rows, _told(at[0][1], short))
        say("")
    _explain(_EXPLAINED)
    say("")
    for technique in dict.fromkeys(name for at in found for name in at.reached):
        rows = [
            [in_percent(at.sparsity), *_sparsities(at.reached[technique])] for at in found if technique in at.reached
        ]
        print_table(["asked for", "sparsity in %", "effective in %"], rows, short[technique])
        say("")
    _explain(_EFFECTIVE)


def _print_groups(groups: Group | None, short: ShortNames) -> None:
    from prunus.tickets.groups import LEAST

    if groups is None:
        say(f"No groups: fewer than {LEAST} techniques, or two of them without a common seed.")
        return
    say("Groups: techniques are joined at their mean distance, 1 − Jaccard over that of")
    say("chance, so that 0 is the same mask and 1 no more alike than chance")
    for line in _tree(groups, short):
        say(line)


def _tree(group: Group, short: ShortNames) -> list[str]:
    """A dendrogram lying on its side."""
    if not group.parts:
        return [short[group.name]]
    *others, last = [_tree(part, short) for part in group.parts]
    lines = [f"{group.height:.2f}"]
    for part in others:
        lines += [f"├─ {part[0]}", *(f"│  {line}" for line in part[1:])]
    return [*lines, f"└─ {last[0]}", *(f"   {line}" for line in last[1:])]


def _told(pair: Comparison, short: ShortNames) -> str:
    return f"{short[pair.first]} / {'other seeds' if pair.first == pair.second else short[pair.second]}"


def _places(pair: Comparison, order: Sequence[str]) -> list[int]:
    return sorted(map(order.index, (pair.first, pair.second)))


def _cells(pair: Comparison, layers: Sequence[str]) -> list[str]:
    from prunus.report.words import mean_and_half

    return [
        mean_and_half(pair.jaccard, decimals=3),
        _chance(pair.by_chance),
        f"{100 * pair.beyond_chance:.0f} %",
        mean_and_half(pair.hamming, decimals=3),
        _chance(pair.hamming_by_chance),
        *("{:.3f} ({:.3f})".format(*pair.layers[name]) if name in pair.layers else "–" for name in layers),
    ]


def _chance(chance: Chance) -> str:
    return f"{chance.mean:.3f} ±{(chance.high - chance.low) / 2:.3f}"


def _layers(pairs: Sequence[Comparison]) -> list[str]:
    return list(dict.fromkeys(name for each in pairs for name in each.layers))


def _sparsities(reached: Reached) -> list[str]:
    from prunus.report.words import mean_and_half

    return [mean_and_half(each, 100, 2) for each in (reached.sparsity, reached.effective)]


def _explain(lines: Sequence[str]) -> None:
    for line in lines:
        say(line)


def _plain(at: _At) -> dict[str, Any]:
    order = at.groups.names if at.groups else [*at.reached]
    return {"sparsity": at.sparsity, "order": order, "pairs": at.pairs, "reached": at.reached, "groups": at.groups}
