"""Whatever is done to a model, nothing of it is left."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing._internal.two_tensor import TwoTensor

from prunus.criteria.memory import Memory, written_tensors
from prunus.criteria.undisturbed import undisturbed


class Network(nn.Module):
    """One of everything that a model may have."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(6, 4, max_norm=0.1)
        self.first = nn.Linear(4, 4)
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.first.weight
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("absent", None)
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)

    def forward(self, indices):
        self.calls = self.calls + 1
        return self.drop(self.norm(self.tied(self.first(self.embedding(indices)))))


@pytest.fixture
def model():
    model = Network()
    model.drop.eval()
    model.first.weight.grad = torch.ones(4, 4)
    model.norm.weight.data[0] = float("nan")
    return model


def bits(tensor):
    return None if tensor is None else (tensor.dtype, tensor.stride(), tensor.detach().clone().numpy().tobytes())


def picture(model):
    tensors = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers())}
    return (
        [(name, id(value), value.data_ptr(), bits(value)) for name, value in tensors.items()],
        [(name, p.requires_grad, id(p.grad), bits(p.grad)) for name, p in model.named_parameters()],
        [(list(module._parameters), list(module._buffers), module.training) for module in model.modules()],
        torch.get_rng_state().tolist(),
        (torch.is_autocast_cache_enabled(), torch.is_grad_enabled()),
    )


INDICES = torch.tensor([0, 3, 5])


def forward_in_training_mode(model):
    model.train()(INDICES)


def backward(model):
    model(INDICES).sum().backward()
    model.tied(torch.ones(1, 4)).sum().backward()


def optimise(model):
    backward(model)
    torch.optim.AdamW(model.parameters()).step()


def in_place(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
            parameter.grad = torch.ones_like(parameter)


def through_data(model):
    for parameter in model.parameters():
        parameter.data.zero_()
    model.first.weight.grad.data.zero_()


def through_a_view(model):
    model.first.weight.detach().t()[1:].fill_(3)


def into_an_output(model):
    torch.mul(torch.ones(4), 5, out=model.first.bias.detach())


def by_many_at_once(model):
    torch._foreach_add_([parameter.detach() for parameter in model.parameters()], 1.0)


def renormalised_on_lookup(model):
    with torch.no_grad():
        model(INDICES)


def other_data(model):
    model.first.weight.data = torch.zeros(2, 8, dtype=torch.float64)
    model.half()


def other_tensors(model):
    model.first.weight = nn.Parameter(torch.zeros(4, 4))
    model.norm.running_mean = torch.ones(4)
    model.register_buffer("added", torch.ones(1))
    model.register_parameter("more", nn.Parameter(torch.ones(1)))
    model.absent = torch.ones(1)
    del model.tied._parameters["bias"]


def gradients_and_freezing(model):
    model.requires_grad_(False)
    model.frozen.requires_grad_()
    model.first.weight.grad = None
    model.norm.bias.grad = torch.ones(4)


def randomness(model):
    torch.manual_seed(99)


def loading(model):
    model.load_state_dict({name: torch.ones_like(value) for name, value in model.state_dict().items()})


def buffers_through_numpy(model):
    model.norm.running_mean.numpy()[:] = 7


def parameters_through_numpy(model):
    model.first.weight.detach().numpy()[:] = 7
    model.first.weight.grad.numpy()[:] = 7


SEEN = [
    forward_in_training_mode,
    backward,
    optimise,
    in_place,
    through_data,
    through_a_view,
    into_an_output,
    by_many_at_once,
    renormalised_on_lookup,
    other_data,
    other_tensors,
    gradients_and_freezing,
    randomness,
    loading,
    buffers_through_numpy,
]


@pytest.mark.parametrize("fails", [False, True], ids=["returns", "fails"])
@pytest.mark.parametrize(
    ("disturb", "copy_first"),
    [*((disturb, copy_first) for disturb in SEEN for copy_first in (False, True)), (parameters_through_numpy, True)],
)
def test_nothing_is_left_of_what_was_done(model, disturb, copy_first, fails):
    before = picture(model)
    try:
        with undisturbed(model, copy_first=copy_first):
            disturb(model)
            assert picture(model) != before
            assert 1 / (not fails)
    except ZeroDivisionError:
        assert fails
    assert picture(model) == before


def test_it_may_be_entered_again_inside(model):
    before = picture(model)
    with undisturbed(model):
        in_place(model)
        between = picture(model)
        with undisturbed(model):
            through_data(model)
            backward(model)
        assert picture(model) == between
    assert picture(model) == before


def test_a_copy_made_inside_is_not_undone(model):
    with undisturbed(model):
        mine = copy.deepcopy(model)
        in_place(mine)
    assert torch.equal(mine.first.weight, 2 * model.first.weight)


def test_a_graph_that_the_caller_holds_stays_valid(model):
    model.norm.weight.data[0] = 1.0
    loss = model(INDICES).square().sum()
    with undisturbed(model):
        model.train()(INDICES).sum().backward()
        through_data(model)
    loss.backward()
    assert model.first.weight.grad.isfinite().all()


def test_pythons_and_numpys_random_state_go_on(model):
    np.random.seed(0)
    with undisturbed(model):
        first = np.random.rand()
    assert np.random.rand() != first


def test_compiled_code_writes_past_the_operators_and_is_undone_too():
    def backend(graph, inputs):
        def run(*tensors):
            for tensor in tensors:
                tensor.detach().numpy()[:] = 0
            return graph.forward(*tensors)

        return run

    model = nn.Sequential(torch.compile(nn.Linear(3, 2), backend=backend))
    before = picture(model)
    with undisturbed(model), torch.no_grad():
        assert not model(torch.ones(1, 3)).any()
    assert picture(model) == before


@pytest.mark.parametrize("whole", [False, True])
def test_what_is_compiled_runs_compiled_inside(whole):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    class Partly(nn.Linear):
        product = staticmethod(torch.compile(lambda inputs, weight: inputs @ weight.t(), backend=backend))

        def forward(self, inputs):
            return self.product(inputs, self.weight)

    model = torch.compile(nn.Linear(3, 2), backend=backend) if whole else Partly(3, 2)
    with undisturbed(model), torch.no_grad():
        model(torch.ones(1, 3))
    assert len(graphs) == 1


def test_autocast_gives_no_cast_of_the_block_to_the_caller_and_takes_none_of_his():
    model = nn.Linear(3, 2)
    inputs = torch.ones(1, 3)
    with torch.autocast("cpu", torch.bfloat16):
        before = model(inputs)
        with undisturbed(model), torch.no_grad():
            model.weight.zero_()
            assert torch.equal(model(inputs)[0], model.bias.to(torch.bfloat16))
        assert torch.equal(model(inputs), before)
        model(inputs).sum().backward()
    assert torch.equal(model.weight.grad, torch.ones(2, 3))


# --- what it costs ---


def watched(model):
    return Memory([*model.parameters(), *(p.grad for p in model.parameters() if p.grad is not None)])


def test_a_pass_through_a_network_copies_no_parameter(model):
    model.embedding.max_norm = None
    memory = watched(model)
    with memory:
        model.train()(INDICES)
        model.eval()
        torch.autograd.grad(model(INDICES)[:, 1:].sum(), [model.first.weight])
        with torch.no_grad():
            torch.stack([model.first.weight, model.first.weight]).zero_()
            torch.zeros(4, 4).copy_(model.first.weight).add_(model.first.weight)
    assert memory.copied_bytes == 0


def test_only_what_is_written_to_is_copied_and_once(model):
    memory = watched(model)
    with memory, torch.no_grad():
        for _ in range(3):
            model.first.weight[0].mul_(2)
    assert memory.copied_bytes == 4 * 4 * 4


def test_what_an_operator_writes_to_is_what_its_schema_says():
    first, second, result = torch.ones(2), torch.ones(2), torch.empty(2)
    aten = torch.ops.aten
    assert [*written_tensors(aten.add_.Tensor, (first, second), {})] == [first]
    assert next(written_tensors(aten.add.out, (first, second), {"out": result})) is result
    assert [*written_tensors(aten._foreach_mul_.Scalar, ([first, second], 2), {})][1] is second
    assert [*written_tensors(aten.mul.Tensor, (first, second), {})] == []
    assert [*written_tensors(torch.ops.higher_order.cond, (first,), {})] == []


# --- tensors of every kind ---


@pytest.mark.parametrize("length", [1, 5000])
def test_memory_that_is_resized_comes_back(model, length):
    with undisturbed(model):
        model.frozen.detach().resize_(length).zero_().untyped_storage().resize_(4 * length)
        assert len(model.frozen.untyped_storage()) == 4 * length
    assert model.frozen.tolist() == [1, 1, 1]
    assert len(model.frozen.untyped_storage()) == 12


def test_tensors_in_one_memory_come_back_together():
    flat = torch.arange(6.0)
    model = nn.Module()
    model.first, model.second = nn.Parameter(flat[:2]), nn.Parameter(flat[2:])
    with undisturbed(model), torch.no_grad():
        model.second.zero_()
        model.first.data.add_(1)
    assert flat.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64, torch.float16, torch.int8])
@pytest.mark.parametrize("copy_first", [False, True])
def test_every_dtype_comes_back(dtype, copy_first):
    model = nn.Module()
    model.weight = nn.Parameter(torch.randn(3, 2).to(dtype), requires_grad=False)
    model.register_buffer("other", torch.randn(3, 2).to(dtype))
    before = [tensor.clone() for tensor in (model.weight, model.other)]
    with undisturbed(model, copy_first=copy_first):
        model.weight.data.zero_()
        model.other.zero_()
    assert all(bool((ours == theirs).all()) for ours, theirs in zip((model.weight, model.other), before, strict=True))


@pytest.mark.parametrize("inside", [False, True])
def test_a_model_made_in_inference_mode_comes_back(inside):
    with torch.inference_mode():
        model = nn.BatchNorm1d(3).requires_grad_(False)
    with torch.inference_mode(inside), undisturbed(model), torch.inference_mode():
        model.train()(torch.randn(4, 3))
        model.weight.zero_()
    assert model.weight.tolist() == [1, 1, 1]
    assert model.running_mean.tolist() == [0, 0, 0]
    assert int(model.num_batches_tracked) == 0


def test_a_sparse_gradient_and_a_sparse_buffer_come_back():
    model = nn.Embedding(4, 2, sparse=True)
    model.register_buffer("graph", torch.eye(2).to_sparse())
    model(torch.tensor([1])).sum().backward()
    gradient, before = model.weight.grad, model.weight.grad.to_dense()
    with undisturbed(model):
        model(torch.tensor([2])).sum().backward()
        gradient.mul_(3)
        model.graph.mul_(3)
    assert model.weight.grad is gradient
    assert torch.equal(gradient.to_dense(), before)
    assert torch.equal(model.graph.to_dense(), torch.eye(2))


def test_a_tensor_made_of_others_comes_back():
    model = nn.Module()
    model.weight = nn.Parameter(TwoTensor(torch.ones(2), torch.zeros(2)))
    with undisturbed(model), torch.no_grad():
        model.weight.mul_(5).add_(1)
    assert model.weight.a.tolist() == [1, 1]
    assert model.weight.b.tolist() == [0, 0]


def test_what_has_no_values_yet_is_left_to_get_them():
    lazy, meta = nn.Sequential(nn.LazyLinear(2), nn.LazyBatchNorm1d()), nn.Linear(3, 2, device="meta")
    with undisturbed(lazy), undisturbed(meta):
        lazy(torch.ones(4, 3))
        meta(torch.ones(1, 3, device="meta"))
    assert lazy[0].weight.shape == (2, 3)
    assert meta.weight.is_meta


def test_gradients_may_be_hidden_and_come_back_as_they_were():
    model = nn.Linear(3, 2)
    model.weight.grad = gradient = torch.full((2, 3), -0.0)
    with undisturbed(model, hide_gradients=True):
        assert model.weight.grad is None
        model(torch.ones(1, 3)).sum().backward()
        assert torch.equal(model.weight.grad, torch.ones(2, 3))
    assert model.weight.grad is gradient
    assert bool(gradient.signbit().all())
    assert model.bias.grad is None


@pytest.mark.parametrize("count", [1, 7, 8, 9, 1000])
def test_one_changed_bit_anywhere_is_put_back(count):
    values = torch.arange(count, dtype=torch.uint8)
    before = values.clone()
    memory = Memory([values])
    memory.copy([values])
    values[-1] ^= 1
    memory.restore()
    assert torch.equal(values, before)
