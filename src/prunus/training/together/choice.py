"""Which form a linear layer is to take."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn

from prunus.masks.masks import Masks
from prunus.training.together.chain import is_changed, links
from prunus.training.together.direct import DirectOptimizer
from prunus.training.together.fit import Fit
from prunus.training.together.forms import Form, Kept, Whole

# Above which a layer is computed sooner in full: in single precision, and in double or beside convolutions.
HIGHEST_DENSITY, HIGHEST_OF_OTHERS = 0.35, 0.18
FEWEST_WEIGHTS = 20_000  # below which a layer is computed soonest as it is
FEWEST_OF_WHOLE = 100_000  # the same of layers all of whose weights are computed
_KINDS = (torch.float32, torch.float64)


def chosen_forms(fit: Fit) -> dict[nn.Linear, Form]:
    """Layer → form: of all layers of a chain, and of those of other models that gain by it.

    The choice depends on masks and shapes alone: with a clock, a run would give other weights under other load.
    """
    model, masks = fit.model, fit.masks or Masks({})
    if any(each.device.type != "cpu" for each in model.parameters()):
        return {}
    chain = is_chain(fit)
    convolves = any(each.dim() > 2 for each in model.parameters())  # beside that, whole layers take no time
    counted = Counter(id(each) for _, each in model.named_parameters(remove_duplicate=False))
    found: dict[nn.Linear, Form] = {}
    for name, layer in model.named_modules():
        if type(layer) is not nn.Linear or is_changed(layer) or layer.weight.dtype not in _KINDS:
            continue
        if any(counted[id(each)] > 1 for each in layer.parameters()):
            continue
        mask, single = masks.get(f"{name}.weight"), layer.weight.dtype is torch.float32
        if mask is not None and _is_sparse(layer.weight, mask, single and not convolves):
            found[layer] = Kept(layer, mask)
        elif chain:
            found[layer] = Whole(layer, mask)
        elif single and not convolves and layer.weight.numel() >= FEWEST_OF_WHOLE:
            found[layer] = Whole(layer)
    return found if any(layer.weight.numel() >= FEWEST_WEIGHTS for layer in found) else {}


def is_chain(fit: Fit) -> bool:
    """Whether a model is differentiated as a chain, whose layers hold their own masks.

    An optimizer that treats each weight by itself leaves one that is zero so, if all its derivatives are. RMSprop does
    too, but takes roots of zero, which are slow; where masks are held otherwise it is spared them.
    """
    found = links(fit.model)
    if found is None or fit.trainer.plan.optimizer not in DirectOptimizer.NAMES:
        return False
    masked = (fit.masks or Masks({})).parameters_of(fit.model).values()
    return {id(each) for each in masked} <= {id(layer.weight) for layer in found}


def _is_sparse(weight: Tensor, mask: Tensor, single: bool) -> bool:
    """Whether computing with the kept weights alone takes less time."""
    if not weight.requires_grad or weight.numel() < FEWEST_WEIGHTS:
        return False
    return 0 < int(mask.count_nonzero()) <= (HIGHEST_DENSITY if single else HIGHEST_OF_OTHERS) * weight.numel()
