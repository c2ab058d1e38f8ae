from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as load_tensors
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from prunus.errors import ArgumentError, CorruptFileError, FileFormatError
from prunus.files.sealed import RawTensor, seal, unseal
from prunus.trees import load, pack, prune, save, unpack
from prunus.trees.layout import KIND, VERSION

KINDS = [
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
]


def grown(kind, inputs, targets, **parameters):
    if "n_estimators" in kind().get_params():
        parameters |= {"n_estimators": 3}
    return kind(random_state=0, **parameters).fit(inputs, targets)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stored_comes_back_and_prunes_as_before(kind, digits, tmp_path):
    inputs, others, labels, other_labels = digits
    estimator = prune(grown(kind, inputs, labels), sparsity=0.3)
    save(estimator, tmp_path / "trees.safetensors")
    found = load(tmp_path / "trees.safetensors")
    assert type(found) is kind
    assert found.get_params() == estimator.get_params()
    assert np.array_equal(found.predict(others), estimator.predict(others))
    assert np.array_equal(found.feature_importances_, estimator.feature_importances_)
    assert np.array_equal(found.apply(others), estimator.apply(others))
    assert pack(found) == pack(estimator) == (tmp_path / "trees.safetensors").read_bytes()
    again = [prune(each, "reduced-error", validation=(others, other_labels)) for each in (found, estimator)]
    assert pack(again[0]) == pack(again[1])
    trees = [getattr(each, "estimators_", [each]) for each in (found, estimator)]
    assert [pickle.dumps(tree.tree_) for tree in trees[0]] == [pickle.dumps(tree.tree_) for tree in trees[1]]


@settings(max_examples=20)
@given(st.sampled_from(["text", "number", "object", "several"]), st.integers(0, 100))
def test_classes_of_any_kind_come_back(kind, seed):
    random = np.random.RandomState(seed)
    labels = random.randint(0, 3, 20)
    inputs = random.rand(20, 2)
    labels = {
        "text": np.array(["a", "bb", "ccc"])[labels],
        "number": labels * 3.0,
        "object": np.array(["a", "bb", "ccc"], object)[labels],
        "several": np.stack([labels, labels % 2], axis=1),
    }[kind]
    tree = DecisionTreeClassifier(class_weight="balanced" if kind != "several" else None).fit(inputs, labels)
    found = unpack(pack(tree))
    assert np.array_equal(found.predict(inputs), tree.predict(inputs))
    assert repr(found.classes_) == repr(tree.classes_)


def test_names_of_features_and_weights_of_classes_come_back(digits):
    import pandas

    inputs, _, labels, _ = digits
    frame = pandas.DataFrame(inputs[:50, :3], columns=["one", "two", "three"])
    tree = DecisionTreeClassifier(class_weight={0: 2.0, 1: 1}, random_state=0).fit(frame, labels[:50] % 2)
    found = unpack(pack(tree))
    assert found.feature_names_in_.tolist() == ["one", "two", "three"]
    assert found.class_weight == {0: 2.0, 1: 1}
    assert np.array_equal(found.predict(frame), tree.predict(frame))


def test_the_file_is_plain_safetensors_of_the_nodes(digits):
    inputs, _, labels, _ = digits
    forest = grown(RandomForestClassifier, inputs, labels)
    tensors = load_tensors(pack(forest))
    assert tensors["nodes"].tolist() == [tree.tree_.node_count for tree in forest.estimators_]
    assert np.array_equal(tensors["threshold"][: tensors["nodes"][0]], forest.estimators_[0].tree_.threshold)


def test_a_smaller_tree_is_a_smaller_file(digits):
    inputs, _, labels, _ = digits
    tree = grown(DecisionTreeClassifier, inputs, labels)
    assert len(pack(prune(tree, sparsity=0.9))) < 0.2 * len(pack(tree))


@settings(max_examples=60)
@given(st.data())
def test_a_flipped_bit_never_loads(data):
    stored = bytearray(pack(DecisionTreeClassifier().fit([[0], [1], [2]], [0, 1, 0])))
    place = data.draw(st.integers(0, len(stored) - 1))
    stored[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(FileFormatError):
        unpack(bytes(stored))


def forged(estimator, change=lambda arrays: None, say=lambda said: None):
    """The estimator's bytes, changed and sealed anew, as an attacker would."""
    sealed = unseal(pack(estimator), KIND, VERSION)
    arrays = {name: np.array(array) for name, array in load_tensors(pack(estimator)).items()}
    change(arrays)
    said = json.loads(sealed.metadata["trees"])
    say(said)
    tensors = {
        name: RawTensor(sealed.tensors[name].dtype, array.shape, array.tobytes()) for name, array in arrays.items()
    }
    return seal(KIND, VERSION, tensors, {"trees": json.dumps(said)})


def put(name, index, value):
    def change(arrays):
        arrays[name][index] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("left_child", 0, 0),
        put("left_child", 0, 10**6),
        put("left_child", 0, -5),
        put("right_child", 0, 2),
        put("right_child", 0, -1),
        put("left_child", -1, 1),
        put("feature", 0, 2),
        put("feature", 0, -2),
        put("nodes", 0, 1),
        put("nodes", 0, -1),
        put("nodes", 0, 2**40),
        lambda arrays: arrays.update(value=arrays["value"][:, :, :1].copy()),
        lambda arrays: arrays.update(value=arrays["value"][1:].copy()),
        lambda arrays: arrays.update(impurity=arrays["impurity"][1:].copy()),
        lambda arrays: arrays.update(nodes=np.array([[3]])),
    ],
)
def test_nodes_that_would_lead_compiled_code_astray_never_load(change):
    tree = DecisionTreeClassifier(random_state=0).fit([[0, 0], [1, 0], [2, 1]], [0, 1, 0])
    assert tree.tree_.node_count == 5
    unpack(forged(tree))
    with pytest.raises(CorruptFileError):
        unpack(forged(tree, change))


@pytest.mark.parametrize(("left", "right"), [([-1, 1, -1], [-1, 2, -1]), ([-1, 2, -1], [-1, 1, -1])])
def test_nodes_that_go_round_in_a_circle_never_load(left, right):
    tree = DecisionTreeClassifier(random_state=0).fit([[0], [1]], [0, 1])

    def change(arrays):
        arrays.update(left_child=np.array(left, np.int32), right_child=np.array(right, np.int32))
        arrays["feature"][:] = 0

    with pytest.raises(CorruptFileError, match="the nodes do not form a tree"):
        unpack(forged(tree, change))


@pytest.mark.parametrize(
    "say",
    [
        lambda said: said["estimator"].update({"class": "Popen"}),
        lambda said: said["estimator"]["fitted"].pop("n_outputs_"),
        lambda said: said["estimator"]["fitted"].update(n_features_in_="two"),
        lambda said: said["estimator"]["fitted"].update(n_classes_=-1),
        lambda said: said.pop("estimator"),
        lambda said: said.update(tree=said["estimator"], seeds=[1, 2]),
    ],
)
def test_settings_that_make_no_estimator_never_load(say):
    tree = DecisionTreeClassifier(random_state=0).fit([[0], [1], [2]], [0, 1, 0])
    with pytest.raises(FileFormatError):
        unpack(forged(tree, say=say))


def test_a_parameter_of_another_scikit_learn_is_told():
    tree = DecisionTreeClassifier(random_state=0).fit([[0], [1], [2]], [0, 1, 0])
    data = forged(tree, say=lambda said: said["estimator"]["parameters"].update(colour="green"))
    with pytest.raises(FileFormatError, match="the installed scikit-learn makes no such DecisionTreeClassifier"):
        unpack(data)


def test_what_cannot_be_said_plainly_is_refused():
    tree = DecisionTreeClassifier(random_state=np.random.RandomState(0)).fit([[0], [1]], [0, 1])
    with pytest.raises(ArgumentError, match="random_state is a RandomState, which cannot be stored"):
        pack(tree)

    class Mine(DecisionTreeClassifier):
        pass

    with pytest.raises(ArgumentError, match="a Mine cannot be stored"):
        pack(Mine().fit([[0], [1]], [0, 1]))
