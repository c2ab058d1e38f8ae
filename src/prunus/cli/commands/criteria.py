"""``prunus criteria``."""

from __future__ import annotations

from prunus.cli.options import AsJson
from prunus.cli.output import print_json, print_table


def criteria(as_json: AsJson = False) -> None:
    """List the criteria: what each scores, what it needs, and its source."""
    from prunus.criteria.table import CRITERIA

    if as_json:
        print_json(dict(CRITERIA))
        return
    rows = [[name, entry.summary, ", ".join(entry.needs), entry.source] for name, entry in CRITERIA.items()]
    print_table(["criterion", "what it scores", "needs", "source"], rows)
