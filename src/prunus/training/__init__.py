"""Training: the loop, and what prunes, penalises or teaches while any loop runs."""

from __future__ import annotations

from prunus.lookup import lazy_attributes

__all__ = [
    "L1",
    "BatchNormSlimming",
    "Distillation",
    "EdgePopup",
    "ExpectedL0",
    "GroupLasso",
    "MovementPruner",
    "Pruner",
    "Rewirer",
    "ScoreThreshold",
    "TopScores",
    "Updates",
    "recalibrate_batch_norm",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "BatchNormSlimming": "prunus.training.penalties",
        "Distillation": "prunus.training.distillation",
        "EdgePopup": "prunus.training.edge_popup",
        "ExpectedL0": "prunus.training.gates",
        "GroupLasso": "prunus.training.penalties",
        "L1": "prunus.training.penalties",
        "MovementPruner": "prunus.training.movement",
        "Pruner": "prunus.training.pruner",
        "Rewirer": "prunus.training.rewiring",
        "ScoreThreshold": "prunus.training.movement",
        "TopScores": "prunus.training.movement",
        "Updates": "prunus.training.updates",
        "recalibrate_batch_norm": "prunus.training.batch_norm",
    },
)
