"""Lottery tickets: what is found is judged against the dense network and against controls. Free of torch."""

from __future__ import annotations

from prunus.lookup import lazy_attributes

__all__ = ["Ticket", "Tickets", "Verdict", "early_stop", "gather_tickets", "judge"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "Ticket": "prunus.tickets.gathering",
        "Tickets": "prunus.tickets.gathering",
        "Verdict": "prunus.tickets.verdict",
        "early_stop": "prunus.tickets.early_stopping",
        "gather_tickets": "prunus.tickets.gathering",
        "judge": "prunus.tickets.verdict",
    },
)
