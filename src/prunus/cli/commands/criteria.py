"""``prunus criteria``."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

from prunus.cli.options import AsJson
from prunus.cli.output import print_json, say

if TYPE_CHECKING:
    from prunus.lookup import Entry

_NEEDS = {"validation": "held-out examples", "forest": "a forest"}


def criteria(as_json: AsJson = False) -> None:
    """List every technique: what each judges by, needs and costs, and its source."""
    from prunus.allocation.budgets.table import BUDGETS
    from prunus.criteria.table import CRITERIA
    from prunus.training.tables import EDGE_POPUPS, MOVEMENTS, PENALTIES, REWIRINGS
    from prunus.trees.table import METHODS

    tables = {
        "criteria": ("Criteria: what scores the weights of a network (criterion = …)", CRITERIA),
        "rewire": ("Rewiring: sparse from the start, moving connections (rewire = …)", REWIRINGS),
        "movement": ("Movement: scores learnt beside the weights (movement = …)", MOVEMENTS),
        "edge_popup": ("Edge-popup: scores learnt for weights that are never trained (edge_popup = …)", EDGE_POPUPS),
        "penalties": ("Penalties: what draws weights to zero in training (penalty = …)", PENALTIES),
        "budgets": ("Budgets: how sparse each layer is to be (budget = …)", BUDGETS),
        "tree_methods": ("Tree methods: what prunes decision trees and forests (method = …)", METHODS),
    }
    if as_json:
        print_json({name: dict(table) for name, (_, table) in tables.items()})
        return
    for name, (title, table) in tables.items():
        say(title)
        for each, entry in table.items():
            _print_entry(each, entry, _needs(name, entry))
        say("")


def _needs(table: str, entry: Entry) -> str:
    """What must be given beyond the network, in words; empty where it goes without saying."""
    if table == "penalties":
        return f"takes {', '.join(('strength', *entry.needs))}"
    alone = {"criteria": "the weights alone", "tree_methods": "the trees alone"}
    needs = " and ".join(_NEEDS.get(need, need) for need in entry.needs) or alone.get(table, "")
    return f"needs {needs}" if needs else ""


def _print_entry(name: str, entry: Entry, needs: str) -> None:
    """The entry with its facts below it."""
    width = min(100, shutil.get_terminal_size().columns)
    facts = [needs, f"costs {entry.cost}" if entry.cost else "", entry.source]
    say(f"  {name}")
    for text in (entry.summary, "; ".join(filter(None, facts))):
        for line in textwrap.wrap(text, width - 4):
            say(f"    {line}")
