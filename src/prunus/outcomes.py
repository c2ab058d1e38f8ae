"""How a model fared and what it costs, as plain values: what evaluation finds and the history records."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ClassOutcome:
    """How one class, or one group, fared.

    Attributes:
        name: of the class or group.
        count: examples of it in the split.
        correct: how many of them were predicted right.
    """

    name: str
    count: int
    correct: int

    @property
    def accuracy(self) -> float:
        """Fraction predicted right, in [0, 1]."""
        return self.correct / self.count


@dataclass(frozen=True)
class SplitOutcome:
    """How a model fared on one split of the data.

    Attributes:
        loss: mean per example (per token, for token outputs); not finite where the model's outputs are not.
        accuracy: fraction predicted right, in [0, 1].
        classes: outcome per class, in class order; empty where no class is named.
        groups: outcome per group, in group order; empty where no group is named.
    """

    loss: float
    accuracy: float
    classes: tuple[ClassOutcome, ...]
    groups: tuple[ClassOutcome, ...] = ()

    @property
    def worst_class_accuracy(self) -> float:
        """Accuracy of the class that fared worst; nan where no class is named."""
        return min((outcome.accuracy for outcome in self.classes), default=math.nan)

    @property
    def examples(self) -> int:
        """Predictions that the accuracy is a fraction of; 0 where no class is named, for then it is not known."""
        return sum(outcome.count for outcome in self.classes)


@dataclass(frozen=True)
class CurvePoint:
    """How a model fared at one moment of its training.

    Attributes:
        step: steps of the plan that were done; those before a rewinding step count.
        validation_loss, validation_accuracy: on the split for choosing.
        test_loss, test_accuracy: on the split for reporting.
    """

    step: int
    validation_loss: float
    validation_accuracy: float
    test_loss: float
    test_accuracy: float


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Attributes:
        parameters: number of parameters, tied ones once.
        nonzero_parameters: of these, not zero.
        effective_parameters: of these, on some path from the input to the output; None where that cannot be
            followed.
        flops: floating-point operations of one example through the dense network (a multiply-add counts 2).
        effective_flops: of these, without the products with a zero weight.
        size_bytes: of the packed file.
        dense_size_bytes: of the plain safetensors file.
        effective_kept: of the weights in scope, on some path from the input to the output; None where there are no
            masks, or where paths cannot be followed.
    """

    parameters: int
    nonzero_parameters: int
    effective_parameters: int | None
    flops: int
    effective_flops: int
    size_bytes: int
    dense_size_bytes: int
    effective_kept: int | None = None
