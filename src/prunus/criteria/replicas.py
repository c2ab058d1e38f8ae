"""Running a model that several processes train together, in one of them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel


@contextmanager
def in_this_process_alone(model: nn.Module) -> Iterator[None]:
    """Inside, DistributedDataParallel is the module in it, wherever in the model it stands.

    Its own forward pass is a meeting of all processes, which broadcast buffers and expect a backward pass: a process
    with fewer batches, or one that fails, would leave the others waiting, and what is expected and never comes is
    missing from the gradients of the training.

    Args:
        model: any module.
    """
    wrappers = [module for module in model.modules() if isinstance(module, DistributedDataParallel)]
    before = [vars(wrapper).get("forward") for wrapper in wrappers]  # one such block may lie in another
    for wrapper in wrappers:
        vars(wrapper)["forward"] = functools.partial(_forward, wrapper)
    try:
        yield
    finally:
        for wrapper, own in zip(wrappers, before, strict=True):
            if own is None:
                vars(wrapper).pop("forward", None)
            else:
                vars(wrapper)["forward"] = own


def _forward(wrapper: DistributedDataParallel, *arguments: Any, **keywords: Any) -> Any:
    if wrapper.device_ids:
        (arguments,), (keywords,) = wrapper.to_kwargs(arguments, keywords, wrapper.device_ids[0])
    return wrapper.module(*arguments, **keywords)
