"""Ready-made data sets and models, and the way to bring one's own."""

from __future__ import annotations

from prunus.lookup import lazy_attributes
from prunus.tasks.tables import AUGMENTATIONS, DATASETS, MODELS

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "MODELS",
    "Data",
    "Examples",
    "Task",
    "build_model",
    "load_data",
    "load_task",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "Data": "prunus.tasks.task",
        "Examples": "prunus.tasks.task",
        "Task": "prunus.tasks.task",
        "build_model": "prunus.tasks.load",
        "load_data": "prunus.tasks.load",
        "load_task": "prunus.tasks.load",
    },
)
