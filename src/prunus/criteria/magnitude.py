"""Magnitude."""

from __future__ import annotations

from prunus.criteria.subject import Scores, Subject


def magnitude(subject: Subject) -> Scores:
    """The absolute value of each weight.

    Returns:
        parameter name → tensor of the parameter's shape and dtype; higher stays.

    Source: Han et al. 2015, section 3 (arXiv:1506.02626): connections with weights below a threshold are removed.
    """
    return {name: weight.abs() for name, weight in subject.weights().items()}
