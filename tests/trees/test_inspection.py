from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from prunus.errors import CorruptFileError, FileFormatError
from prunus.files.sealed import kind_of_file, seal, unseal
from prunus.trees import pack, prune, save
from prunus.trees.inspection import TreeInspection, inspect
from prunus.trees.layout import KIND, VERSION


def inspected(estimator, tmp_path):
    save(estimator, tmp_path / "trees.safetensors")
    return inspect(tmp_path / "trees.safetensors")


@pytest.mark.parametrize("sparsity", [0.0, 0.7])
def test_a_forest_is_described_tree_by_tree(digits, tmp_path, sparsity):
    inputs, _, labels, _ = digits
    forest = prune(RandomForestClassifier(4, random_state=0).fit(inputs, labels), sparsity=sparsity)
    found = inspected(forest, tmp_path)
    trees = [tree.tree_ for tree in forest.estimators_]
    assert found.estimator == "RandomForestClassifier"
    assert found.trees == tuple(TreeInspection(tree.node_count, tree.n_leaves, tree.max_depth) for tree in trees)
    assert found.nodes == sum(tree.node_count for tree in trees)
    assert found.leaves == sum(tree.n_leaves for tree in trees)
    assert found.depth == max(tree.max_depth for tree in trees)
    assert (found.features, found.outputs, found.classes) == (64, 1, (tuple(range(10)),))
    assert found.size_bytes == (tmp_path / "trees.safetensors").stat().st_size
    assert kind_of_file(tmp_path / "trees.safetensors") == "trees"


def test_classes_of_text_names_of_features_and_several_outputs_are_told(tmp_path):
    import pandas

    frame = pandas.DataFrame({"width": [0.0, 1.0, 2.0], "height": [1.0, 1.0, 0.0]})
    found = inspected(DecisionTreeClassifier().fit(frame, ["a", "b", "a"]), tmp_path)
    assert found.feature_names == ("width", "height")
    assert found.classes == (("a", "b"),)
    found = inspected(DecisionTreeClassifier().fit(frame.to_numpy(), [[0, 5], [1, 5], [0, 6]]), tmp_path)
    assert (found.feature_names, found.outputs, found.classes) == ((), 2, ((0, 1), (5, 6)))


@pytest.mark.parametrize("kind", [DecisionTreeRegressor, ExtraTreesRegressor])
def test_a_regression_has_outputs_and_no_classes(kind, tmp_path):
    found = inspected(kind(random_state=0).fit([[0.0], [1.0]], [[0.0, 1.0], [1.0, 1.0]]), tmp_path)
    assert (found.estimator, found.outputs, found.classes) == (kind.__name__, 2, ())


def test_a_single_leaf_has_no_depth(tmp_path):
    found = inspected(DecisionTreeClassifier().fit([[0.0], [1.0]], [1, 1]), tmp_path)
    assert found.trees == (TreeInspection(1, 1, 0),)


def test_neither_torch_nor_scikit_learn_is_imported(tmp_path):
    save(DecisionTreeClassifier().fit([[0.0], [1.0]], [0, 1]), tmp_path / "tree")
    code = (
        "import sys; sys.argv = ['prunus', 'inspect', sys.argv[1]]\n"
        "from prunus.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print([heavy for heavy in ('torch', 'sklearn', 'scipy', 'pandas') if heavy in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "tree")], capture_output=True, text=True, check=True
    )
    assert "DecisionTreeClassifier" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "say",
    [
        lambda said: said["estimator"].pop("class"),
        lambda said: said["estimator"]["fitted"].pop("n_outputs_"),
        lambda said: said["estimator"]["fitted"].update(n_features_in_="two"),
        lambda said: said["estimator"]["fitted"].update(classes_="two"),
        lambda said: said.pop("estimator"),
        lambda said: said.update(tree={}, seeds=[1, 2]),
    ],
)
@pytest.mark.parametrize("labels", [[0, 1], [1, 1]])
def test_a_forged_file_is_refused(say, labels, tmp_path):
    sealed = unseal(pack(DecisionTreeClassifier().fit([[0.0], [1.0]], labels)), KIND, VERSION)
    said = json.loads(sealed.metadata["trees"])
    say(said)
    (tmp_path / "forged").write_bytes(seal(KIND, VERSION, sealed.tensors, {"trees": json.dumps(said)}))
    with pytest.raises(CorruptFileError):
        inspect(tmp_path / "forged")


@pytest.mark.parametrize("text", ["[" * 100_000, "not JSON", "3"])
def test_settings_that_cannot_be_read_are_refused(text, tmp_path):
    sealed = unseal(pack(DecisionTreeClassifier().fit([[0.0], [1.0]], [0, 1])), KIND, VERSION)
    (tmp_path / "forged").write_bytes(seal(KIND, VERSION, sealed.tensors, {"trees": text}))
    with pytest.raises(CorruptFileError):
        inspect(tmp_path / "forged")


def test_a_damaged_file_or_another_kind_is_refused(tmp_path):
    data = bytearray(pack(DecisionTreeClassifier().fit([[0.0], [1.0]], [0, 1])))
    data[-1] ^= 1
    (tmp_path / "damaged").write_bytes(data)
    (tmp_path / "masks").write_bytes(seal("masks", 1, {}, {}))
    for name in ("damaged", "masks", "none"):
        with pytest.raises(FileFormatError):
            inspect(tmp_path / name)
    assert kind_of_file(tmp_path / "masks") == "masks"
    assert kind_of_file(tmp_path / "none") == ""
    np.save(tmp_path / "array.npy", np.zeros(3))
    assert kind_of_file(tmp_path / "array.npy") == ""
