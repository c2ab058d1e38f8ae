"""Every pattern and every budget, in recipes on real data: digits as images, and as text for a transformer."""

from __future__ import annotations

import pytest
import torch

from prunus.allocation.budgets.table import BUDGETS
from prunus.masks.pattern_names import PATTERNS
from prunus.masks.storage import masks_from_bytes

IMAGES = {"data": "digits", "model": "conv-2"}
ONCE = {"retrain": "none"}
OF_IMAGES = ["weight", "row", "column", "kernel", "channel", "layer", "module:*", "block:2x2", "2:4"]
ATTENTION = {"include": ["*.attention"]}
OF_TEXT = ["head", "module:blocks.*.attention", "channel", "1:4"]


@pytest.fixture
def masks(on_digits):
    """Run techniques once; name of each that they stand for → its masks."""

    def run(task, sparsity, *techniques):
        plan = {"training": {"epochs": 1, "batch_size": 100}, "task": task, "sparsities": [sparsity]}
        found = on_digits(*({**ONCE, **technique} for technique in techniques), **plan)
        del found["dense"]
        return {name: masks_from_bytes(made.history.blobs.get(made.record.masks)) for name, [made] in found.items()}

    return run


def test_every_pattern_removes_wholes_of_its_kind_at_half_of_the_weights(masks):
    found = masks(IMAGES, 0.5, {"each": {"pattern": OF_IMAGES}, "exclude": ["conv1", "fc3"]})
    by = {pattern: next(each for name, each in found.items() if f", {pattern}," in name) for pattern in OF_IMAGES[1:]}
    assert len(found) == len(OF_IMAGES)
    assert by["2:4"].sparsity == 0.5
    convolution = {pattern: found["conv2.weight"] for pattern, found in by.items()}
    for pattern, dimensions in (("kernel", (2, 3)), ("channel", (1, 2, 3)), ("column", (0, 2, 3))):
        whole = convolution[pattern].float().mean(dimensions)
        assert set(whole.unique().tolist()) <= {0.0, 1.0}, pattern
    same = (by["row"], by["channel"]), (by["layer"], by["module:*"])  # in layers without anything special
    assert all(first == second for first, second in same)
    assert len({each.digest() for each in found.values()}) == len(found) - len(same)


def test_heads_go_over_query_key_value_and_output(masks):
    [head] = masks("pixeltask:task", 0.5, {"pattern": "head", "scope": "layer", **ATTENTION}).values()
    for block in ("blocks.0.attention", "blocks.1.attention"):
        kept = head[f"{block}.query.weight"].any(1)
        assert int(kept.sum()) == 16
        for name in ("query", "key", "value"):
            assert torch.equal(head[f"{block}.{name}.weight"], kept[:, None].expand(32, 32))
        assert torch.equal(head[f"{block}.output.weight"], kept[None].expand(32, 32))


def test_patterns_of_a_transformer_run(masks):
    for pattern in OF_TEXT:
        sparsity, scope = (0.75, {}) if pattern == "1:4" else (0.5, ATTENTION)
        [found] = masks("pixeltask:task", sparsity, {"pattern": pattern, **scope}).values()
        assert found.sparsity == sparsity, pattern


def test_every_budget_shares_out_what_is_asked_for(masks):
    shared = [name for name, entry in BUDGETS.items() if entry.target.startswith("prunus.")]
    rates = {"budget": "rates", "budget_settings": {"layers": {"fc3": 0.1}}}
    each = {"budget": [name for name in shared if name not in ("owl", "rates")]}
    found = masks(IMAGES, 0.6, {"each": each, "calibration_examples": 100}, rates)
    assert len(found) == len(shared) - 1 == len({each.digest() for each in found.values()})
    for name, each in found.items():
        assert "flops" in name or each.removed == round(0.6 * each.total), name
    [owl] = masks("pixeltask:task", 0.6, {"criterion": "wanda", "budget": "owl"}).values()
    assert owl.sparsity == pytest.approx(0.6, abs=1e-3)
    assert len({round(sparsity, 3) for sparsity in owl.sparsities.values()}) > 1


def test_all_patterns_are_run_here():
    run_here = {pattern.partition(":")[0] if pattern[0].isalpha() else "N:M" for pattern in (*OF_IMAGES, *OF_TEXT)}
    assert run_here == {name.partition(":")[0] if name[0].islower() else name for name in PATTERNS}
