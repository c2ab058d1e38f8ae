from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from prunus.errors import ArgumentError, DataError
from prunus.evaluation.accuracy import evaluate
from prunus.outcomes import ClassOutcome

NAMES = ("cat", "dog", "emu")


def batches_of(outputs, targets, size):
    return list(zip(outputs.split(size), targets.split(size), strict=True))


labels = st.lists(st.integers(0, 2), max_size=30).map(lambda extra: [0, 1, 2, *extra])


@settings(max_examples=40)
@given(labels, st.integers(1, 33), st.integers(0, 2**31))
def test_loss_and_counts_do_not_depend_on_how_the_data_are_batched(targets, size, seed):
    outputs = torch.randn(len(targets), 3, generator=torch.Generator().manual_seed(seed))
    answers = torch.tensor(targets)
    result = evaluate(nn.Identity(), batches_of(outputs, answers, size), loss=F.cross_entropy, class_names=NAMES)
    right = [int(row.argmax()) == target for row, target in zip(outputs, targets, strict=True)]
    assert result.loss == pytest.approx(F.cross_entropy(outputs.double(), answers).item(), rel=1e-5)
    assert result.accuracy == sum(right) / len(right)
    for index, name in enumerate(NAMES):
        mine = [hit for hit, target in zip(right, targets, strict=True) if target == index]
        assert result.classes[index] == ClassOutcome(name, len(mine), sum(mine))


def test_a_loss_per_example_equals_its_mean():
    data = batches_of(torch.randn(7, 3), torch.tensor([0, 1, 2, 0, 1, 2, 0]), 4)
    mean = evaluate(nn.Identity(), data, loss=F.cross_entropy, class_names=NAMES)
    each = evaluate(nn.Identity(), data, loss=lambda x, y: F.cross_entropy(x, y, reduction="none"), class_names=NAMES)
    assert mean.loss == pytest.approx(each.loss)


def test_the_loss_accumulates_in_double_precision():
    data = [(torch.zeros(1, 1), torch.zeros(1, dtype=torch.long))] * 3
    losses = iter([1e9, 1.0, 1.0])
    result = evaluate(nn.Identity(), data, loss=lambda *_: torch.tensor(next(losses)), class_names=("one",))
    assert result.loss == (1e9 + 2) / 3
    batch = [(torch.zeros(3, 1), torch.zeros(3, dtype=torch.long))]
    each = torch.tensor([1e9, 1.0, 1.0])
    assert evaluate(nn.Identity(), batch, loss=lambda *_: each, class_names=("one",)).loss == result.loss


def test_groups_are_counted_in_the_order_of_the_batches():
    outputs = torch.eye(3)[[0, 1, 2, 2]]
    data = batches_of(outputs, torch.tensor([0, 1, 2, 0]), 3)
    result = evaluate(
        nn.Identity(),
        data,
        loss=F.cross_entropy,
        class_names=NAMES,
        groups=torch.tensor([0, 1, 0, 1]),
        group_names=("young", "old"),
    )
    assert result.groups == (ClassOutcome("young", 2, 2), ClassOutcome("old", 2, 1))
    assert result.groups[1].accuracy == 0.5


def test_tokens_are_flattened_ignored_ones_left_out_and_groups_follow_their_examples():
    outputs = torch.eye(3)[torch.tensor([[0, 1, 2], [2, 2, 2]])]
    targets = torch.tensor([[0, 1, -100], [2, 0, 2]])
    result = evaluate(
        nn.Identity(),
        [(outputs, targets)],
        loss=F.cross_entropy,
        class_names=(),
        groups=torch.tensor([1, 0]),
        group_names=("a", "b"),
    )
    assert result.loss == pytest.approx(F.cross_entropy(outputs.flatten(0, 1), targets.flatten()).item())
    assert (result.accuracy, result.classes) == (4 / 5, ())
    assert result.groups == (ClassOutcome("a", 3, 2), ClassOutcome("b", 2, 2))
    named = evaluate(nn.Identity(), [(outputs, targets)], loss=F.cross_entropy, class_names=NAMES)
    assert named.classes == (ClassOutcome("cat", 2, 1), ClassOutcome("dog", 1, 1), ClassOutcome("emu", 2, 2))


def test_a_loss_that_is_not_finite_is_reported_and_a_row_with_nan_is_wrong():
    outputs = torch.tensor([[math.nan, 0.0], [0.0, math.nan], [0.0, 1.0]])
    result = evaluate(nn.Identity(), [(outputs, torch.tensor([0, 1, 1]))], loss=F.cross_entropy, class_names=("a", "b"))
    assert math.isnan(result.loss)
    assert result.classes == (ClassOutcome("a", 1, 0), ClassOutcome("b", 2, 1))


def test_a_class_without_examples_is_named():
    with pytest.raises(DataError, match="'emu' has no example"):
        evaluate(nn.Identity(), [(torch.eye(3), torch.tensor([0, 1, 1]))], loss=F.cross_entropy, class_names=NAMES)


def test_a_group_without_examples_is_named():
    with pytest.raises(DataError, match="the group 'b' has no example"):
        evaluate(
            nn.Identity(),
            [(torch.eye(3), torch.arange(3))],
            loss=F.cross_entropy,
            class_names=NAMES,
            groups=torch.zeros(3, dtype=torch.long),
            group_names=("a", "b"),
        )


@pytest.mark.parametrize(
    "batches", [[], [(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))], [(torch.eye(3), torch.full((3,), -100))]]
)
def test_no_examples_are_refused(batches):
    with pytest.raises(DataError, match="hold no example"):
        evaluate(nn.Identity(), batches, loss=F.cross_entropy, class_names=NAMES)


def test_an_empty_batch_among_others_changes_nothing():
    data = (torch.eye(3), torch.arange(3))
    empty = (torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
    mixed = evaluate(nn.Identity(), [empty, data, empty], loss=F.cross_entropy, class_names=NAMES)
    assert mixed == evaluate(nn.Identity(), [data], loss=F.cross_entropy, class_names=NAMES)


@pytest.mark.parametrize("targets", [[0, 1, 3], [-1, 1, 2]])
def test_a_target_that_no_output_stands_for_is_refused(targets):
    with pytest.raises(DataError, match=r"must lie in \[0, 3\)"):
        evaluate(nn.Identity(), [(torch.eye(3), torch.tensor(targets))], loss=F.cross_entropy, class_names=NAMES)


def test_a_target_without_a_name_is_refused():
    with pytest.raises(DataError, match="there are 2 names: cat, dog"):
        evaluate(nn.Identity(), [(torch.eye(3), torch.arange(3))], loss=F.cross_entropy, class_names=NAMES[:2])


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [(torch.eye(3), torch.eye(3)), (torch.eye(3), torch.arange(2)), (torch.ones(3), torch.arange(3))],
)
def test_shapes_that_do_not_fit_are_refused(outputs, targets):
    with pytest.raises(ArgumentError, match=r"outputs must be \(N, classes\)"):
        evaluate(nn.Identity(), [(outputs, targets)], loss=F.cross_entropy, class_names=NAMES)


def test_a_loss_of_another_shape_is_refused():
    with pytest.raises(ArgumentError, match="one value per example"):
        evaluate(nn.Identity(), [(torch.eye(3), torch.arange(3))], loss=lambda x, y: torch.ones(2), class_names=NAMES)


@pytest.mark.parametrize(
    ("groups", "names"), [(torch.arange(2), ("a", "b")), (None, ("a",)), (torch.arange(3), ()), (torch.ones(3), ("a",))]
)
def test_groups_that_do_not_fit_are_refused(groups, names):
    with pytest.raises(ArgumentError, match="one int for each of the 3 examples"):
        evaluate(
            nn.Identity(),
            [(torch.eye(3), torch.arange(3))],
            loss=F.cross_entropy,
            class_names=NAMES,
            groups=groups,
            group_names=names,
        )


def test_a_dict_is_no_output(dict_model):
    with pytest.raises(ArgumentError, match="got a dict"):
        evaluate(dict_model, [(torch.ones(2, 4), torch.arange(2))], loss=F.cross_entropy, class_names=("a", "b"))


def test_the_model_is_evaluated_without_gradients_in_evaluation_mode_and_left_as_it_was(restless, unchanged):
    seen = []
    restless.linear.register_forward_hook(
        lambda module, args, output: seen.append((module.training, output.requires_grad))
    )
    batches = [(torch.randn(3, 4), torch.arange(3))] * 2
    before = unchanged(restless)

    def run():
        return evaluate(restless, batches, loss=F.cross_entropy, class_names=NAMES)

    if restless.fails:
        with pytest.raises(ZeroDivisionError):
            run()
    else:
        run()
        assert seen == [(False, False)] * 2
    assert unchanged(restless) == before


def test_batches_that_draw_random_numbers_leave_the_random_state_alone():
    def draw():
        yield torch.randn(3, 3), torch.arange(3)

    before = torch.get_rng_state()
    evaluate(nn.Identity(), draw(), loss=F.cross_entropy, class_names=NAMES)
    assert torch.equal(torch.get_rng_state(), before)
