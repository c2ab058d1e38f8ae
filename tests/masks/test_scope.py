from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from prunus.errors import ScopeError
from prunus.masks.masks import Masks
from prunus.masks.scope import Scope


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.position = nn.Parameter(torch.zeros(1, 4))
        self.conv1 = nn.Conv1d(4, 4, 3)
        self.norm1 = nn.LayerNorm([2, 4])
        self.attention = nn.MultiheadAttention(4, 2, add_bias_kv=True)
        self.recurrent = nn.GRU(4, 4)
        self.bilinear = nn.Bilinear(2, 2, 2)
        self.drop = nn.Dropout()
        self.fc = nn.Linear(4, 4)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight


@pytest.fixture
def model():
    return Network()


def names(model, **scope):
    return list(Scope(**{key: tuple(value) for key, value in scope.items()}).parameters(model))


WEIGHTS = ["conv1.weight", "attention.in_proj_weight", "attention.out_proj.weight", "recurrent.weight_ih_l0"]
WEIGHTS += ["recurrent.weight_hh_l0", "bilinear.weight", "fc.weight"]


def test_biases_normalisation_embeddings_and_what_is_tied_to_one_are_out_of_scope(model):
    assert names(model) == WEIGHTS


def test_a_module_pattern_stands_for_the_weights_in_it(model):
    assert names(model, include=["fc"]) == ["fc.weight"]
    assert names(model, include=["attention"]) == ["attention.in_proj_weight", "attention.out_proj.weight"]
    assert names(model, include=["*"]) == WEIGHTS
    assert names(model, include=["fc", "conv?"]) == ["conv1.weight", "fc.weight"]


def test_a_parameter_pattern_takes_what_it_names(model):
    assert names(model, include=["norm1.*", "embed.weight", "position"]) == [
        "position",
        "embed.weight",
        "norm1.weight",
        "norm1.bias",
    ]


def test_exclusion_leaves_out_all_that_is_inside(model):
    assert names(model, exclude=["attention", "re*", "drop"]) == ["conv1.weight", "bilinear.weight", "fc.weight"]
    assert names(model, include=["norm1.*", "fc"], exclude=["*.bias"]) == ["norm1.weight", "fc.weight"]


def test_types_choose_modules_by_class(model):
    assert names(model, types=["Linear", "Conv1d"]) == ["conv1.weight", "fc.weight"]
    assert names(model, types=["Linear"], include=["fc", "position"]) == ["position", "fc.weight"]


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ({"include": ["fc1"]}, "no module or parameter is named 'fc1'.*did you mean 'fc'"),
        ({"exclude": ["cnv1"]}, "no module or parameter is named 'cnv1'.*did you mean 'conv1'"),
        ({"types": ["Lienar"]}, "no module type of this model is named 'Lienar'.*did you mean 'Linear'"),
        ({"include": ["drop"]}, "nothing to prune in 'drop'"),
        ({"include": ["norm*"]}, "nothing to prune in 'norm\\*'.*name those, such as"),
        ({"include": ["embed", "fc"]}, "nothing to prune in 'embed'"),
        ({"include": ["f*"], "types": ["Conv1d"]}, "nothing to prune in 'f\\*'.*of the types Conv1d"),
        ({"include": ["fc"], "exclude": ["fc.weight"]}, "nothing to prune: of the"),
        ({"types": ["Embedding"]}, "nothing to prune: of the"),
    ],
)
def test_a_pattern_that_selects_nothing_says_so(model, scope, message):
    with pytest.raises(ScopeError, match=message):
        names(model, **scope)


def test_a_model_without_a_weight_has_nothing_to_prune():
    with pytest.raises(ScopeError, match=r"of the 0 parameters of ReLU none is in scope"):
        names(nn.ReLU())


def test_empty_and_integer_parameters_are_out_of_scope():
    model = nn.ParameterDict(
        {
            "empty": nn.Parameter(torch.zeros(0, 3)),
            "integer": nn.Parameter(torch.zeros(3, dtype=torch.int64), requires_grad=False),
            "weight": nn.Parameter(torch.zeros(3)),
        }
    )
    assert names(model, include=["*"]) == ["weight"]


def test_a_wrapped_model_gives_plain_names(model):
    assert names(torch.compile(model, backend="eager")) == WEIGHTS
    assert names(nn.DataParallel(model)) == WEIGHTS
    assert names(nn.DataParallel(torch.compile(model, backend="eager"))) == WEIGHTS
    assert names(torch.compile(model, backend="eager"), include=["fc"]) == ["fc.weight"]


def test_a_compiled_part_of_a_model_gives_plain_names():
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.Linear(2, 2))
    model[0] = torch.compile(model[0], backend="eager")
    assert names(model) == ["0.0.weight", "1.weight"]
    assert names(model, include=["0.0"]) == ["0.0.weight"]


def test_a_module_whose_name_ends_like_a_wrapper_keeps_its_name():
    model = nn.ModuleDict({"my_orig_mod": nn.Linear(2, 2)})
    assert names(model) == ["my_orig_mod.weight"]
    assert list(Masks.of_nonzero(dict(model.named_parameters())).parameters_of(model)) == list(
        dict(model.named_parameters())
    )


def test_tied_weights_are_one_parameter_that_goes_by_each_of_its_names():
    model = nn.ModuleDict({"first": nn.Linear(3, 3), "second": nn.Linear(3, 3), "third": nn.Linear(3, 3)})
    model["second"].weight = model["first"].weight
    assert names(model) == ["first.weight", "third.weight"]
    assert names(model, include=["second"]) == ["first.weight"]
    assert names(model, include=["second.weight"]) == ["first.weight"]
    assert names(model, exclude=["second"]) == ["third.weight"]
    assert names(model, exclude=["first.weight"]) == ["third.weight"]


@pytest.mark.parametrize(
    "derive", [torch.nn.utils.parametrizations.weight_norm, torch.nn.utils.parametrizations.spectral_norm]
)
def test_a_weight_derived_from_other_parameters_is_refused(derive):
    with pytest.raises(ScopeError, match="derived from other parameters"):
        Scope().parameters(nn.Sequential(derive(nn.Linear(4, 4)), nn.Linear(4, 2)))


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
@pytest.mark.parametrize("derive", [torch.nn.utils.weight_norm, torch.nn.utils.parametrizations.weight_norm])
@pytest.mark.parametrize(
    ("layer", "weight"), [(nn.LSTM(4, 6), "weight_hh_l0"), (nn.MultiheadAttention(4, 2), "in_proj_weight")]
)
def test_a_derived_weight_of_another_name_is_refused(derive, layer, weight):
    with pytest.raises(ScopeError, match=f"the {weight} of a .* is derived from other parameters"):
        Scope().parameters(derive(copy.deepcopy(layer), weight))


def test_a_derived_bias_is_of_no_account():
    layer = torch.nn.utils.parametrizations.weight_norm(nn.Linear(4, 4), "bias", dim=None)
    assert list(Scope().parameters(layer)) == ["weight"]


def test_a_model_without_values_is_refused():
    with pytest.raises(ScopeError, match="has no values yet"):
        Scope().parameters(nn.Linear(4, 4, device="meta"))
    with pytest.raises(ScopeError, match="has no values yet"):
        Scope().parameters(nn.LazyLinear(4))
