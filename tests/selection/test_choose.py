from __future__ import annotations

import math
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from prunus.errors import ArgumentError, SelectionError, UnknownNameError
from prunus.selection.choose import choose
from prunus.selection.constraints import Constraint, parse_constraints
from prunus.selection.metrics import METRICS, metric_named


def test_constraints_are_parsed_from_their_written_form():
    assert parse_constraints({"sparsity_at_least": 0.9, "worst_class_drop_at_most": 0}) == (
        Constraint("sparsity", "at_least", 0.9),
        Constraint("worst_class_drop", "at_most", 0.0),
    )


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_can_be_constrained_from_both_sides(name):
    parsed = parse_constraints({f"{name}_at_least": 0.5, f"{name}_at_most": 0.75})
    assert [constraint.key for constraint in parsed] == [f"{name}_at_least", f"{name}_at_most"]


def test_every_metric_has_its_own_name_and_a_direction():
    assert all(METRICS[name].name == name and METRICS[name].better in ("higher", "lower") for name in METRICS)
    assert metric_named("accuracy") is METRICS["accuracy"]


@pytest.mark.parametrize(
    ("limits", "error", "message"),
    [
        (
            {"sparsity": 0.9},
            ArgumentError,
            "'<metric>_at_least' or '<metric>_at_most', got 'sparsity'.*metrics are",
        ),
        ({"sparsty_at_least": 0.9}, UnknownNameError, "no metric is named 'sparsty'.*did you mean 'sparsity'"),
        ({"sparsity_at_least": 90}, ArgumentError, r"\[0, 1\), got 90: it is a fraction removed, not a percentage"),
        ({"sparsity_at_least": -0.1}, ArgumentError, "got -0.1: it is a fraction removed"),
        ({"sparsity_at_most": 1.0}, ArgumentError, "got 1: it is a fraction removed"),
        ({"accuracy_at_least": 95}, ArgumentError, "accuracy_at_least must lie in .*got 95: it is a fraction"),
        ({"sparsity_at_least": math.nan}, ArgumentError, "must be a finite number, got nan"),
        ({"loss_at_most": math.inf}, ArgumentError, "must be a finite number, got inf"),
        ({"loss_at_most": "low"}, ArgumentError, "must be a finite number, got 'low'"),
        ({"loss_at_most": True}, ArgumentError, "must be a finite number, got True"),
    ],
)
def test_a_malformed_constraint_is_refused_with_what_is_allowed(limits, error, message):
    with pytest.raises(error, match=message):
        parse_constraints(limits)


def test_the_best_that_satisfies_the_constraints_is_chosen(candidate):
    dense = candidate("dense", 0.0, accuracy=0.99)
    kind = candidate("kind", 0.9, accuracy=0.96, worst_class_drop=0.01)
    harsh = candidate("harsh", 0.9, accuracy=0.97, worst_class_drop=0.05)
    limits = parse_constraints({"sparsity_at_least": 0.9, "worst_class_drop_at_most": 0.02})
    assert choose([dense, harsh, kind], "accuracy", limits).candidate is kind
    assert choose([dense, harsh, kind], "accuracy", limits[:1]).candidate is harsh
    assert choose([dense, harsh, kind], "accuracy").candidate is dense


def test_a_metric_that_should_be_low_is_minimised(candidate):
    large, small = candidate("large", 0.5, size_bytes=100), candidate("small", 0.9, size_bytes=10)
    assert choose([large, small], "size_bytes").candidate is small


def test_test_values_take_no_part_in_choosing_and_are_what_is_reported(candidate):
    lucky = candidate("lucky", 0.9, accuracy=[0.8, 0.8], reporting={"accuracy": [1.0, 1.0]})
    sound = candidate("sound", 0.9, accuracy=[0.9, 0.9], reporting={"accuracy": [0.5, 0.7]})
    choice = choose([lucky, sound], "accuracy")
    assert choice.candidate is sound
    assert choice.reported["accuracy"].mean == pytest.approx(0.6)
    assert choice.reported.keys() == METRICS.keys()


def test_of_equals_the_sparser_is_taken_then_the_first_by_name(candidate):
    # Both means are 0.83 up to the last digit, which rounding alone decides.
    rounded = candidate("c", 0.9, accuracy=[0.8, 0.81, 0.88])
    exact = candidate("b", 0.9, accuracy=[0.83, 0.83, 0.83])
    assert sum(rounded.choosing("accuracy")) / 3 > 0.83
    dense = candidate("a", 0.8, accuracy=[0.83, 0.83, 0.83])
    for order in ([dense, exact, rounded], [rounded, exact, dense]):
        assert choose(order, "accuracy").candidate is exact


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(-0.1, 0.1), st.sampled_from([0.5, 0.9])), min_size=1, max_size=6),
    st.floats(-0.1, 0.1),
)
def test_the_choice_is_what_brute_force_finds(candidate, values, limit):
    candidates = [
        candidate(f"t{index}", sparsity, accuracy=accuracy, worst_class_drop=drop)
        for index, (accuracy, drop, sparsity) in enumerate(values)
    ]
    ceiling = Constraint("worst_class_drop", "at_most", limit)
    allowed = [accuracy for accuracy, drop, sparsity in values if sparsity == 0.9 and ceiling.met_by(drop)]
    limits = parse_constraints({"sparsity_at_least": 0.9, "worst_class_drop_at_most": limit})
    if allowed:
        chosen = choose(candidates, "accuracy", limits).candidate
        assert chosen.choosing("accuracy")[0] == pytest.approx(max(allowed), abs=1e-12)
    else:
        with pytest.raises(SelectionError):
            choose(candidates, "accuracy", limits)


@given(
    st.lists(st.tuples(st.floats(0, 0.9), st.floats(-0.5, 0.5), st.floats(1, 1e7)), min_size=1, max_size=5),
    st.floats(0, 0.99),
    st.floats(-0.5, 0.5),
    st.floats(1, 1e7),
)
def test_what_a_refusal_says_would_pass_does_pass(candidate, values, sparsity, drop, size):
    candidates = [
        candidate(f"t{index}", reached, worst_class_drop=lost, size_bytes=size)
        for index, (reached, lost, size) in enumerate(values)
    ]
    limits = {"sparsity_at_least": sparsity, "worst_class_drop_at_most": drop, "size_bytes_at_most": size}
    refusal = message_of(lambda: choose(candidates, "accuracy", parse_constraints(limits)))
    assume(refusal)
    loosened = {key: float(limit) for key, limit in re.findall(r"(\w+)=([-+.e\d]+)", refusal.partition("it passes")[2])}
    assert loosened
    assert choose(candidates, "accuracy", parse_constraints(limits | loosened)).candidate in candidates


def message_of(call):
    try:
        call()
    except SelectionError as error:
        return str(error)
    return None


def test_a_refusal_names_the_nearest_candidate_what_it_misses_and_what_would_let_it_pass(candidate):
    near = candidate("magnitude", 0.9, worst_class_drop=[0.03, 0.0321])
    far = candidate("random", 0.9, worst_class_drop=[0.3, 0.3])
    sparse = candidate("magnitude", 0.5, worst_class_drop=[0.5, 0.5])
    limits = parse_constraints({"sparsity_at_least": 0.9, "worst_class_drop_at_most": 0.02})
    with pytest.raises(SelectionError) as refusal:
        choose([far, sparse, near], "accuracy", limits)
    assert str(refusal.value) == (
        "no candidate satisfies sparsity ≥ 0.9 and worst_class_drop ≤ 0.02; the nearest is magnitude at sparsity 0.9, "
        "judged on the validation mean of 2 seeds: its worst_class_drop is 0.03105, the limit at most 0.02; "
        "it passes with worst_class_drop_at_most=0.03105"
    )


def test_fewer_missed_constraints_are_nearer_than_a_smaller_miss(candidate):
    one = candidate("one", 0.9, worst_class_drop=0.9)
    two = candidate("two", 0.8999 - 0.002, worst_class_drop=0.0201)
    limits = parse_constraints({"sparsity_at_least": 0.9, "worst_class_drop_at_most": 0.02})
    with pytest.raises(SelectionError, match="the nearest is one"):
        choose([two, one], "accuracy", limits)


def test_the_dense_model_is_nearest_only_where_nothing_is_pruned(candidate):
    dense = candidate("dense", 0.0)
    pruned = candidate("pruned", 0.9, worst_class_drop=0.9)
    limits = parse_constraints({"sparsity_at_least": 0.9, "worst_class_drop_at_most": 0.02})
    with pytest.raises(SelectionError, match="the nearest is pruned"):
        choose([dense, pruned], "accuracy", limits)
    with pytest.raises(SelectionError, match="the nearest is dense"):
        choose([dense], "accuracy", limits)


def test_no_candidates_at_all_are_answered_with_what_to_do():
    with pytest.raises(SelectionError, match="run a recipe"):
        choose([], "accuracy")


def test_an_unknown_objective_is_refused(candidate):
    with pytest.raises(UnknownNameError, match="did you mean 'accuracy'"):
        choose([candidate("any", 0.5)], "acuracy")


@pytest.mark.parametrize(
    ("requested", "reached", "passes"),
    [
        (0.9, 0.8999, True),  # whole weights
        (0.9, 0.89, False),  # protection, or a pattern, kept more
        (0.8999, 0.9, True),
        (0.89, 0.91, True),
        (0.899, 0.899, False),
    ],
)
def test_whole_weights_do_not_cost_a_requested_sparsity(candidate, requested, reached, passes):
    found = candidate("any", requested, sparsity=reached)
    limits = parse_constraints({"sparsity_at_least": 0.9})
    if passes:
        assert choose([found], "accuracy", limits).candidate is found
    else:
        with pytest.raises(SelectionError, match=r"sparsity_at_least=0\.8"):
            choose([found], "accuracy", limits)


def test_a_limit_that_is_met_up_to_rounding_is_met(candidate):
    drop, accuracy = 0.98 - 0.96, 0.7 - 0.4
    assert drop > 0.02
    assert accuracy < 0.3
    limits = parse_constraints({"accuracy_drop_at_most": 0.02, "accuracy_at_least": 0.3})
    found = candidate("any", 0.9, accuracy_drop=drop, accuracy=accuracy)
    assert choose([found], "accuracy", limits).candidate is found


def test_a_candidate_of_unknown_value_neither_passes_nor_wins(candidate):
    diverged = candidate("diverged", 0.9, accuracy=[0.9, math.nan], worst_class_drop=math.nan, loss=math.nan)
    sound = candidate("sound", 0.9, accuracy=[0.5, 0.5], loss=1.0)
    assert choose([diverged, sound], "accuracy").candidate is sound
    assert choose([diverged, sound], "loss").candidate is sound
    with pytest.raises(SelectionError, match=r"worst_class_drop is unknown.*leave that constraint out or run again"):
        choose([diverged], "accuracy", parse_constraints({"worst_class_drop_at_most": 0.02}))
    with pytest.raises(SelectionError, match=r"the accuracy of diverged at sparsity 0\.9 is unknown"):
        choose([diverged], "accuracy")


def test_the_model_to_ship_is_the_best_seed_that_satisfies_the_constraints_by_itself(candidate):
    found = candidate("any", 0.9, accuracy=[0.90, 0.99, 0.95], worst_class_drop=[0.0, 0.05, 0.01])
    limits = parse_constraints({"worst_class_drop_at_most": 0.02})
    choice = choose([found], "accuracy", limits)
    assert (choice.replicate.seed, choice.missed) == (2, ())


def test_a_shipped_model_that_misses_a_constraint_by_itself_says_so(candidate):
    found = candidate("any", 0.9, accuracy=[0.9, 0.8], loss=[0.0, 0.0], worst_class_drop=[0.5, -0.5])
    limits = parse_constraints({"accuracy_at_least": 0.85, "worst_class_drop_at_most": 0.02})
    choice = choose([found], "accuracy", limits)
    assert choice.replicate.seed == 0
    assert choice.missed == limits[1:]


def test_of_equal_seeds_the_first_ships(candidate):
    assert choose([candidate("any", 0.9, accuracy=[0.9, 0.9])], "accuracy").replicate.seed == 0


def test_a_candidate_that_lacks_seeds_gives_way_to_a_complete_one(candidate):
    lucky = candidate("lucky", 0.9, accuracy=[0.95])
    complete = candidate("complete", 0.9, accuracy=[0.95, 0.93, 0.94])
    assert choose([lucky, complete], "accuracy").candidate == complete
    assert choose([lucky], "accuracy").candidate == lucky


def test_of_candidates_equally_near_the_best_by_the_metric_is_named(candidate):
    poor = candidate("a poor one", 0.9, accuracy=[0.5, 0.5])
    good = candidate("good", 0.9, accuracy=[0.9, 0.9])
    with pytest.raises(SelectionError, match="the nearest is good at sparsity"):
        choose([poor, good], "accuracy", parse_constraints({"sparsity_at_least": 0.99}))
