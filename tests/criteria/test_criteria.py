from __future__ import annotations

import dataclasses
import sys
import types

import pytest
import torch
from torch import nn

import prunus
from prunus.criteria.scoring import resolve_criterion, score
from prunus.criteria.subject import Subject
from prunus.errors import ArgumentError, ScoreError, UnknownNameError
from prunus.masks.scope import Scope


def mean_square(outputs, targets):
    return (outputs - targets).square().mean()


def subject_of(model, **settings):
    return Subject(model, Scope().parameters(model), **settings)


@pytest.fixture
def regression():
    """A small float64 network with batches of unequal sizes."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    batches = [(torch.randn(size, 3).double(), torch.randn(size, 2).double()) for size in (5, 2)]
    return subject_of(model, batches=batches, loss=mean_square)


def mean_loss(subject):
    with torch.no_grad():
        losses = [(len(x), mean_square(subject.model(x), y)) for x, y in subject.batches]
    return sum(size * loss for size, loss in losses) / sum(size for size, _ in losses)


def test_magnitude_is_the_absolute_value():
    model = nn.Linear(3, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-2.0, 0.0, 1.5]]))
    assert score(subject_of(model), "magnitude")["weight"].tolist() == [[2.0, 0.0, 1.5]]


def test_random_scores_are_uniform_and_the_seeds_own():
    model = nn.Linear(100, 100)

    def draw(seed):
        return score(subject_of(model, generator=torch.Generator().manual_seed(seed)), "random")["weight"]

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    assert 0 <= draw(1).min() < 0.001
    assert 0.999 < draw(1).max() < 1
    assert abs(draw(1).mean() - 0.5) < 0.01


def test_mean_gradients_agree_with_finite_differences_of_the_mean_loss(regression):
    gradients = regression.mean_gradients()
    for name, parameter in regression.parameters.items():
        flat = parameter.detach().view(-1)
        for index in range(flat.numel()):
            kept = flat[index].item()
            losses = []
            for shift in (1e-6, -1e-6):
                flat[index] = kept + shift
                losses.append(mean_loss(regression))
            flat[index] = kept
            assert gradients[name].view(-1)[index].item() == pytest.approx(
                float(losses[0] - losses[1]) / 2e-6, abs=1e-8
            )


def test_gradient_weight_is_the_change_of_the_loss_when_a_small_weight_is_really_removed(regression):
    with torch.no_grad():
        for parameter in regression.parameters.values():
            parameter.mul_(1e-3)
    scores = score(regression, "gradient-weight")
    dense = mean_loss(regression)
    for name, parameter in regression.parameters.items():
        flat = parameter.detach().view(-1)
        for index in range(flat.numel()):
            kept = flat[index].item()
            flat[index] = 0.0
            change = abs(float(mean_loss(regression) - dense))
            flat[index] = kept
            assert scores[name].view(-1)[index].item() == pytest.approx(change, rel=2e-2, abs=1e-9)


def test_gradients_of_frozen_and_of_unreached_weights():
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "frozen": nn.Linear(2, 2), "unused": nn.Linear(2, 2)})
    model["frozen"].requires_grad_(False)
    model.forward = lambda inputs: model["used"](model["frozen"](inputs))
    batches = [(torch.randn(4, 2), torch.randint(2, (4,)))]
    gradients = subject_of(model, batches=batches).mean_gradients()
    assert (gradients["frozen.weight"] != 0).any()
    assert not gradients["unused.weight"].any()
    assert not model["frozen"].weight.requires_grad
    with torch.no_grad():
        assert (subject_of(model, batches=batches).mean_gradients()["used.weight"] != 0).any()


def test_gradients_in_half_precision_are_summed_in_single():
    model = nn.Linear(2, 2).to(torch.float16)
    batches = [(torch.full((1, 2), 100.0, dtype=torch.float16), torch.tensor([0]))] * 3000
    gradients = subject_of(model, batches=batches).mean_gradients()
    single = subject_of(model, batches=batches[:1]).mean_gradients()
    torch.testing.assert_close(gradients["weight"], single["weight"], rtol=1e-5, atol=0)
    assert gradients["weight"].dtype == torch.float32


def test_a_criterion_that_needs_data_says_so():
    model = nn.Linear(2, 2)
    with pytest.raises(ArgumentError, match=r"pass batches="):
        score(subject_of(model), "gradient-weight")
    with pytest.raises(ArgumentError, match=r"the batches are empty"):
        score(subject_of(model, batches=[]), "gradient-weight")
    read = subject_of(model, batches=iter([(torch.ones(1, 2), torch.tensor([0]))]))
    score(read, "gradient-weight")
    with pytest.raises(ArgumentError, match=r"an iterator gives them only once: pass a list or a DataLoader"):
        score(read, "gradient-weight")


# --- what a criterion may be ---


def signed(subject):
    return subject.weights()


@dataclasses.dataclass(frozen=True)
class Power:
    exponent: float = 2.0

    def __call__(self, subject):
        return {name: weight.abs() ** self.exponent for name, weight in subject.weights().items()}


@pytest.fixture
def module_of_mine(monkeypatch):
    module = types.ModuleType("criteria_of_mine")
    module.signed, module.Power, module.number = signed, Power, 3
    monkeypatch.setitem(sys.modules, "criteria_of_mine", module)
    return module


def test_a_criterion_may_be_a_function_an_instance_a_class_or_a_place(module_of_mine):
    subject = subject_of(nn.Linear(3, 2))
    weight = subject.model.weight.detach()
    for criterion in (signed, "criteria_of_mine:signed"):
        assert torch.equal(score(subject, criterion)["weight"], weight)
    for criterion in (Power, Power(2.0), "criteria_of_mine:Power"):
        assert torch.equal(score(subject, criterion)["weight"], weight.square())


@pytest.mark.parametrize("criterion", [3, None, "criteria_of_mine:number"])
def test_what_cannot_be_called_is_refused(criterion, module_of_mine):
    with pytest.raises(ArgumentError, match=r"a criterion is a function of a Subject, got"):
        resolve_criterion(criterion)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"no criterion is named 'magnitud': there are .*; did you mean 'magni"):
        resolve_criterion("magnitud")
    with pytest.raises(ArgumentError, match=r"no such module"):
        resolve_criterion("no_such_module_of_mine:thing")


# --- scores that cannot be ranked ---


def nan(subject):
    return {name: weight * float("nan") for name, weight in subject.weights().items()}


def infinite(subject):
    return {name: weight.masked_fill(weight > 0, float("inf")) for name, weight in subject.weights().items()}


def transposed(subject):
    return {name: weight.T for name, weight in subject.weights().items()}


def counted(subject):
    return {name: weight.int() for name, weight in subject.weights().items()}


def listed(subject):
    return {name: weight.tolist() for name, weight in subject.weights().items()}


def nothing(subject):
    return None


def too_few(subject):
    return {}


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        (nan, "'nan' gave 6 scores of 'weight' that are NaN or infinite"),
        (infinite, "'infinite' gave [1-6] scores"),
        (transposed, r"float tensor of shape \(2, 3\), got torch.float32 \(3, 2\)"),
        (counted, "got torch.int32"),
        (listed, "got list"),
        (nothing, "must return one score tensor for each"),
        (too_few, "must return one score tensor for each"),
    ],
)
def test_scores_that_cannot_be_ranked_are_refused(criterion, message):
    model = nn.Linear(3, 2)
    nn.init.uniform_(model.weight, -1, 1)
    with torch.no_grad():
        model.weight[0, 0] = 1.0
    with pytest.raises(ScoreError, match=message):
        score(subject_of(model), criterion)
    with pytest.raises(ScoreError, match=message):
        prunus.prune(model, 0.5, criterion=criterion)


def test_nan_weights_cannot_be_ranked_by_magnitude():
    model = nn.Linear(3, 2)
    nn.init.constant_(model.weight, float("nan"))
    with pytest.raises(ScoreError, match=r"look for such weights"):
        prunus.prune(model, 0.5)


# --- no trace, whatever the criterion does ---


class Counting(nn.Module):
    """Normalises, drops out, and keeps a buffer that every forward pass replaces."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, inputs):
        self.calls = self.calls + 1
        return self.drop(self.norm(self.linear(inputs)))


def rude(subject):
    """Does to the model what a careless criterion might."""
    subject.model.eval()
    subject.model(torch.ones(2, 3))
    subject.model.train()
    subject.model(torch.ones(2, 3))
    sum(weight.square().sum() for weight in subject.model.parameters()).backward()
    torch.manual_seed(99)
    with torch.no_grad():
        for weight in subject.model.parameters():
            weight.data.zero_()
            weight.requires_grad_(False)
    subject.model.linear.weight = nn.Parameter(torch.zeros(4, 3))
    return {name: torch.ones_like(weight) for name, weight in subject.parameters.items()}


def state(model):
    return (
        {name: (id(value), value.clone()) for name, value in [*model.named_parameters(), *model.named_buffers()]},
        {name: (id(p.grad), None if p.grad is None else p.grad.clone()) for name, p in model.named_parameters()},
        [module.training for module in model.modules()],
        [weight.requires_grad for weight in model.parameters()],
        torch.get_rng_state(),
    )


def assert_same(before, after):
    for ours, theirs in zip(before[:2], after[:2], strict=True):
        assert ours.keys() == theirs.keys()
        for name, (identity, value) in ours.items():
            assert identity == theirs[name][0], name
            assert value is theirs[name][1] is None or torch.equal(value, theirs[name][1]), name
    assert before[2:4] == after[2:4]
    assert torch.equal(before[4], after[4])


def failing(subject):
    rude(subject)
    raise ValueError("mine")


@pytest.mark.parametrize("criterion", [rude, failing, "gradient-weight"])
def test_scoring_leaves_no_trace(criterion):
    model = Counting()
    model.drop.eval()
    model.linear.weight.grad = torch.ones(4, 3)
    subject = subject_of(model, batches=[(torch.randn(4, 3), torch.randint(4, (4,)))])
    before = state(model)
    if criterion is failing:
        with pytest.raises(ValueError, match=r"mine"):
            score(subject, criterion)
    else:
        score(subject, criterion)
    assert_same(before, state(model))


def test_a_graph_that_the_caller_holds_stays_valid():
    model = Counting()
    loss = model(torch.randn(4, 3)).square().sum()
    score(subject_of(model, batches=[(torch.randn(4, 3), torch.randint(4, (4,)))]), "gradient-weight")
    loss.backward()
    assert model.linear.weight.grad is not None


def in_place(subject):
    return {name: weight.abs_() for name, weight in subject.weights().items()}


def test_scores_share_no_memory_with_the_model():
    model = nn.Linear(3, 2)
    before = model.weight.detach().clone()
    scores = score(subject_of(model), in_place)
    assert torch.equal(model.weight, before)
    assert torch.equal(scores["weight"], before.abs())
    scores = score(subject_of(model), signed)
    with torch.no_grad():
        model.weight.zero_()
    assert torch.equal(scores["weight"], before)
