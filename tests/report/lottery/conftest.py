from __future__ import annotations

from dataclasses import replace

import pytest

from prunus.report.evidence import gather


@pytest.fixture(scope="session")
def crowded(tickets):
    """What the page knows where so many techniques do better than the control that it is not told apart."""
    evidence = gather(tickets, None)
    found = [one for one in evidence.candidates if one.technique == "tickets"]
    more = [replace(one, technique=f"more {number}") for number in range(9) for one in found]
    crowded = replace(evidence, candidates=(*evidence.candidates, *more))
    assert crowded.index("tickets, shuffled") is None
    return crowded
