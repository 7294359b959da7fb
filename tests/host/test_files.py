"""Files are whole or not there; what is no regular file stays what it is."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from picofed import files

# A disk with room for so many bytes: the limit on a file's size, which is a failure of the kernel's own.
FULL = """
import resource, sys
from pathlib import Path
from picofed import files
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    getattr(files, sys.argv[1])(Path(sys.argv[2]), bytes(1000))
except OSError as error:
    print(type(error).__name__)
"""


def full(what: str, path: Path) -> str:
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", FULL, what, str(path)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    files.write(pipe, b"page")
    reader.join()
    assert read == [b"page"] and stat.S_ISFIFO(pipe.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_link_keeps_leading_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    link, target = tmp_path / "link", tmp_path / "kept" / "file"
    target.write_bytes(b"old")
    link.symlink_to(target)
    files.write(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"one", b"two"):
        files.write(path, data)
        assert path.read_bytes() == data
    files.write(path, b"three", private=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(IsADirectoryError):
        files.write(tmp_path, b"")
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_new_file_is_private_and_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "key"
    files.create(path, b"one")
    assert path.read_bytes() == b"one" and stat.S_IMODE(path.stat().st_mode) == 0o600 and path.stat().st_nlink == 1
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    for taken in (path, dangling):
        with pytest.raises(FileExistsError):
            files.create(taken, b"two")
    assert path.read_bytes() == b"one" and sorted(found.name for found in tmp_path.iterdir()) == ["dangling", "key"]


def test_of_many_who_make_one_file_one_does(tmp_path: Path) -> None:
    path, made = tmp_path / "key", []

    def make(number: int) -> None:
        try:
            files.create(path, bytes([number]))
            made.append(number)
        except FileExistsError:
            pass

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and path.read_bytes() == bytes(made)


def test_without_hard_links_the_name_is_taken_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a memory card's file system."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    files.create(tmp_path / "key", b"one")
    with pytest.raises(FileExistsError):
        files.create(tmp_path / "key", b"two")
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("key", b"one")]


@pytest.mark.parametrize("what", ["write", "create"])
def test_a_full_disk_leaves_nothing_behind(what: str, tmp_path: Path) -> None:
    if what == "write":
        (tmp_path / "file").write_bytes(b"old")
    assert full(what, tmp_path / "file") == "OSError"
    found = [(path.name, path.read_bytes()) for path in tmp_path.iterdir()]
    assert found == ([("file", b"old")] if what == "write" else [])
