"""Whether two trainings end in the same valley: linear mode connectivity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prunus.errors import ArgumentError

POINTS = 30


@dataclass(frozen=True)
class Path:
    """The straight line between the weights of two networks.

    Attributes:
        errors: fraction of the examples predicted wrong at evenly spaced points, those of both networks included.
    """

    errors: tuple[float, ...]

    @property
    def barrier(self) -> float:
        """How much the error rises on the way: its highest value less the mean of the ends; 0 is none.

        Source: Frankle et al. 2020, section 2 (arXiv:1912.05671), linear interpolation instability.
        """
        return max(self.errors) - (self.errors[0] + self.errors[-1]) / 2


@torch.no_grad()
def linear_path(
    model: nn.Module,
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    error: Callable[[nn.Module], float],
    points: int = POINTS,
) -> Path:
    """Measure the error along the line.

    Buffers that are no floating-point numbers are the first network's.

    Args:
        model: of the architecture; its weights are as before afterwards.
        first, second: state dicts of the two networks.
        error: model → fraction of wrong predictions.
        points: on the line, at least 2.

    Raises:
        ArgumentError: there are fewer points, or the networks are of other architectures.
    """
    if points < 2:
        raise ArgumentError(f"points must be at least 2, got {points}")
    if {name: each.shape for name, each in first.items()} != {name: each.shape for name, each in second.items()}:
        raise ArgumentError("a line joins networks of one architecture: names or shapes differ")
    before = {name: each.clone() for name, each in model.state_dict().items()}
    errors = []
    try:
        for point in range(points):
            share = point / (points - 1)
            model.load_state_dict(
                {
                    name: torch.lerp(each, second[name], share) if each.is_floating_point() else each
                    for name, each in first.items()
                }
            )
            errors.append(error(model))
    finally:
        model.load_state_dict(before)
    return Path(tuple(errors))


def same_signs(first: Mapping[str, Tensor], second: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> float:
    """Fraction of the kept weights with the same sign in both networks; nan where nothing is kept.

    Args:
        first, second: state dicts.
        masks: parameter name → bool, True = kept.
    """
    pairs = [(first[name][mask], second[name][mask]) for name, mask in masks.items()]
    return _fraction([one.sign() == other.sign() for one, other in pairs])


def relative_change(first: Mapping[str, Tensor], second: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> float:
    """How far the kept weights have gone: ‖w₂ − w₁‖ / ‖w₁‖ over all of them; nan where nothing is kept.

    Args:
        first, second: state dicts.
        masks: parameter name → bool, True = kept.
    """
    one, other = (
        torch.cat([network[name][mask].double() for name, mask in masks.items()] or [torch.empty(0)])
        for network in (first, second)
    )
    return float((other - one).norm() / one.norm()) if len(one) else float("nan")


def _fraction(flags: Sequence[Tensor]) -> float:
    total = sum(each.numel() for each in flags)
    return sum(int(each.sum()) for each in flags) / total if total else float("nan")
