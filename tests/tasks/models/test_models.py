from __future__ import annotations

import pytest
import torch

from prunus.errors import ArgumentError
from prunus.tasks.load import build_model
from prunus.tasks.tables import MODELS
from prunus.tasks.task import cross_entropy

GREY, COLOUR = (1, 28, 28), (3, 32, 32)
NATURAL = {
    "lenet-300-100": (GREY, 10),
    "lenet-5": (GREY, 10),
    "conv-2": (COLOUR, 10),
    "conv-4": (COLOUR, 10),
    "conv-6": (COLOUR, 10),
    "vgg-11-bn": (COLOUR, 10),
    "vgg-16-bn": (COLOUR, 10),
    "vgg-19-bn": (COLOUR, 10),
    "resnet-20": (COLOUR, 10),
    "resnet-32": (COLOUR, 10),
    "resnet-44": (COLOUR, 10),
    "resnet-56": (COLOUR, 10),
    "resnet-18": ((3, 64, 64), 1000),  # smaller than the natural 224 × 224, for speed
    "resnet-50": ((3, 64, 64), 1000),
    "mlp": ((14,), 2),
    "gpt": ((64,), 65),
}
IMAGE_MODELS = sorted(name for name, (shape, _) in NATURAL.items() if len(shape) == 3 and name != "lenet-300-100")

# Weights alone where the source counts those, parameters where it counts them; to the digits it prints.
PARAMETERS = {
    "lenet-300-100": 266_610,  # 784·300 + 300·100 + 100·10 weights and 410 biases; "266K" in Frankle & Carbin, fig. 2
    "lenet-5": 61_706,  # the common variant: 150 + 2,400 + 48,000 + 10,080 + 840 weights and 236 biases
    "vgg-16-bn": 14_724_042,  # "1.5×10⁷" in Li et al. 2017, table 1 (arXiv:1608.08710)
    "vgg-19-bn": 20_035_018,  # "20.04M" in Liu et al. 2017, table 1 (arXiv:1708.06519)
    "resnet-20": 269_722,  # "0.27M" in He et al. 2016, table 6; likewise the next three
    "resnet-32": 464_154,  # "0.46M"
    "resnet-44": 658_586,  # "0.66M"
    "resnet-56": 853_018,  # "0.85M"
    "resnet-18": 11_689_512,  # torchvision's documentation of ResNet18_Weights
    "resnet-50": 25_557_032,  # torchvision's documentation of ResNet50_Weights
    "gpt": 818_176,
}
WEIGHTS = {  # all and convolutional, Frankle & Carbin 2019, fig. 2
    "conv-2": (4_300_992, 38_592),  # "4.3M / 38K"
    "conv-4": (2_425_024, 259_776),  # "2.4M / 260K"
    "conv-6": (2_261_184, 1_144_512),  # "1.7M / 1.1M": the first does not follow from the layers it lists
}


def natural_batch(name, count=2):
    shape, classes = NATURAL[name]
    if name == "gpt":
        return torch.randint(0, classes, (count, *shape)), torch.randint(0, classes, (count, *shape))
    return torch.randn(count, *shape), torch.randint(0, classes, (count,))


def test_every_model_of_the_table_is_tried():
    assert set(NATURAL) == {name for name, entry in MODELS.items() if entry.target.startswith("prunus.")}


@pytest.mark.parametrize("name", NATURAL)
def test_a_model_runs_forward_and_backward_on_its_natural_input(name):
    torch.manual_seed(0)
    shape, classes = NATURAL[name]
    model, (inputs, targets) = build_model(name, shape, classes), natural_batch(name)
    logits = model(inputs)
    assert logits.shape == (*targets.shape, classes)
    cross_entropy(logits, targets).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name


@pytest.mark.parametrize("name", ["lenet-300-100", "lenet-5", "conv-6", "resnet-20", "mlp", "gpt"])
def test_the_global_seed_decides_the_initialisation(name):
    builds = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        builds.append(torch.nn.utils.parameters_to_vector(build_model(name, *NATURAL[name]).parameters()))
    assert torch.equal(builds[0], builds[1])
    assert not torch.equal(builds[0], builds[2])


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts_are_those_of_the_source(name):
    assert sum(parameter.numel() for parameter in build_model(name, *NATURAL[name]).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", WEIGHTS)
def test_weight_counts_are_those_of_the_layers_in_the_paper(name):
    weights = [parameter for parameter in build_model(name, *NATURAL[name]).parameters() if parameter.dim() > 1]
    assert sum(weight.numel() for weight in weights) == WEIGHTS[name][0]
    assert sum(weight.numel() for weight in weights if weight.dim() == 4) == WEIGHTS[name][1]


@pytest.mark.parametrize("name", ["lenet-300-100", "conv-2", "conv-4", "conv-6"])
def test_the_lottery_ticket_networks_begin_glorot_normal_without_biases(name):
    torch.manual_seed(0)
    for module in build_model(name, *NATURAL[name]).modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d) and module.weight.numel() > 10_000:
            area = module.weight[0, 0].numel()
            variance = 2 / (area * (module.weight.shape[0] + module.weight.shape[1]))
            assert module.weight.var().item() == pytest.approx(variance, rel=0.05)
            assert module.weight.abs().max() > 3 * variance**0.5  # a uniform distribution ends at √3
            assert torch.count_nonzero(module.bias) == 0


@pytest.mark.parametrize("name", IMAGE_MODELS)
@pytest.mark.parametrize("shape", [(784,), (3, 1, 1), (1, 3, 32, 32), (0, 224, 224)])
def test_a_shape_that_does_not_fit_is_refused(name, shape):
    with pytest.raises(ArgumentError, match=f"{name} takes images of shape"):
        build_model(name, shape, 10)


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_the_smallest_image_that_is_allowed_runs(name):
    with pytest.raises(ArgumentError) as caught:
        build_model(name, (3, 1, 1), 10)
    side = int(str(caught.value).split("at least ")[1].split("×")[0])
    model = build_model(name, (3, side, side), 10).eval()
    assert model(torch.randn(1, 3, side, side)).shape == (1, 10)
    with pytest.raises(ArgumentError, match="at least"):
        build_model(name, (3, side, side - 1), 10)


@pytest.mark.parametrize("name", ["lenet-5", "conv-2", "conv-6", "vgg-16-bn", "resnet-20"])
def test_images_need_be_neither_square_nor_of_the_usual_size(name):
    assert build_model(name, (2, 39, 50), 7).eval()(torch.randn(1, 2, 39, 50)).shape == (1, 7)


def test_a_model_without_classes_is_refused():
    with pytest.raises(ArgumentError, match="at least 1 class, got 0"):
        build_model("mlp", (3,), 0)
