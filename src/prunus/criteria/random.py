"""Random."""

from __future__ import annotations

import torch

from prunus.criteria.subject import Scores, Subject


def random(subject: Subject) -> Scores:
    """Independent uniform numbers from the subject's generator: the control.

    Returns:
        parameter name → float32 tensor of the parameter's shape in [0, 1).
    """
    return {
        name: torch.rand(weight.shape, generator=subject.generator).to(weight.device)
        for name, weight in subject.weights().items()
    }
