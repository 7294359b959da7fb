"""Sources, cache and builds: real downloads and real builds, shared with other tests by the user's cache."""

import hashlib
import multiprocessing
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from picofed.errors import PicofedError
from picofed.toolchain import build, cache, command, debian, layout, sources


@pytest.fixture
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PICOFED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def one_line(error: pytest.ExceptionInfo[PicofedError]) -> str:
    text = str(error.value)
    assert "\n" not in text and error.value.exit_status == 2
    return text


def test_cache_dir_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PICOFED_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_dir() == tmp_path / "xdg" / "picofed"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.cache_dir() == tmp_path / "home" / ".cache" / "picofed"
    monkeypatch.setenv("PICOFED_CACHE", str(tmp_path / "own"))
    assert cache.cache_dir() == tmp_path / "own"


def fill(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "file").write_text("content")
    with (folder.parents[1] / "made").open("a") as made:
        made.write("x")


def get(_: int) -> str:
    return (cache.entry("thing", fill) / "sub" / "file").read_text()


def test_two_processes_that_ask_at_once_make_an_entry_once(private_cache: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.map(get, range(8)) == ["content"] * 8
    assert (private_cache / "made").read_text() == "x"


@pytest.mark.parametrize("damage", ["truncated", "deleted", "no stamp", "added"])
def test_a_damaged_entry_is_made_again(private_cache: Path, damage: str) -> None:
    folder = cache.entry("thing", fill)
    if damage == "truncated":
        (folder / "sub" / "file").write_text("con")
    elif damage == "deleted":
        (folder / "sub" / "file").unlink()
    elif damage == "no stamp":
        (folder / ".complete").unlink()
    else:
        (folder / "more").touch()
    assert get(0) == "content"
    assert (private_cache / "made").read_text() == "xx"
    assert get(0) == "content"
    assert (private_cache / "made").read_text() == "xx"


def test_a_failed_entry_leaves_nothing(private_cache: Path) -> None:
    def broken(folder: Path) -> None:
        (folder / "half").touch()
        raise command.ToolchainError("no")

    with pytest.raises(command.ToolchainError):
        cache.entry("thing", broken)
    assert sorted(path.name for path in private_cache.iterdir()) == ["locks"]


def test_an_entry_whose_maker_was_killed_is_made_again(private_cache: Path) -> None:
    code = (
        "import os, signal; from picofed.toolchain import cache\n"
        "def make(folder):\n (folder / 'half').touch(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "cache.entry('thing', make)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert get(0) == "content"


def test_missing_tool_names_its_package() -> None:
    with pytest.raises(command.ToolchainError) as error:
        command.require("arm-none-eabi-gcc", "/nonexistent")
    assert "apt-get install gcc-arm-none-eabi" in one_line(error)


def test_failure_is_one_line_that_names_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "x.log"
    with pytest.raises(command.ToolchainError) as error:
        command.run_logged(["sh", "-c", "echo broken here; exit 3"], log, "building x")
    assert one_line(error) == f"building x failed (exit status 3); see {log}"
    assert "broken here" in log.read_text()
    with pytest.raises(
        command.ToolchainError, match=r"\(exit status 3\): if the network is away .* run it again .*; see "
    ):
        command.run_logged(["sh", "-c", "exit 3"], log, "fetching x")
    with pytest.raises(command.ToolchainError, match="no end after"):
        command.run_logged(["sleep", "1000"], log, "waiting", timeout=0.1)


def test_repo_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (layout.repo_root() / "boards" / "unix" / "board.py").is_file()
    monkeypatch.setenv("PICOFED_ROOT", str(tmp_path))
    layout.repo_root.cache_clear()
    try:
        with pytest.raises(layout.LayoutError) as error:
            layout.repo_root()
        assert str(tmp_path) in one_line(error)
    finally:
        layout.repo_root.cache_clear()


def test_micropy_dir_is_used_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sources.micropython_source()
    monkeypatch.setenv("MICROPY_DIR", str(tmp_path))
    with pytest.raises(command.ToolchainError) as error:
        sources.micropython_source()
    assert "MICROPY_DIR" in one_line(error)
    link = tmp_path / "link"
    link.symlink_to(source)
    monkeypatch.setenv("MICROPY_DIR", str(link))
    assert sources.micropython_source() == source


def test_micropython_source_is_the_pinned_version() -> None:
    source = sources.micropython_source()
    config = (source / "py" / "mpconfig.h").read_text()
    for part, number in zip(("MAJOR", "MINOR", "MICRO", "PRERELEASE"), (1, 25, 0, 0), strict=True):
        assert f"#define MICROPY_VERSION_{part} {number}\n" in config
    for port in ("unix", "qemu", "rp2"):
        assert (source / "ports" / port / "mpconfigport.h").is_file()


def test_debian_package_with_a_wrong_hash_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"data")
    debian.check_sha256(file, hashlib.sha256(b"data").hexdigest())
    with pytest.raises(command.ToolchainError) as error:
        debian.check_sha256(file, "0" * 64)
    assert "do not use it" in one_line(error)


def test_a_version_that_mirrors_dropped_is_replaced_and_a_wrong_file_is_not(tmp_path: Path) -> None:
    debian.fetch_packages("trixie", {"libffi8": ("0.never-was", "0" * 64)}, tmp_path, tmp_path / "log")
    assert (tmp_path / "libffi8.deb").read_bytes().startswith(b"!<arch>")
    version = next(
        line.split()[1]
        for line in command.output_of(["dpkg-deb", "--info", str(tmp_path / "libffi8.deb")]).splitlines()
        if line.strip().startswith("Version:")
    )
    with pytest.raises(debian.HashError):
        debian.fetch_packages("trixie", {"libffi8": (version, "0" * 64)}, tmp_path, tmp_path / "log")


def test_monocypher_source() -> None:
    folder = sources.monocypher_source()
    assert (folder / "monocypher.c").read_text().startswith("// Monocypher version 4.0.")
    assert "crypto_blake2b" in (folder / "monocypher.h").read_text()
    assert (folder / "LICENSE.txt").is_file()


def test_watch_data() -> None:
    path = sources.watch_data()
    assert path.suffix == ".npy" and path.stat().st_size == 18_118_091


def test_mpy_cross_compiles(tmp_path: Path) -> None:
    program = build.mpy_cross()
    (tmp_path / "module.py").write_text("x = 1\n")
    subprocess.run([program, "-o", tmp_path / "module.mpy", tmp_path / "module.py"], check=True)
    # Magic, then .mpy format version 6: MicroPython 1.19 and later; 6.3 where there is native code.
    assert (tmp_path / "module.mpy").read_bytes()[:2] == b"M\x06"


def test_unix_board_is_built_once_and_does_not_touch_its_sources() -> None:
    program = build.unix_board()
    made = program.stat()
    assert made.st_mode & stat.S_IXUSR
    assert build.unix_board() == program
    assert program.stat().st_mtime_ns == made.st_mtime_ns
    assert cache.is_whole(sources.micropython_source())


def test_inputs_decide_what_is_built(private_cache: Path, tmp_path: Path) -> None:
    made = []

    def make(folder: Path, log: Path) -> None:
        made.append(log)
        (folder / "out").touch()

    first = build.content_addressed("x", "x", lambda: ["a", "b"], make)
    assert build.content_addressed("x", "x", lambda: ["a", "b"], make) == first
    assert build.content_addressed("x", "x", lambda: ["ab", ""], make) != first
    assert len(made) == 2
    edits = iter("abcd")
    with pytest.raises(command.ToolchainError, match="changed meanwhile"):
        build.content_addressed("x", "x", lambda: [next(edits)], make)
    assert len(list(private_cache.glob("x-*"))) == 2
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "a.c").write_text("1")
    before = build.tree_digest([tmp_path / "tree"])
    (tmp_path / "tree" / "sub" / "a.c").write_text("2")
    assert build.tree_digest([tmp_path / "tree"]) != before


def test_broken_native_source_is_one_line_and_a_log(
    private_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, monocypher = sources.micropython_source, sources.monocypher_source
    monkeypatch.delenv("PICOFED_CACHE")
    real_source, real_monocypher = source(), monocypher()
    monkeypatch.setenv("PICOFED_CACHE", str(private_cache))
    monkeypatch.setenv("MICROPY_DIR", str(real_source))
    private_cache.mkdir(exist_ok=True)
    (private_cache / real_monocypher.name).symlink_to(real_monocypher)
    root = tmp_path / "root"
    (root / "boards" / "unix").mkdir(parents=True)
    (root / "boards" / "unix" / "board.toml").touch()
    (root / "native").mkdir()
    (root / "native" / "bad.c").write_text("this is no C\n")
    (root / "native" / "natmod.mk").write_text(
        "SRC := $(dir $(lastword $(MAKEFILE_LIST)))bad.c\ninclude $(MPY_DIR)/py/dynruntime.mk\n"
    )
    monkeypatch.setenv("PICOFED_ROOT", str(root))
    layout.repo_root.cache_clear()
    try:
        with pytest.raises(command.ToolchainError) as error:
            build.natmod("x64")
    finally:
        layout.repo_root.cache_clear()
    text = one_line(error)
    assert text.startswith("building the native module for x64 failed")
    log = Path(text.partition("see ")[2])
    assert "error: unknown type name" in log.read_text()
    assert not list(private_cache.glob("natmod-*"))


def test_unknown_architecture_is_one_line() -> None:
    with pytest.raises(command.ToolchainError) as error:
        build.natmod("z80")
    assert "choose one of x64" in one_line(error)


def test_native_module_builds_for_the_unix_board() -> None:
    module = build.natmod("x64")
    assert module.name == "picofed_core.mpy"
    # Magic, format 6, architecture x64 (2) and ABI 3 in the third byte.
    header = module.read_bytes()[:3]
    assert header[:2] == b"M\x06" and header[2] >> 2 == 2 and header[2] & 3 == 3
    assert build.natmod("x64") == module


def test_no_reader_of_the_cache_needs_to_write(tmp_path: Path) -> None:
    """A read-only cache (a shared one, or an image's) serves what it holds."""
    program = build.unix_board()
    assert cache.is_whole(program.parent)
    assert os.access(program, os.X_OK)
