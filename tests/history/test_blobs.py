from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prunus.errors import CorruptFileError, HistoryError
from prunus.history.blobs import Blobs


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path / "blobs")


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=64))
def test_bytes_come_back_by_their_digest(blobs, data):
    digest = blobs.put(data)
    assert digest == hashlib.sha256(data).hexdigest()
    assert digest in blobs
    assert blobs.get(digest) == data


def test_the_same_bytes_are_never_written_twice(blobs):
    path = blobs.path(blobs.put(b"once"))
    before = path.stat()
    blobs.put(b"once")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_many_may_put_the_same_bytes_at_once(blobs):
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(lambda index: blobs.put(bytes([index % 2]) * 50_000), range(32)))
    assert sorted(blobs.get(digest)[:1] for digest in digests) == [b"\0", b"\1"]
    assert len([path for path in blobs.folder.rglob("*") if path.is_file()]) == 2


@pytest.mark.parametrize("place", [0, 5, -1])
def test_a_flipped_byte_is_never_given_back(blobs, place):
    path = blobs.path(blobs.put(b"weights of a model"))
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptFileError, match=f"{path.name} is damaged"):
        blobs.get(path.name)


def test_a_damaged_blob_is_healed_by_putting_it_again(blobs):
    path = blobs.path(blobs.put(b"weights"))
    path.write_bytes(b"weig")
    assert blobs.get(blobs.put(b"weights")) == b"weights"


def test_a_missing_blob_is_named(blobs):
    with pytest.raises(HistoryError, match=f"the history lacks .*{'0' * 64}"):
        blobs.get("0" * 64)
    assert "0" * 64 not in blobs


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "0" * 63, "G" * 64, "0" * 64 + "\n"])
def test_what_is_no_digest_reaches_no_file(blobs, digest):
    assert digest not in blobs
    with pytest.raises(HistoryError, match="64 hexadecimal digits"):
        blobs.get(digest)
