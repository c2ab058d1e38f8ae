from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from prunus.criteria.replicas import in_this_process_alone


@pytest.fixture
def wrapped(tmp_path):
    meeting = f"file://{tmp_path / 'meeting'}"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=0, world_size=1)
    yield nn.Sequential(DistributedDataParallel(nn.Linear(3, 2)))
    torch.distributed.destroy_process_group()


def test_inside_the_wrapper_takes_no_part_and_afterwards_it_is_as_before(wrapped):
    called = []
    wrapper, inputs = wrapped[0], torch.randn(4, 3)
    wrapper._run_ddp_forward = lambda *inputs: called.append(inputs) or wrapper.module(*inputs)
    expected = wrapper.module(inputs)
    with in_this_process_alone(wrapped):
        with in_this_process_alone(wrapped):
            assert torch.equal(wrapped(inputs), expected)
        assert torch.equal(wrapped(inputs), expected)
        assert not called
    assert torch.equal(wrapped(inputs), expected)
    assert len(called) == 1
    assert "forward" not in vars(wrapper)


def test_an_error_inside_leaves_the_wrapper_as_before(wrapped):
    with pytest.raises(KeyError), in_this_process_alone(wrapped):
        raise KeyError
    assert "forward" not in vars(wrapped[0])
