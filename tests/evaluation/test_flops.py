from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from prunus.errors import ArgumentError
from prunus.evaluation.flops import Flops, count_flops


def lenet():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
    )


def test_lenet_300_100_has_266200_multiply_adds():
    """784·300 + 300·100 + 100·10, the weights of Frankle & Carbin 2019 (arXiv:1803.03635), figure 2."""
    assert count_flops(lenet(), torch.zeros(1, 1, 28, 28)) == Flops(2 * 266_200, 2 * 266_200)


class Block(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.stride, self.padding = stride, (after - before) // 2

    def forward(self, inputs):
        shortcut = F.pad(inputs[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(self.second(F.relu(self.first(inputs))) + shortcut)


def resnet20():
    blocks, width = [], 16
    for after, stride in ((16, 1), (32, 2), (64, 2)):
        for index in range(3):
            blocks.append(Block(width, after, stride if index == 0 else 1))
            width = after
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
    )


def test_resnet_20_has_the_multiply_adds_of_its_formula():
    """He et al. 2016, section 4.2: 6n+2 layers with n = 3; commonly given as 41 M multiply-adds."""
    stem = 32 * 32 * 9 * 3 * 16
    first = 6 * 32 * 32 * 9 * 16 * 16
    second = 16 * 16 * 9 * (16 * 32 + 5 * 32 * 32)
    third = 8 * 8 * 9 * (32 * 64 + 5 * 64 * 64)
    formula = stem + first + second + third + 640
    assert round(formula / 1e6, 1) == 40.6
    assert count_flops(resnet20(), torch.zeros(1, 3, 32, 32)).dense == 2 * formula


class Bottleneck(nn.Module):
    def __init__(self, before, width, stride):
        super().__init__()
        self.reduce = nn.Conv2d(before, width, 1, bias=False)
        self.middle = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.widen = nn.Conv2d(width, 4 * width, 1, bias=False)
        changes = stride > 1 or before != 4 * width
        self.shortcut = nn.Conv2d(before, 4 * width, 1, stride, bias=False) if changes else nn.Identity()

    def forward(self, inputs):
        return F.relu(self.widen(self.middle(self.reduce(inputs))) + self.shortcut(inputs))


def test_resnet_50_has_4_09_giga_multiply_adds_at_224():
    """torchvision's model card of resnet50 gives 4.09 GFLOPS (multiply-adds) at 224 × 224."""
    with torch.device("meta"):  # no time for random numbers
        layers, width = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.MaxPool2d(3, 2, 1)], 64
        for stage, (count, middle) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
            for index in range(count):
                layers.append(Bottleneck(width, middle, 2 if stage and index == 0 else 1))
                width = 4 * middle
        model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))
    model.to_empty(device="cpu")
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    flops = count_flops(model, torch.zeros(1, 3, 224, 224))
    assert round(flops.dense / 2 / 1e9, 2) == 4.09
    assert flops.effective == flops.dense


@settings(max_examples=30)
@given(st.sampled_from([1, 2]), st.sampled_from([1, 2, 3]), st.integers(1, 2), st.integers(0, 2), st.integers(0, 2**31))
def test_effective_flops_leave_out_each_application_of_a_zero_weight(groups, kernel, stride, padding, seed):
    torch.manual_seed(seed)
    convolution = nn.Conv2d(4, 6, kernel, stride, padding, groups=groups)
    transposed = nn.ConvTranspose2d(6, 4, kernel, stride, groups=groups)
    dense = nn.Linear(5, 3)
    for module in (convolution, transposed, dense):
        module.weight.data[torch.rand_like(module.weight) < 0.6] = 0
    inputs = torch.randn(2, 4, 7, 7)
    middle = convolution(inputs)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([convolution, transposed, dense])

        def forward(self, inputs):
            columns = self.layers[1](self.layers[0](inputs)).mean((1, 2))[:, :1].expand(-1, 5)
            return self.layers[2](columns)

    positions = math.prod(middle.shape[2:])
    flops = count_flops(Net(), inputs)
    weights = [convolution.weight, transposed.weight, dense.weight]
    applied = [positions, positions, 1]
    assert flops.dense == 2 * sum(w.numel() * times for w, times in zip(weights, applied, strict=True))
    assert flops.effective == 2 * sum(int((w != 0).sum()) * times for w, times in zip(weights, applied, strict=True))


def test_a_module_used_twice_and_a_functional_use_count_each_time():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, inputs):
            return F.linear(self.linear(self.linear(inputs)), self.linear.weight)

    model = Net()
    model.linear.weight.data[0] = 0
    assert count_flops(model, torch.ones(5, 4)) == Flops(3 * 32, 3 * 24)


def test_the_batch_does_not_change_the_count():
    assert count_flops(lenet(), torch.zeros(1, 784)) == count_flops(lenet(), torch.zeros(7, 784))


def test_attention_counts_its_products_and_leaves_out_zero_projections():
    length, width = 5, 8
    model = nn.TransformerEncoderLayer(width, 2, 16, batch_first=True).eval()
    model.self_attn.in_proj_weight.data[:width] = 0
    weights = 4 * width * width + 2 * width * 16
    attention = 2 * 2 * length * length * width
    flops = count_flops(model, torch.randn(3, length, width))
    assert flops.dense == 2 * length * weights + attention
    assert flops.effective == flops.dense - 2 * length * width * width


def test_fused_attention_is_not_counted_as_nothing():
    class Net(nn.Module):
        def forward(self, inputs):
            return F.scaled_dot_product_attention(inputs, inputs, inputs)

    assert count_flops(Net(), torch.randn(2, 3, 5, 8)).dense == 2 * 2 * 3 * 5 * 5 * 8


def test_a_recurrent_layer_is_not_counted_as_nothing():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.LSTM(4, 6, batch_first=True)

        def forward(self, inputs):
            return self.cell(inputs)[0]

    assert count_flops(Net(), torch.randn(2, 3, 4)).dense == 2 * 3 * (4 * 6 * 4 + 4 * 6 * 6)
    assert torch.backends.mkldnn.enabled == torch.backends.mkldnn.is_available()


def test_masks_of_pytorchs_own_pruning_are_seen_in_a_convolution():
    convolution = nn.Conv1d(2, 1, 2)
    prune.custom_from_mask(convolution, "weight", torch.tensor([[[1, 0], [0, 0]]]))
    assert count_flops(convolution, torch.ones(1, 2, 4)) == Flops(3 * 8, 3 * 2)


@pytest.mark.parametrize("model", [lenet(), nn.Sequential(nn.Conv1d(1, 3, 5), nn.ReLU(), nn.Conv1d(3, 2, 2))])
def test_the_dense_count_is_that_of_pytorchs_own_counter(model):
    inputs = torch.randn(1, 1, 784) if isinstance(model[0], nn.Conv1d) else torch.randn(1, 784)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(inputs)
    assert count_flops(model, inputs).dense == counter.get_total_flops()


def test_a_compiled_model_counts_as_its_module_whole_or_in_part():
    model = lenet()
    expected = count_flops(model, torch.zeros(1, 784))
    assert count_flops(torch.compile(model, backend="eager"), torch.zeros(1, 784)) == expected
    model[1] = torch.compile(model[1], backend="eager")
    model[3].compile(backend="eager")
    assert count_flops(model, torch.zeros(1, 784)) == expected


def test_inference_mode_does_not_hide_the_operators():
    made_before = lenet()
    with torch.inference_mode():
        for model in (made_before, lenet()):
            assert count_flops(model, torch.zeros(1, 784)).dense == 2 * 266_200


def test_counting_does_not_import_the_compiler():
    """It takes seconds, in each process that measures."""
    code = (
        "import sys, torch; from prunus.evaluation.measure import measure; "
        "print(measure(torch.nn.Linear(3, 2), torch.ones(1, 3)).flops, 'torch._dynamo' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["12", "False"]


def test_a_dict_is_no_output(dict_model):
    with pytest.raises(ArgumentError, match="got a dict: wrap it"):
        count_flops(dict_model, torch.ones(1, 4))


@pytest.mark.parametrize(
    "inputs", [None, {"x": torch.ones(1, 4)}, (), [torch.ones(1, 4), 3], torch.ones(()), torch.ones(0, 4)]
)
def test_example_inputs_that_are_no_batch_are_refused(inputs):
    with pytest.raises(ArgumentError, match="example_inputs"):
        count_flops(nn.Linear(4, 2), inputs)


@pytest.mark.parametrize("model", [nn.Linear(4, 2, device="meta"), nn.LazyLinear(2)])
def test_parameters_without_values_are_refused(model):
    with pytest.raises(ArgumentError, match="has no values yet"):
        count_flops(model, torch.ones(1, 4))


def test_the_model_and_the_switches_of_pytorch_are_left_as_they_were(restless, unchanged):
    inputs = torch.randn(3, 4)

    def switches():
        return torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled

    torch.backends.mha.set_fastpath_enabled(True)
    before = unchanged(restless), switches()
    if restless.fails:
        with pytest.raises(ZeroDivisionError):
            count_flops(restless, inputs)
    else:
        assert count_flops(restless, inputs).dense == 24
    assert (unchanged(restless), switches()) == before
