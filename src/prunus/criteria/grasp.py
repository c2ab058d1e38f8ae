"""GraSP."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from prunus.criteria.curvature import Product, Tensors, mean_over_batches
from prunus.criteria.elementwise import ElementwiseScores
from prunus.criteria.gradients import require_telling
from prunus.criteria.subject import Scores, Subject
from prunus.errors import ArgumentError


@dataclass(frozen=True)
class GraSP:
    """How much the flow of gradients, ½‖g‖², falls when a weight is removed, to first order: w · (Hg).

    The weights whose removal raises it most go, which are those with the highest −w · (Hg): the sign is turned so that
    the higher score stays. g and H are the gradient and the Hessian of the loss, at outputs divided by the temperature,
    in the mode in which the model is given (batch normalisation before training has statistics in training mode only).

    Attributes:
        temperature: what the outputs are divided by before the loss, as in the authors' code; 1 for a loss that is
            none of logits.

    Raises:
        ArgumentError: the temperature is out of bounds.

    Source: Wang et al. 2020, the importance −θ ⊙ Hg (arXiv:2002.07376), and github.com/alecwangcq/GraSP.
    """

    temperature: float = 200.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ArgumentError(f"temperature must be above 0 and finite, got {self.temperature}: 200 is usual")

    def __call__(self, subject: Subject) -> Scores:
        """The scores.

        Returns:
            parameter name → tensor of the parameter's shape, in float32 at least; higher stays.

        Raises:
            ArgumentError: there are no batches.
            ScoreError: all products with the Hessian are zero.
        """
        loss = subject.loss
        cooled = replace(subject, loss=lambda outputs, targets: loss(outputs / self.temperature, targets))
        gradients = cooled.mean_gradients()

        def along_gradients(product: Product) -> Tensors:
            return product(gradients)

        products = mean_over_batches(cooled, along_gradients, evaluation=False)
        require_telling(products, "the product of the Hessian and the gradient")
        return ElementwiseScores(lambda weight, product: weight * product, (subject.weights(), products))
