"""Lottery tickets: what is found is judged against the dense network and against controls. Free of torch."""

from __future__ import annotations

from prunus.lookup import lazy_attributes

__all__ = [
    "Agreement",
    "Comparison",
    "Consensus",
    "Path",
    "Stability",
    "Structure",
    "Ticket",
    "Tickets",
    "Verdict",
    "agreement",
    "clustered",
    "compare",
    "early_stop",
    "found_masks",
    "gather_tickets",
    "judge",
    "linear_path",
    "mean_structure",
    "relative_change",
    "same_signs",
    "stability",
    "structure",
    "vote",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "Agreement": "prunus.tickets.overlap",
        "Comparison": "prunus.tickets.comparison",
        "Consensus": "prunus.tickets.voting",
        "Path": "prunus.tickets.connectivity",
        "Stability": "prunus.tickets.siblings",
        "Structure": "prunus.tickets.unit_structure",
        "Ticket": "prunus.tickets.gathering",
        "Tickets": "prunus.tickets.gathering",
        "Verdict": "prunus.tickets.verdict",
        "agreement": "prunus.tickets.overlap",
        "clustered": "prunus.tickets.comparison",
        "compare": "prunus.tickets.comparison",
        "early_stop": "prunus.tickets.early_stopping",
        "found_masks": "prunus.tickets.comparison",
        "gather_tickets": "prunus.tickets.gathering",
        "judge": "prunus.tickets.verdict",
        "linear_path": "prunus.tickets.connectivity",
        "mean_structure": "prunus.tickets.unit_structure",
        "relative_change": "prunus.tickets.connectivity",
        "same_signs": "prunus.tickets.connectivity",
        "stability": "prunus.tickets.siblings",
        "structure": "prunus.tickets.unit_structure",
        "vote": "prunus.tickets.voting",
    },
)
