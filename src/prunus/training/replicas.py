"""Processes that train replicas of one model: what is removed in one is removed in all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from prunus.allocation.allocate import Allocation
from prunus.errors import ArgumentError, TrainingError
from prunus.masks.bits import pack_bits, unpack_bits
from prunus.masks.masks import Masks

Group = Any  # a ProcessGroup, which not every build of torch has


def replica_group(model: nn.Module, replicas: bool) -> Group | None:
    """The processes that train replicas of the model; None where there is no other.

    They are those of its DistributedDataParallel wrapper, or else, where the plain model was given, all of
    ``torch.distributed``.

    Args:
        model: wrapped or plain.
        replicas: False where the other processes train models of their own.
    """
    if not (replicas and dist.is_available() and dist.is_initialized()):
        return None
    # torch.compile puts a module of its own around the wrapper.
    wrappers = (module for module in model.modules() if isinstance(module, DistributedDataParallel))
    group = next((wrapper.process_group for wrapper in wrappers), dist.group.WORLD)
    return group if dist.get_world_size(group) > 1 else None


def agreed(make: Callable[[], Allocation], parameters: Mapping[str, Tensor], group: Group | None) -> Allocation:
    """What the first process of the group chose, in all of them.

    Where all chose the same, as by magnitude, only digests are exchanged. An error in one process is raised in all.

    Args:
        make: chooses, in this process.
        parameters: name → parameter in scope.
        group: see ``replica_group``; None asks nobody.

    Raises:
        TrainingError: another process could not choose.
        ArgumentError: the processes do not train replicas of one model.
        Exception: what ``make`` raises.
    """
    if group is None:
        return make()
    found: Allocation | None = None
    failure: Exception | None = None
    try:
        found = make()
    except Exception as error:  # whatever it is, the others must hear of it: they would wait forever
        failure = error
    said = {
        "model": _digest_of_shapes(parameters),
        "error": failure and f"{type(failure).__name__}: {failure}",
        "masks": found and found.masks.digest(),
        "weights": found and [*(found.weights or {})],
        "protected": found and found.protected,
    }
    heard: list[dict[str, Any]] = [{}] * dist.get_world_size(group)
    dist.all_gather_object(heard, said, group=group)
    _require_agreement(heard, failure)
    assert found is not None  # or its error had been raised
    first = heard[0]
    if not first["weights"] and len({each["masks"] for each in heard}) == 1:
        return found
    masks, weights = _received(found, first["weights"], parameters, group)
    return replace(found, masks=masks, weights=weights or None, protected=first["protected"])


def _require_agreement(heard: list[dict[str, Any]], failure: Exception | None) -> None:
    if len({each["model"] for each in heard}) > 1:
        raise ArgumentError(
            "the processes prune parameters of different names or shapes, so they train no replicas of one model: "
            "pass replicas=False where each trains a model of its own"
        )
    if failure is not None:
        raise failure
    for rank, each in enumerate(heard):
        if each["error"] is not None:
            raise TrainingError(f"process {rank} could not choose what to prune: {each['error']}")


def _received(
    found: Allocation, weights: list[str], parameters: Mapping[str, Tensor], group: Group
) -> tuple[Masks, dict[str, Tensor]]:
    """The masks and weights of the first process."""
    source = dist.get_global_rank(group, 0)
    masks = {}
    for name, mask in found.masks.items():
        bits = torch.from_numpy(np.frombuffer(pack_bits(mask), np.uint8).copy()).to(parameters[name].device)
        dist.broadcast(bits, source, group=group)
        masks[name] = unpack_bits(bits.cpu().numpy().tobytes(), tuple(mask.shape)).to(mask.device)
    received = {}
    for name in weights:
        own = (found.weights or {}).get(name, parameters[name].detach())
        received[name] = own.to(parameters[name].dtype).contiguous().clone()
        dist.broadcast(received[name], source, group=group)
    return Masks.owning(masks), received


def _digest_of_shapes(parameters: Mapping[str, Tensor]) -> str:
    shapes = [(name, tuple(parameter.shape), str(parameter.dtype)) for name, parameter in parameters.items()]
    return hashlib.sha256(repr(shapes).encode()).hexdigest()
