from __future__ import annotations

import pytest
import torch

from prunus.training.before_update import before_update


def looked_at(optimizer, weight):
    seen = []

    def look(stepping, first):
        assert stepping is optimizer
        seen.append((weight.item(), weight.grad.item(), first))

    return seen, before_update(optimizer, look)


def closure_of(optimizer, weight):
    def closure():
        optimizer.zero_grad()
        loss = 3 * weight * weight
        loss.backward()
        return loss.detach()

    return closure


@pytest.mark.parametrize("how", ["none", "positional", "keyword"])
def test_gradients_are_seen_before_the_weights_change_however_step_is_called(how):
    weight = torch.nn.Parameter(torch.tensor(2.0))
    optimizer = torch.optim.SGD([weight], 0.1)
    seen, handle = looked_at(optimizer, weight)
    closure = closure_of(optimizer, weight)
    returned = None
    if how == "none":
        closure()
        optimizer.step()
    else:
        returned = optimizer.step(closure) if how == "positional" else optimizer.step(closure=closure)
    assert seen == [(2.0, 12.0, True)]
    assert weight.item() == pytest.approx(0.8)
    assert how == "none" or float(returned) == 12.0
    handle.remove()
    closure()
    optimizer.step()
    assert len(seen) == 1


def test_of_a_line_search_the_first_evaluation_is_told_apart():
    weight = torch.nn.Parameter(torch.tensor(2.0))
    optimizer = torch.optim.LBFGS([weight], 0.1, max_iter=3)
    seen, _ = looked_at(optimizer, weight)
    optimizer.step(closure_of(optimizer, weight))
    assert [first for _, _, first in seen] == [True, False, False]
    assert seen[0][:2] == (2.0, 12.0)
