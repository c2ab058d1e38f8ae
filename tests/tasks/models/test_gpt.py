from __future__ import annotations

import pytest
import torch

from prunus.errors import ArgumentError
from prunus.tasks.load import build_model
from prunus.tasks.models.gpt import GPT


@pytest.fixture
def model():
    torch.manual_seed(0)
    return GPT(vocabulary=11, context=8, width=12, depth=2, heads=3)


def test_a_token_does_not_see_those_after_it(model):
    tokens = torch.randint(0, 11, (1, 8))
    changed = tokens.clone()
    changed[0, 5] = (changed[0, 5] + 1) % 11
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.equal(before[:, 5:], after[:, 5:])


def test_the_last_token_sees_the_first(model):
    tokens = torch.randint(0, 11, (1, 8))
    changed = tokens.clone()
    changed[0, 0] = (changed[0, 0] + 1) % 11
    assert not torch.equal(model(tokens)[:, -1], model(changed)[:, -1])


def test_shorter_sequences_are_allowed_and_longer_ones_refused(model):
    assert model(torch.zeros(3, 2, dtype=torch.int64)).shape == (3, 2, 11)
    with pytest.raises(ArgumentError, match="at most 8 tokens, got 9"):
        model(torch.zeros(1, 9, dtype=torch.int64))


def test_a_fresh_model_is_as_unsure_as_one_that_knows_nothing():
    torch.manual_seed(0)
    model = build_model("gpt", (64,), 65)
    logits = model(torch.randint(0, 65, (4, 64)))
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.randint(0, 65, (256,)))
    assert loss.item() == pytest.approx(torch.tensor(65.0).log().item(), abs=0.1)


def test_what_writes_into_the_residual_stream_begins_smaller():
    torch.manual_seed(0)
    block = build_model("gpt", (64,), 65).blocks[0]
    assert block.expand.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.contract.weight.std().item() == pytest.approx(0.02 / 8**0.5, rel=0.05)
    assert block.attention.output.weight.std().item() == pytest.approx(0.02 / 8**0.5, rel=0.05)


@pytest.mark.parametrize("sizes", [(11, 8, 12, 2, 5), (0, 8, 12, 2, 3), (11, 8, 12, 0, 3), (11, 0, 12, 2, 3)])
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(ArgumentError, match="width a multiple of heads"):
        GPT(*sizes)


def test_a_shape_that_is_no_context_is_refused():
    with pytest.raises(ArgumentError, match=r"shape \(context,\), got the shape \(3, 32, 32\)"):
        build_model("gpt", (3, 32, 32), 10)
