"""Prune PyTorch networks by any technique, keep the evidence, ship the best.

Everything here is imported when it is first used; ``import prunus`` alone does not import torch.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from prunus.lookup import lazy_attributes

if TYPE_CHECKING:
    from prunus import criteria, schedules, tasks, tickets, training, trees
    from prunus.allocation.pruning import prune
    from prunus.criteria.subject import Subject
    from prunus.errors import PrunusError
    from prunus.evaluation.measure import measure
    from prunus.experiments.recipe import Recipe
    from prunus.experiments.runner import run
    from prunus.history.store import History
    from prunus.masks.masks import Masks
    from prunus.packing.model import load, save
    from prunus.training.pruner import Pruner

_ATTRIBUTES = {
    "History": "prunus.history.store",
    "Masks": "prunus.masks.masks",
    "Pruner": "prunus.training.pruner",
    "PrunusError": "prunus.errors",
    "Recipe": "prunus.experiments.recipe",
    "Subject": "prunus.criteria.subject",
    "load": "prunus.packing.model",
    "measure": "prunus.evaluation.measure",
    "prune": "prunus.allocation.pruning",
    "run": "prunus.experiments.runner",
    "save": "prunus.packing.model",
}
_MODULES = ("criteria", "errors", "schedules", "tasks", "tickets", "training", "trees")

__all__ = [
    "History",
    "Masks",
    "Pruner",
    "PrunusError",
    "Recipe",
    "Subject",
    "criteria",
    "errors",
    "load",
    "measure",
    "prune",
    "run",
    "save",
    "schedules",
    "tasks",
    "tickets",
    "training",
    "trees",
]

_attribute = lazy_attributes(__name__, _ATTRIBUTES)


def __getattr__(name: str) -> Any:
    return _module(name) if name in _MODULES else _attribute(name)


def __dir__() -> list[str]:
    return __all__


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")
