from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prunus.errors import HistoryError
from prunus.history.encoding import decode, encode
from prunus.history.migrations import MIGRATIONS
from prunus.history.records import SCHEMA, ExperimentRecord, Pruning, RunRecord, StateRecord, TensorCount
from prunus.outcomes import ClassOutcome, Cost, SplitOutcome

text = st.text(max_size=8)
number = st.floats(allow_nan=False)
whole = st.integers(0, 2**70)
ids = st.from_regex(r"[0-9a-f]{4,12}", fullmatch=True)
digests = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
times = st.datetimes().map(lambda time: time.isoformat())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
free = st.dictionaries(text, json_values, max_size=3)


def tuples(items):
    return st.lists(items, max_size=3).map(tuple)


classes = st.builds(lambda name, pair: ClassOutcome(name, max(*pair, 1), min(pair)), text, st.tuples(whole, whole))
splits = st.builds(SplitOutcome, number, number, tuples(classes), tuples(classes))
costs = st.builds(Cost, whole, whole, st.none() | whole, whole, whole, st.integers(1), st.integers(1))
counts = st.builds(
    lambda shape, pair: TensorCount(shape, min(pair), max(*pair, 1)), tuples(whole), st.tuples(whole, whole)
)
steps = st.builds(
    Pruning, text, text, text, text, whole, whole, number, number, st.dictionaries(text, counts), tuples(text), whole
)
runs = st.builds(
    RunRecord, ids, text, free, free, free, whole, st.dictionaries(text, whole), tuples(number), whole, times, free
)
experiments = st.builds(ExperimentRecord, ids, text, free, tuples(text), times)
states = st.builds(
    lambda step, fields: StateRecord(kind="pruned" if step else "trained", pruning=step, **fields),
    st.none() | steps,
    st.fixed_dictionaries(
        {
            "id": ids,
            "run": ids,
            "parent": st.none() | ids,
            "position": st.integers(0, 9999),
            "retraining": st.none() | text,
            "validation": st.none() | splits,
            "test": st.none() | splits,
            "cost": st.none() | costs,
            "weights": digests,
            "masks": st.none() | digests,
            "training_loss": tuples(number),
            "created": times,
            "seconds": number,
        }
    ),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(runs | states | experiments)
def test_every_record_comes_back_as_it_was(record):
    assert decode(type(record), encode(record), "file") == record


def test_a_loss_that_is_not_a_number_comes_back_as_one(make):
    diverged = make.state(make.run(), validation=make.outcome(9, loss=math.nan), training_loss=(math.inf, -math.inf))
    data = encode(diverged)
    assert b"NaN" not in data  # it would not be JSON
    found = decode(StateRecord, data, "file")
    assert math.isnan(found.validation.loss)
    assert found.training_loss == (math.inf, -math.inf)


def changed(record, **fields):
    content = json.loads(encode(record))
    content["record"] |= fields
    return json.dumps(content)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sedes": 1}, r"file is damaged: has the unknown field 'sedes'"),
        ({"position": "3"}, r"position must be a whole number, got '3'"),
        ({"position": True}, r"position must be a whole number, got True"),
        ({"position": -1}, r"position -1"),
        ({"seconds": None}, r"seconds must be a number, got None"),
        ({"seconds": 10**400}, r"seconds must be a number"),
        ({"seconds": "fast"}, r"seconds must be a number, got 'fast'"),
        ({"training_loss": [1.0, "x"]}, r"training_loss.1 must be a number, got 'x'"),
        ({"training_loss": "x"}, r"training_loss must be a list"),
        ({"validation": []}, r"validation must be an object"),
        ({"validation": {"loss": 1.0}}, r"validation lacks the field 'accuracy', 'classes', 'groups'"),
        ({"parent": 3}, r"parent must be text"),
        ({"id": "../../etc"}, r"'../../etc', which cannot be part of a file's name"),
        ({"weights": "abc"}, r"weights 'abc', which is no digest"),
        ({"kind": "frozen"}, r"kind 'frozen': it must be 'initial', 'trained' or 'pruned'"),
        ({"kind": "trained"}, r"is trained, but has a pruning step"),
        ({"pruning": None}, r"is pruned, but has no pruning step"),
        ({"created": "yesterday"}, r"time 'yesterday': it must be ISO 8601"),
    ],
)
def test_a_field_that_is_not_as_it_must_be_is_named(make, fields, message):
    with pytest.raises(HistoryError, match=message):
        decode(StateRecord, changed(make.state(make.run()), **fields), "file")


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (ClassOutcome("7", 0, 0), "validation.classes.0 says that class '7' has no examples"),
        (ClassOutcome("7", 3, 4), "says that 4 of 3 examples of class '7' are right"),
    ],
)
def test_a_class_whose_accuracy_cannot_be_told_is_refused(make, outcome, message):
    with pytest.raises(HistoryError, match=message):
        encode(make.state(make.run(), validation=SplitOutcome(0.1, 0.5, (outcome,))))


def test_a_file_without_bytes_and_an_empty_tensor_are_refused(make):
    with pytest.raises(HistoryError, match="cost says that a file has no bytes"):
        encode(make.state(make.run(), cost=make.cost(size=0)))
    step = replace(make.pruning(), tensors={"fc": TensorCount((0,), 0, 0)})
    with pytest.raises(HistoryError, match=r"pruning\.tensors\.fc says that 0 of 0 stay"):
        encode(make.state(make.run(), pruning=step))


def test_an_initialisation_has_no_parent(make):
    with pytest.raises(HistoryError, match="is an initialisation, but has a parent"):
        encode(make.state(make.run(), kind="initial", parent="abc"))


@pytest.mark.parametrize("missing", ["environment", "seeds", "created"])
def test_a_missing_field_is_named_even_if_it_has_a_default(make, missing):
    content = json.loads(encode(make.run()))
    del content["record"][missing]
    with pytest.raises(HistoryError, match=f"file is damaged: lacks the field '{missing}'"):
        decode(RunRecord, json.dumps(content), "file")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "file is damaged: it is not JSON"),
        (b"{", "it is not JSON: .*; take it from a copy of the history, or remove it"),
        (b"\xff\xfe", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b'{"a": NaN}', "it is not JSON"),
        (b"[]", "an object of kind, schema and record"),
        (b'{"kind": "run", "schema": 1}', "an object of kind, schema and record"),
        (b'{"kind": "state", "schema": 1, "record": {}}', "must hold a run, not 'state'"),
        (b'{"kind": "run", "schema": 1, "record": []}', "the record must be an object"),
        (b'{"kind": "run", "schema": "1", "record": {}}', "must be a whole number, got '1'"),
        (
            b'{"kind": "run", "schema": 99, "record": {}}',
            "schema version 99, this prunus reads up to .*: update prunus",
        ),
        (b'{"kind": "run", "schema": -5, "record": {}}', "schema version -5, which this prunus no longer reads"),
    ],
)
def test_what_is_no_record_is_refused_by_name(data, message):
    with pytest.raises(HistoryError, match=message):
        decode(RunRecord, data, "file")


@pytest.mark.parametrize("value", [math.nan, {1, 2}, numpy.int64(3), b"bytes"])
def test_settings_that_are_not_json_are_refused_when_they_come(make, value):
    with pytest.raises(HistoryError, match="its settings must be plain JSON values"):
        encode(make.run(settings={"value": value}))


def test_a_field_of_a_wrong_type_is_refused_when_it_comes(make):
    with pytest.raises(HistoryError, match=r"the run '.*' cannot be recorded: seed must be a whole number, got 1\.0"):
        encode(make.run(seed=1.0))


def test_a_record_of_an_older_schema_is_migrated_step_by_step(make, monkeypatch):
    def first(kind, fields):
        return {
            **{name: value for name, value in fields.items() if name != "random"},
            "seed": fields["random"],
            "x": kind,
        }

    def second(kind, fields):
        assert fields.pop("x") == kind
        return fields

    monkeypatch.setitem(MIGRATIONS, SCHEMA - 2, first)
    monkeypatch.setitem(MIGRATIONS, SCHEMA - 1, second)
    content = json.loads(encode(make.run(seed=5)))
    content["record"]["random"] = content["record"].pop("seed")
    content["schema"] = SCHEMA - 2
    assert decode(RunRecord, json.dumps(content), "file") == make.run(seed=5, id=content["record"]["id"])


def test_every_older_schema_has_its_migration():
    assert sorted(MIGRATIONS) == list(range(1, SCHEMA))


@pytest.mark.parametrize("with_cost", [True, False])
def test_states_that_were_recorded_before_votes_and_effective_weights_were_are_read(make, with_cost):
    state = make.state(make.run(), **({} if with_cost else {"cost": None}))
    content = json.loads(encode(state))
    content["schema"] = 2
    del content["record"]["voters"]
    if with_cost:
        del content["record"]["cost"]["effective_kept"]
    assert decode(StateRecord, json.dumps(content), "file") == state


def test_effective_sparsity_is_of_all_weights_in_scope_and_unknown_where_they_were_not_counted(make):
    tensors = {"a": TensorCount((2, 4), 5, 8), "b": TensorCount((2, 1), 2, 2)}
    step = replace(make.pruning(), tensors=tensors)
    run = make.run()
    assert make.state(run, pruning=step, cost=replace(make.cost(), effective_kept=4)).effective_sparsity == 0.6
    assert make.state(run, pruning=step, cost=replace(make.cost(), effective_kept=0)).effective_sparsity == 1
    assert make.state(run, pruning=step).effective_sparsity is None
    assert make.state(run, pruning=step, cost=None).effective_sparsity is None
    assert make.state(run, kind="trained", cost=replace(make.cost(), effective_kept=4)).effective_sparsity is None
