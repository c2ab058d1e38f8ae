from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from prunus.errors import ArgumentError, DataError
from prunus.tasks.task import Data, Examples, Task, cross_entropy


def examples(targets, groups=None):
    targets = torch.tensor(targets)
    return Examples(torch.arange(len(targets)).float().unsqueeze(1), targets, groups)


def data(train=(0, 1), validation=(0, 1), test=(0, 1), names=("0", "7"), **others):
    return Data("toy", examples(train), examples(validation), examples(test), names, **others)


@given(st.integers(1, 30), st.integers(1, 40))
def test_batches_are_all_examples_once_in_order(count, size):
    whole = examples(list(range(count)))
    batches = list(whole.batches(size))
    assert torch.equal(torch.cat([targets for _, targets in batches]), whole.targets)
    assert torch.equal(torch.cat([inputs for inputs, _ in batches]), whole.inputs)
    assert all(len(inputs) == size for inputs, _ in batches[:-1])


def test_batches_are_views_not_copies():
    whole = examples([0, 1, 2])
    (inputs, _), *_ = whole.batches(2)
    assert inputs.data_ptr() == whole.inputs.data_ptr()


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_of_no_examples_is_refused_at_once(size):
    with pytest.raises(ArgumentError, match=f"at least 1 example, got size {size}"):
        examples([0]).batches(size)


@pytest.mark.parametrize(
    ("inputs", "targets", "groups", "says"),
    [
        (torch.zeros(0, 1), torch.zeros(0, dtype=torch.int64), None, "no examples"),
        (torch.zeros(3, 1), torch.zeros(2, dtype=torch.int64), None, "same first dimension"),
        (torch.tensor(0.0), torch.zeros(1, dtype=torch.int64), None, "same first dimension"),
        (torch.zeros(2, 1), torch.zeros(2), None, "int64"),
        (torch.zeros(2, 1), torch.zeros(2, 3, 4, dtype=torch.int64), None, "shape"),
        (torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64), torch.zeros(1, dtype=torch.int64), "groups"),
        (torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64), torch.zeros(2), "groups"),
    ],
)
def test_malformed_examples_are_refused(inputs, targets, groups, says):
    with pytest.raises(DataError, match=says):
        Examples(inputs, targets, groups)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_class_missing_from_a_split_is_named_with_the_split(split):
    with pytest.raises(DataError, match=f"class '7' is missing from the {split} split of 'toy'"):
        data(**{split: (0, 0)})


@pytest.mark.parametrize(("targets", "wrong"), [((0, 1, 2), 2), ((-1, 0, 1), -1)])
def test_a_target_without_a_name_is_refused(targets, wrong):
    with pytest.raises(DataError, match=f"has the target {wrong}, but with 2 names it must lie in 0 … 1"):
        data(test=targets)


def test_classes_need_names_unless_targets_are_tokens():
    tokens = Examples(torch.zeros(2, 3), torch.tensor([[5, 0, 1], [900, 2, -100]]))
    assert Data("text", tokens, tokens, tokens, ()).class_names == ()
    with pytest.raises(DataError, match="no class names"):
        data(names=())


def test_named_tokens_must_occur_in_every_split():
    both = Examples(torch.zeros(1, 2), torch.tensor([[0, 1]]))
    one = Examples(torch.zeros(1, 2), torch.tensor([[0, 0]]))
    assert Data("text", both, both, both, ("a", "b")).input_shape == (2,)
    with pytest.raises(DataError, match="class 'b' is missing from the validation split"):
        Data("text", both, one, both, ("a", "b"))


@pytest.mark.parametrize("inputs", [torch.zeros(2, 5), torch.zeros(2, 1, dtype=torch.float64)])
def test_splits_must_be_alike(inputs):
    other = Examples(inputs, torch.tensor([0, 1]))
    with pytest.raises(DataError, match=r"inputs of the validation split .* must be alike"):
        Data("toy", examples([0, 1]), other, examples([0, 1]), ("0", "7"))


def test_groups_and_their_names_come_together():
    grouped = examples([0, 1], torch.tensor([0, 1]))
    assert Data("toy", grouped, grouped, grouped, ("0", "7"), ("f", "m")).group_names == ("f", "m")
    with pytest.raises(DataError, match="both or neither"):
        Data("toy", grouped, grouped, grouped, ("0", "7"))
    with pytest.raises(DataError, match="both or neither"):
        data(group_names=("f", "m"))
    with pytest.raises(DataError, match="group 1, but with 1 names"):
        Data("toy", grouped, grouped, grouped, ("0", "7"), ("f",))


def test_the_loss_over_tokens_is_that_over_the_flat_tokens():
    logits, targets = torch.randn(2, 3, 5), torch.randint(0, 5, (2, 3))
    assert torch.equal(cross_entropy(logits, targets), functional.cross_entropy(logits.view(6, 5), targets.view(6)))
    assert torch.equal(cross_entropy(logits[0], targets[0]), functional.cross_entropy(logits[0], targets[0]))


def test_a_task_cannot_be_changed():
    task = Task("toy", data(), lambda: torch.nn.Linear(1, 2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.name = "other"


def test_classes_of_token_targets_cannot_be_told_apart():
    tokens = Examples(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(DataError, match="'text' has a target for every token"):
        Data("text", tokens, tokens, tokens, ()).of_classes(["a", "b"])


def test_groups_stay_beside_their_examples():
    targets = torch.tensor([0, 1, 2, 1, 0, 2])
    examples = Examples(torch.arange(6.0)[:, None], targets, groups=torch.tensor([0, 1, 0, 0, 1, 1]))
    data = Data("six", examples, examples, examples, ("a", "b", "c"), ("x", "y")).of_classes(["c", "a"])
    assert data.test.inputs.flatten().tolist() == [0, 2, 4, 5]
    assert data.test.targets.tolist() == [1, 0, 1, 0]
    assert data.test.groups.tolist() == [0, 0, 1, 1]
