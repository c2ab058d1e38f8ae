"""Taylor: the squared first-order change of the loss."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from prunus.criteria.elementwise import ElementwiseScores
from prunus.criteria.gradients import telling_gradients
from prunus.criteria.subject import Scores, Subject
from prunus.errors import ArgumentError
from prunus.masks.patterns import KeepOf, parse_pattern


@dataclass(frozen=True)
class Taylor:
    """First-order estimate of the squared change of the loss when weights are removed: (w · ∂L/∂w)².

    For groups of weights the paper has two estimates. The sum over the group of what each weight scores by itself,
    Σ (w · ∂L/∂w)², is the technique's aggregate ``"sum"``. The square of the change when all of the group goes at once,
    (Σ w · ∂L/∂w)², in which changes of opposite sign cancel, is that of the derivative with respect to a gate on the
    group; with ``group`` every weight scores what its group does, and the aggregate ``"mean"`` gives that back.

    Gradients are means over all examples of ``subject.batches``, and the square is taken of the mean.

    Attributes:
        group: the pattern whose groups go at once, such as ``"channel"`` or ``"head"``; ``"weight"`` for each weight
            by itself.

    Raises:
        ArgumentError: there is no such pattern, or its groups do not go at once (N:M).

    Source: Molchanov et al. 2019, the first-order expansion; for groups joint importance and gates (arXiv:1906.10771).
    """

    group: str = "weight"

    def __post_init__(self) -> None:
        if isinstance(parse_pattern(self.group), KeepOf):
            raise ArgumentError(f"the weights of a group of {self.group!r} go one by one: give group = 'weight'")

    def __call__(self, subject: Subject) -> Scores:
        """Name → float64 tensor of the parameter's shape; higher stays.

        Raises:
            ArgumentError: there are no batches, the parameters cannot have gradients, or one has no such groups.
            ScoreError: all gradients are zero.
        """
        weights, gradients = subject.weights(), telling_gradients(subject)
        pattern = parse_pattern(self.group)
        if self.group == "weight" or isinstance(pattern, KeepOf):
            return ElementwiseScores(_squared_change, (weights, gradients))
        scores: dict[str, Tensor] = {}
        for layout in pattern.layouts({name: weight.shape for name, weight in weights.items()}, subject.model):
            changes = layout.matrix(lambda name: weights[name] * gradients[name], 0.0)
            scores |= layout.spread(changes.double().sum(1).square())
        return {name: scores[name] for name in weights}


def _squared_change(weight: Tensor, gradient: Tensor) -> Tensor:
    return (weight * gradient).double().square()  # in single precision small changes would all become 0.0
