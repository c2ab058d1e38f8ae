"""Where the products of an experiment go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prunus.history.store import History


def experiment_folder(history: History, experiment: str) -> Path:
    """The experiment's own folder in the history."""
    return history.folder / "experiments" / experiment
