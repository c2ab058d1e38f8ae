"""``prunus criteria``."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

from prunus.cli.options import AsJson
from prunus.cli.output import print_json, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prunus.lookup import Entry

_NEEDS = {"validation": "held-out examples", "forest": "a forest"}


def criteria(as_json: AsJson = False) -> None:
    """List the criteria for networks and the methods for trees: what each judges by, needs and costs, its source."""
    from prunus.criteria.table import CRITERIA
    from prunus.trees.table import METHODS

    if as_json:
        print_json({"criteria": dict(CRITERIA), "tree_methods": dict(METHODS)})
        return
    _print_entries("Criteria: what scores the weights of a network", CRITERIA, "the weights alone")
    say("")
    _print_entries("Tree methods: what prunes decision trees and forests", METHODS, "the trees alone")


def _print_entries(title: str, entries: Mapping[str, Entry], otherwise: str) -> None:
    """Every entry with its facts below it; ``otherwise`` is what one needs that needs nothing more."""
    width = min(100, shutil.get_terminal_size().columns)
    say(title)
    for name, entry in entries.items():
        needs = " and ".join(_NEEDS.get(need, need) for need in entry.needs) or otherwise
        facts = [f"needs {needs}", f"costs {entry.cost}" if entry.cost else "", entry.source]
        say(f"  {name}")
        for text in (entry.summary, "; ".join(filter(None, facts))):
            for line in textwrap.wrap(text, width - 4):
                say(f"    {line}")
