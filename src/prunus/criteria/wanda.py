"""Wanda."""

from __future__ import annotations

from prunus.criteria.activations import input_norms
from prunus.criteria.subject import Scores, Subject


def wanda(subject: Subject) -> Scores:
    """A weight's absolute value times the norm of what it is multiplied with: |W_ij| · ‖X_j‖₂.

    The norm is over all examples and positions, in evaluation mode; of a convolution, over the values that the kernel's
    place meets. The paper compares the weights of one output with one another: that is the scope ``"row"``.

    Returns:
        parameter name → tensor of the parameter's shape, in float32 at least; higher stays.

    Raises:
        ScoreError: a weight is of no linear layer or convolution, or what its layer sees is not finite.
        ArgumentError: there are no batches.

    Source: Sun et al. 2024, pruning by weights and activations (arXiv:2306.11695).
    """
    found, weights = {}, subject.weights()
    for name, norms in input_norms(subject).items():
        weight = weights[name]
        groups, inputs = norms.shape
        rows = weight.to(norms.dtype).reshape(groups, -1, inputs).abs()
        found[name] = rows.mul_(norms.unsqueeze(1)).reshape(weight.shape)
    return found
