"""How good a network is, overall, per class and per group, and what it costs."""

from __future__ import annotations

from prunus.lookup import lazy_attributes

__all__ = ["count_flops", "effective_parameters", "evaluate", "measure"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "count_flops": "prunus.evaluation.flops",
        "effective_parameters": "prunus.evaluation.connectivity",
        "evaluate": "prunus.evaluation.accuracy",
        "measure": "prunus.evaluation.measure",
    },
)
