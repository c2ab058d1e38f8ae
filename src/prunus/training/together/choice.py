"""Which form a linear layer is to take."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn

from prunus.masks.masks import Masks
from prunus.training.together.fit import Fit
from prunus.training.together.forms import Form, Kept, Whole

HIGHEST_DENSITY = {torch.float32: 0.35, torch.float64: 0.18}  # above which a layer is computed sooner in full
FEWEST_WEIGHTS = 20_000  # below which a layer is computed soonest as it is
FEWEST_OF_WHOLE = 100_000  # the same of layers of which no fewer weights are computed
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def chosen_forms(fit: Fit) -> dict[nn.Linear, Form]:
    """Layer → form of those that gain by it.

    The choice depends on masks and shapes alone: with a clock, a run would give other weights under other load.
    """
    model, masks = fit.model, fit.masks or Masks({})
    if any(each.device.type != "cpu" for each in model.parameters()):
        return {}
    counted = Counter(id(each) for _, each in model.named_parameters(remove_duplicate=False))
    convolves = any(each.dim() > 2 for each in model.parameters())  # beside that, nothing would be gained
    found: dict[nn.Linear, Form] = {}
    for name, layer in model.named_modules():
        if type(layer) is not nn.Linear or is_changed(layer) or layer.weight.numel() < FEWEST_WEIGHTS:
            continue
        mask = masks.get(f"{name}.weight")
        if layer.weight.dtype not in HIGHEST_DENSITY or any(counted[id(each)] > 1 for each in layer.parameters()):
            continue
        if mask is not None and _is_sparse(layer.weight, mask):
            found[layer] = Kept(layer, mask)
        elif not convolves and layer.weight.dtype is torch.float32 and layer.weight.numel() >= FEWEST_OF_WHOLE:
            found[layer] = Whole(layer)
    return found


def is_changed(module: nn.Module) -> bool:
    """Whether a module does other things than its class says: it has hooks, or a ``forward`` of its own."""
    return "forward" in vars(module) or any(getattr(module, name) for name in _HOOKS)


def _is_sparse(weight: Tensor, mask: Tensor) -> bool:
    return weight.requires_grad and 0 < int(mask.count_nonzero()) <= HIGHEST_DENSITY[weight.dtype] * weight.numel()
