from __future__ import annotations

import subprocess
import sys

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prunus.errors import CorruptFileError, FileFormatError
from prunus.files.sealed import split_header
from prunus.packing.format import DTYPES, pack
from prunus.packing.inspection import inspect


@pytest.fixture
def inspected(tmp_path):
    def write_and_inspect(data: bytes):
        (tmp_path / "file.safetensors").write_bytes(data)
        return inspect(tmp_path / "file.safetensors")

    return write_and_inspect


def test_a_packed_model_is_described_tensor_by_tensor(inspected):
    weight, mask = torch.zeros(8, 8), torch.arange(64).reshape(8, 8) < 16
    weight[0] = 1.0
    tensors = {"w": weight, "b": torch.tensor([1.0]), "t": weight, "z": torch.zeros(64, dtype=torch.int8)}
    data = pack(tensors, {"w": mask}, {"task": "digits"})
    found = inspected(data)
    assert [(t.name, t.shape, t.dtype, t.encoding, t.elements, t.kept, t.size_bytes) for t in found.tensors] == [
        ("w", (8, 8), "F32", "bitmask", 64, 16, 8 + 64),
        ("b", (1,), "F32", "dense", 1, 1, 4),
        ("t", (8, 8), "F32", "alias", 64, 16, 0),
        ("z", (64,), "I8", "bitmask", 64, 0, 8),
    ]
    assert found.tensors[2].alias_of == "w"
    assert [tensor.sparsity for tensor in found.tensors] == [0.75, 0.0, 0.75, 1.0]
    assert (found.elements, found.kept, found.dense_bytes) == (129, 17, 256 + 4 + 64)
    assert found.sparsity == 1 - 17 / 129
    assert [tensor.dense_bytes for tensor in found.tensors] == [256, 4, 0, 64]
    assert found.metadata == {"task": "digits"}
    assert (found.size_bytes, found.version) == (len(data), 1)
    assert sum(tensor.size_bytes for tensor in found.tensors) == len(split_header(data)[1])


def test_a_dense_tensor_with_a_mask_counts_what_the_mask_keeps(inspected):
    tensor = torch.tensor([0.0, 1.0, 0.0])
    (found,) = inspected(pack({"a": tensor}, {"a": torch.tensor([True, True, True])})).tensors
    assert (found.encoding, found.kept, found.size_bytes) == ("dense", 3, 13)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dtype=st.sampled_from([dtype for dtype in DTYPES if dtype != torch.complex64]),
    values=st.lists(st.sampled_from([0.0, -0.0, 1.0, 0.5, float("nan")]), max_size=40),
)
def test_what_is_not_zero_is_counted_as_torch_counts_it(dtype, values, inspected):
    if not dtype.is_floating_point:
        values = [float(value == 1.0) for value in values]
    tensor = torch.tensor(values).to(dtype)
    expected = int((tensor.double() != 0).sum())
    (plain,) = inspected(safetensors.torch.save({"a": tensor})).tensors
    (packed,) = inspected(pack({"a": tensor}, {})).tensors
    assert plain.kept == packed.kept == expected
    assert plain.sparsity == (1 - expected / len(values) if values else 0.0)


def test_complex_numbers_are_zero_where_both_parts_are(inspected):
    tensor = torch.tensor([0, 1, 1j, complex(-0.0, 0.0), 1 + 1j], dtype=torch.complex64)
    (found,) = inspected(safetensors.torch.save({"a": tensor})).tensors
    assert found.kept == 3


def test_a_plain_safetensors_file_is_described_as_dense(inspected):
    data = safetensors.torch.save({"a": torch.tensor([[0.0, 2.0]]), "b": torch.ones(0, 3)}, {"format": "pt"})
    found = inspected(data)
    assert found.version is None
    assert found.metadata == {"format": "pt"}
    assert {t.name: (t.shape, t.encoding, t.kept, t.sparsity) for t in found.tensors} == {
        "a": ((1, 2), "dense", 1, 0.5),
        "b": ((0, 3), "dense", 0, 0.0),
    }
    assert found.size_bytes == len(data)


def test_a_file_without_tensors_has_no_sparsity_to_speak_of(inspected):
    assert inspected(pack({})).sparsity == 0.0


def test_a_damaged_file_is_not_described(inspected):
    data = bytearray(pack({"a": torch.ones(4)}))
    data[-1] ^= 1
    with pytest.raises(CorruptFileError, match="digest"):
        inspected(bytes(data))


def test_a_file_that_is_not_there_is_a_clear_error(tmp_path):
    with pytest.raises(FileFormatError, match="No such file"):
        inspect(tmp_path / "missing")


def test_inspecting_never_imports_torch(tmp_path):
    (tmp_path / "file").write_bytes(pack({"a": torch.zeros(64)}))
    code = (
        "import sys, prunus.packing; found = prunus.packing.inspect(sys.argv[1]); "
        "print(len(found.tensors), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "False"]
