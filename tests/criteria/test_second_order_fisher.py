"""Fisher, WoodFisher and GraSP."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from prunus.allocation.technique import Technique
from prunus.criteria.curvature import see_gradients
from prunus.criteria.grasp import GraSP
from prunus.criteria.scoring import score
from prunus.criteria.subject import Subject
from prunus.criteria.woodfisher import WoodFisher
from prunus.masks.masks import Masks
from prunus.masks.scope import Scope


def classifier(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    batches = [(torch.randn(size, 4).double(), torch.randint(3, (size,))) for size in (9, 4)]
    return Subject(model, Scope().parameters(model), batches)


# --- Fisher and WoodFisher ---


def test_fisher_agrees_with_finite_differences_of_each_examples_loss():
    subject = classifier()
    scores = score(subject, "fisher")
    for name, weight in subject.parameters.items():
        flat = weight.detach().view(-1)
        for place in range(0, flat.numel(), 4):
            value = flat[place].item()
            losses = []
            for shift in (1e-6, -1e-6):
                flat[place] = value + shift
                with torch.no_grad():
                    losses.append(
                        torch.cat([cross_entropy(subject.model(x), t, reduction="none") for x, t in subject.batches])
                    )
            flat[place] = value
            slope = (losses[0] - losses[1]) / 2e-6
            expected = value**2 / 2 * float(slope.square().mean())
            assert float(scores[name].view(-1)[place]) == pytest.approx(expected, rel=1e-5, abs=1e-12)


def test_frozen_and_compiled_models_have_the_same_gradients():
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    batches = [(torch.randn(4, 4), torch.randint(3, (4,)))]
    expected = {
        name: score(Subject(model, Scope().parameters(model), batches), name)
        for name in ("fisher", "grasp", "woodfisher")
    }
    whole = torch.compile(model, backend="eager").requires_grad_(False)
    in_part = nn.Sequential(torch.compile(model[0], backend="eager"), *model[1:])
    for compiled in (whole, in_part):
        for name, scores in expected.items():
            torch.testing.assert_close(
                dict(score(Subject(compiled, Scope().parameters(compiled), batches), name)), dict(scores)
            )


def woodbury(rows, damping, count):
    """The published recursion."""
    inverse = torch.eye(rows.shape[1]).double() / damping
    for row in rows:
        step = inverse @ row
        inverse -= torch.outer(step, step) / (count + row @ step)
    return inverse


@settings(max_examples=12)
@given(st.integers(1, 30), st.sampled_from([1e-6, 1e-3, 1.0]), st.integers(0, 100), st.randoms(use_true_random=False))
def test_woodfisher_is_the_published_recursion_block_by_block(size, damping, seed, random):
    subject = classifier(seed)
    criterion = WoodFisher(size, damping)
    scores = score(subject, criterion)
    seen = {name: [] for name in subject.parameters}
    see_gradients(subject, lambda gradients: [seen[name].append(gradients[name].flatten(1)) for name in seen])
    masks = Masks({name: torch.tensor([[random.random() < 0.5 for _ in r] for r in w]) for name, w in scores.items()})
    _, updated = criterion.reconstruct(subject, masks, "weight")
    for name, weight in subject.parameters.items():
        rows, flat, kept = torch.cat(seen[name]), weight.detach().flatten(), masks[name].flatten()
        count = -(-flat.numel() // size)
        for places in torch.arange(flat.numel()).split(-(-flat.numel() // count)):
            inverse = woodbury(rows[:, places], damping, len(rows))
            expected = flat[places].square() / (2 * inverse.diagonal())
            torch.testing.assert_close(scores[name].flatten()[places], expected, rtol=1e-6, atol=1e-12)
            after, gone = flat[places].clone(), (~kept[places]).nonzero().flatten()
            if len(gone):
                after -= inverse[:, gone] @ torch.linalg.solve(inverse[gone][:, gone], after[gone])
            after[gone] = 0.0
            torch.testing.assert_close(updated[name].flatten()[places], after, rtol=1e-6, atol=1e-9)


def test_what_is_zero_already_does_not_make_up_for_anything():
    subject = classifier()
    with torch.no_grad():
        subject.model[0].weight[:, 1] = 0.0
    scores = score(subject, WoodFisher(20))
    masks = Masks({name: value != 0 for name, value in scores.items()})
    _, updated = WoodFisher(20).reconstruct(subject, masks, "weight")
    for name, weight in subject.parameters.items():
        torch.testing.assert_close(updated[name], weight.detach())
    narrow = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    narrow.load_state_dict(subject.model.state_dict() | {"0.weight": subject.model[0].weight.detach()[:, [0, 2, 3]]})
    batches = [(x[:, [0, 2, 3]], t) for x, t in subject.batches]
    other = score(Subject(narrow, Scope().parameters(narrow), batches), WoodFisher(20))
    torch.testing.assert_close(scores["0.weight"][:, [0, 2, 3]], other["0.weight"])


# --- GraSP ---


def gradient_flow(subject, temperature):
    """½‖g‖² of the weights in scope."""
    inputs, targets = (torch.cat(parts) for parts in zip(*subject.batches, strict=True))
    loss = cross_entropy(subject.model(inputs) / temperature, targets)
    return sum(float(g.square().sum()) / 2 for g in torch.autograd.grad(loss, list(subject.parameters.values())))


@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_grasp_is_how_much_gradient_flow_falls_as_a_weight_shrinks(temperature):
    subject = classifier()
    scores = score(subject, GraSP(temperature))
    for name, weight in subject.parameters.items():
        flat = weight.detach().view(-1)
        for place in range(0, flat.numel(), 3):
            value = flat[place].item()
            flows = []
            for factor in (1 + 1e-5, 1 - 1e-5):
                flat[place] = value * factor
                flows.append(gradient_flow(subject, temperature))
            flat[place] = value
            expected = (flows[0] - flows[1]) / 2e-5
            assert float(scores[name].view(-1)[place]) == pytest.approx(expected, rel=1e-4, abs=1e-14)


def test_grasp_removes_what_raises_gradient_flow_most():
    subject = classifier()
    before = gradient_flow(subject, 1.0)
    masks = Technique(GraSP(1.0)).allocate(subject, 1 / 35).masks
    masks.apply(subject.model)
    assert gradient_flow(subject, 1.0) > before


@pytest.mark.parametrize("training", [True, False])
def test_grasp_looks_at_the_model_in_the_mode_in_which_it_is(training):
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).double().train(training)
    subject = Subject(model, Scope().parameters(model), [(torch.randn(6, 4).double() + 1, torch.randint(3, (6,)))])
    scores = score(subject, GraSP(1.0))
    weights = list(subject.parameters.values())
    loss = cross_entropy(model(subject.batches[0][0]), subject.batches[0][1])
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    products = torch.autograd.grad(sum((g * g.detach()).sum() for g in gradients), weights)
    for found, weight, product in zip(scores.values(), weights, products, strict=True):
        torch.testing.assert_close(found, (weight * product).detach())
