"""The diagonal of the Hessian by the back-propagation of 1990.

Alongside the gradient of an example's loss E with respect to each unit, its second derivative is passed back from layer
to layer. Through x = f(a), elementwise, ∂²E/∂a² = f'(a)² ∂²E/∂x² + f''(a) ∂E/∂x. Through a = Wx,
∂²E/∂x_j² = Σ_i W_ij² ∂²E/∂a_i², which takes the Hessian with respect to a for diagonal; the weight's own is
∂²E/∂W_ij² = x_j² ∂²E/∂a_i², summed up over the places at which a convolution uses it, which again leaves out pairs of
places.

What is exact therefore: the weights of the last linear layer, for every loss; those of the linear layer before it too
where the loss has no mixed second derivatives (the squared error has none, cross entropy has); those of a layer above
which every other has one unit. Everything else, and convolutions, is the paper's approximation.

Source: LeCun, Denker & Solla 1990, Optimal Brain Damage, section 2.1 (Advances in Neural Information Processing
Systems 2). Its equation 7 prints the term of f'' with a minus; the sign here is that of the chain rule and of its
equation 8.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from prunus.criteria.curvature import Tensors, differentiable, require_pairs
from prunus.criteria.subject import Subject
from prunus.errors import ScoreError
from prunus.masks.scope import unwrapped

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMALISING = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_ELEMENTWISE = (
    *(nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, *_NORMALISING),  # in evaluation mode
)
_PICKING = (nn.Flatten, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)
_ADAPTIVE = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
_AVERAGING = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, *_ADAPTIVE)
_LAYERS: tuple[type[nn.Module], ...] = (*WEIGHTED, *_ELEMENTWISE, *_PICKING, *_AVERAGING)
_PLAIN = {"padding": 0, "ceil_mode": False, "divisor_override": None}  # of average pooling


def obstacle(subject: Subject) -> str | None:
    """Why the back-propagation is not defined for the model or for a parameter in scope; None where it is."""
    layers = _chain(unwrapped(subject.model))
    for layer in layers:
        kind = type(layer).__name__
        if not any(isinstance(layer, each) and type(layer).forward is each.forward for each in _LAYERS):
            return f"it passes through a {kind}"
        if isinstance(layer, _NORMALISING) and layer.running_mean is None:
            return f"it passes through a {kind} without running statistics"
        if isinstance(layer, _AVERAGING) and any(_all(layer, name) != {plain} for name, plain in _PLAIN.items()):
            return f"it passes through an {kind} with padding, ceil_mode or divisor_override"
        if getattr(layer, "return_indices", False) or (isinstance(layer, nn.Flatten) and layer.start_dim != 1):
            return f"it passes through {layer}"
    known = {id(value) for layer in layers if isinstance(layer, WEIGHTED) for value in layer._parameters.values()}
    for name, parameter in subject.parameters.items():
        if id(parameter) not in known:
            return f"{name!r} is no weight or bias of a linear layer or convolution in it"
    return None


def diagonal_second_derivatives(subject: Subject, *, drop_second: bool = False) -> Tensors:
    """∂²E/∂w² of every weight in scope, averaged over all examples, in evaluation mode; exact as said above.

    Args:
        subject: its model is one linear layer or convolution, or a chain (``nn.Sequential``, also nested) of such, of
            elementwise activations, dropout, batch normalisation, maximum and average pooling, and flattening.
        drop_second: leave out f'' (the Levenberg–Marquardt approximation): nothing is then negative if the loss is
            convex in the outputs.

    Returns:
        parameter name → tensor of the parameter's shape, in float32 at least.

    Raises:
        ScoreError: the model is another.
        ArgumentError: there are no batches, or not as many targets as inputs.
    """
    reason = obstacle(subject)
    if reason is not None:
        raise ScoreError(
            "the second derivatives can be back-propagated through a chain (nn.Sequential) of linear layers, "
            f"convolutions, elementwise activations and pooling only, but {reason}: use method='hutchinson', or "
            "exclude what is no weight of these"
        )
    found = {
        name: torch.zeros_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32))
        for name, weight in subject.weights().items()
    }
    own = {id(parameter): found[name] for name, parameter in subject.parameters.items()}
    count = 0
    with differentiable(subject) as model:
        layers = _chain(model)
        for inputs, targets in subject.data():
            require_pairs(inputs, targets)
            count += len(targets)
            seen = [inputs]
            with torch.no_grad():
                for layer in layers:
                    seen.append(layer(seen[-1].clone()))  # which a layer may overwrite
            first, second = _of_loss(subject, seen.pop(), targets)
            for layer in reversed(layers):
                first, second = _back(layer, seen.pop(), first, second, own, drop_second)
    return {name: total.div_(count) for name, total in found.items()}


def _back(
    layer: nn.Module, given: Tensor, first: Tensor, second: Tensor, own: dict[int, Tensor], drop_second: bool
) -> tuple[Tensor, Tensor]:
    """First and second derivatives with respect to what the layer was given, from those of what it returned."""
    if isinstance(layer, WEIGHTED):
        return _through_weights(layer, given, first, second, own)
    if isinstance(layer, _ELEMENTWISE):
        return _through_elements(layer, given, first, second, drop_second)
    back = _transposed(layer, given)
    return back(first), back(second / _window_sizes(layer, given, first) if isinstance(layer, _AVERAGING) else second)


def _window_sizes(layer: nn.Module, given: Tensor, returned: Tensor) -> Tensor:
    """How many values each value that an average pooling returns is the mean of; it broadcasts over them."""
    found = torch.ones((), device=given.device, dtype=given.dtype)
    for dimension in range(2, given.dim()):
        before, after = given.shape[dimension], returned.shape[dimension]
        if isinstance(layer, _ADAPTIVE):
            sizes = [-(-(place + 1) * before // after) - place * before // after for place in range(after)]
        else:
            size = layer.kernel_size
            sizes = [size[dimension - 2] if isinstance(size, tuple) else size] * after  # type: ignore[list-item]
        shape = [after if other == dimension else 1 for other in range(given.dim())]
        found = found * torch.tensor(sizes, device=given.device, dtype=given.dtype).reshape(shape)
    return found


def _through_weights(
    layer: nn.Module, given: Tensor, first: Tensor, second: Tensor, own: dict[int, Tensor]
) -> tuple[Tensor, Tensor]:
    weight, bias = layer._parameters["weight"], layer._parameters["bias"]
    assert weight is not None
    squares = given.square().requires_grad_(), weight.detach().square().requires_grad_()
    back, of_weight = torch.autograd.grad(_map(layer, *squares), squares, second)
    if id(weight) in own:
        own[id(weight)].add_(of_weight)
    if bias is not None and id(bias) in own:
        channel = second.dim() - 1 if isinstance(layer, nn.Linear) else 1
        own[id(bias)].add_(second.movedim(channel, 0).flatten(1).sum(1))
    return _transposed(lambda value: _map(layer, value, weight.detach()), given)(first), back


def _map(layer: nn.Module, inputs: Tensor, weight: Tensor) -> Tensor:
    """What the layer makes of inputs by a weight, without its bias."""
    if isinstance(layer, nn.modules.conv._ConvNd):
        return layer._conv_forward(inputs, weight, None)
    return linear(inputs, weight)


def _through_elements(
    layer: nn.Module, given: Tensor, first: Tensor, second: Tensor, drop_second: bool
) -> tuple[Tensor, Tensor]:
    leaf = given.detach().requires_grad_()
    (slope,) = torch.autograd.grad(layer(leaf.clone()).sum(), leaf, create_graph=True)
    back = slope.detach().square() * second
    if slope.requires_grad and not drop_second:
        (bend,) = torch.autograd.grad(slope.sum(), leaf, allow_unused=True)
        if bend is not None:
            back = back + bend * first
    return slope.detach() * first, back


def _transposed(function: Callable[[Tensor], Tensor], given: Tensor) -> Callable[[Tensor], Tensor]:
    """The derivative of a function where it was given that, transposed."""
    leaf = given.detach().requires_grad_()
    result = function(leaf)
    return lambda vector: torch.autograd.grad(result, leaf, vector, retain_graph=True)[0]


def _of_loss(subject: Subject, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """First and second derivatives of each example's loss with respect to each of its outputs."""
    leaf = outputs.detach().requires_grad_()
    (first,) = torch.autograd.grad(subject.loss(leaf, targets) * len(targets), leaf, create_graph=True)
    second = torch.zeros_like(leaf).flatten(1)
    for place, column in enumerate(first.flatten(1).unbind(1) if first.requires_grad else ()):
        (row,) = torch.autograd.grad(column.sum(), leaf, retain_graph=True)
        second[:, place] = row.flatten(1)[:, place]
    return first.detach(), second.detach().reshape(leaf.shape)


def _chain(model: nn.Module) -> list[nn.Module]:
    """The layers that follow one another, of a model that is a chain; otherwise the model itself is among them."""
    if isinstance(model, nn.Sequential) and type(model).forward is nn.Sequential.forward:
        return [layer for part in model for layer in _chain(part)]
    return [model]


def _all(layer: nn.Module, name: str) -> set[object]:
    """The setting, or those of each dimension; what is not there is as usual."""
    value = getattr(layer, name, _PLAIN[name])
    return set(value) if isinstance(value, tuple) else {value}
