from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from prunus.files.atomic import write_atomically


def test_what_was_written_is_read_back(tmp_path):
    write_atomically(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("function", ["fsync", "replace", "fdopen"])
def test_a_failing_disk_leaves_the_old_content_and_no_other_file(tmp_path, monkeypatch, function):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_an_interruption_leaves_the_old_content_and_no_other_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_the_content_is_flushed_before_it_takes_the_name_and_the_folder_after(tmp_path, monkeypatch):
    order = []
    flush, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: (order.append(stat.S_ISDIR(os.fstat(descriptor).st_mode)), flush(descriptor))
    )
    monkeypatch.setattr(os, "replace", lambda *paths: (order.append("replace"), replace(*paths)))
    write_atomically(tmp_path / "file", b"content")
    assert order == [False, "replace", True]


def test_a_missing_folder_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "no" / "file", b"content")


def test_a_folder_in_the_place_of_the_file_stays(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError):
        write_atomically(tmp_path / "file", b"content")
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_flushed_does_not_read_as_a_failure(tmp_path, monkeypatch):
    flush = os.fsync

    def only_files(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(22, "Invalid argument")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_the_file_has_the_mode_of_an_ordinary_new_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", b"content")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask


def test_the_longest_name_that_the_system_allows_can_be_written(tmp_path):
    write_atomically(tmp_path / ("x" * 255), b"content")
    assert len(os.listdir(tmp_path)[0]) == 255


def test_a_relative_path_without_a_folder_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_atomically(Path("file"), b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


def test_readers_see_whole_files_while_writers_race(tmp_path):
    path = tmp_path / "file"
    contents = [bytes([65 + writer]) * 50_000 for writer in range(4)]
    write_atomically(path, contents[0])
    writers = [
        threading.Thread(target=lambda content: [write_atomically(path, content) for _ in range(5)], args=(content,))
        for content in contents
    ]
    for writer in writers:
        writer.start()
    seen = {path.read_bytes() for _ in range(50)}
    for writer in writers:
        writer.join()
    assert seen <= set(contents)
    assert os.listdir(tmp_path) == ["file"]
