"""What a model costs, in one call."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from prunus.evaluation.connectivity import effective_counts
from prunus.evaluation.flops import count_flops
from prunus.evaluation.parameters import count_nonzero_parameters, count_parameters
from prunus.evaluation.running import ExampleInputs, measurable
from prunus.outcomes import Cost
from prunus.packing.size import dense_size, packed_size


def measure(model: nn.Module, example_inputs: ExampleInputs, masks: Mapping[str, Tensor] | None = None) -> Cost:
    """Measure a model as it is, and leave it so.

    Args:
        model: any module; a compiled one is measured as the module that was compiled.
        example_inputs: a tensor or a tuple of tensors, the model's positional arguments; the first dimension of the
            first is the batch.
        masks: name → bool tensor, True = kept, to be packed with the weights; what they cover is in scope.

    Raises:
        ArgumentError: the inputs or outputs are not tensors, or the parameters have no values.
        MaskError: the masks do not fit the model.
    """
    model = measurable(model)
    flops = count_flops(model, example_inputs)
    effective = effective_counts(model, example_inputs)
    tensors = model.state_dict()
    return Cost(
        parameters=count_parameters(model),
        nonzero_parameters=count_nonzero_parameters(model),
        effective_parameters=None if effective is None else sum(effective.values()),
        flops=flops.dense,
        effective_flops=flops.effective,
        size_bytes=packed_size(tensors, masks),
        dense_size_bytes=dense_size(tensors),
        effective_kept=sum(effective[name] for name in effective if name in masks) if effective and masks else None,
    )
