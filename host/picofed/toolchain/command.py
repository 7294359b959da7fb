"""Run one external tool: output to a log, a missing tool or a failure to one line that says what to do."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from picofed.errors import PicofedError


class ToolchainError(PicofedError):
    """A source could not be had or a build failed; str() names the log where there is one."""


# Debian's package for each tool that is not named like its package.
_PACKAGES = {
    "gcc": "build-essential",
    "make": "build-essential",
    "ar": "build-essential",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "qemu-xtensa": "qemu-user",
    "xtensa-lx106-elf-ld": "binutils-xtensa-lx106",
    "node": "nodejs",
    "ninja": "ninja-build",
    "setpriv": "util-linux",
    "arm-none-eabi-objcopy": "binutils-arm-none-eabi",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
    "qemu-system-riscv32": "qemu-system-misc",
}


def package_of(tool: str) -> str:
    """Debian's package, or packages, that bring a tool."""
    return _PACKAGES.get(tool, tool)


def require(tool: str, path: str | None = None) -> str:
    """Absolute path of `tool`, searched in `path` (PATH syntax; default: the environment's).

    Raises ToolchainError, naming the package to install, where it is missing.
    """
    found = shutil.which(tool, path=path)
    if found is None:
        raise ToolchainError(f"{tool} is not installed: try `apt-get install {package_of(tool)}`")
    return found


def run_logged(
    argv: Sequence[str],
    log: Path,
    what: str,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> None:
    """Run `argv`, its output appended to `log`. `env` is added to the environment; `timeout` is in seconds.

    Raises ToolchainError with one line that names `what` and `log`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        out.write(("$ " + " ".join(argv) + "\n").encode())
        out.flush()
        try:
            code = subprocess.run(
                argv,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise ToolchainError(f"{what}: no end after {timeout:.0f} s; see {log}") from None
        except FileNotFoundError:
            raise ToolchainError(f"{what}: {argv[0]} is not installed") from None
    if code != 0:
        network = what.startswith(("fetching", "downloading", "npm pack"))
        hint = ": if the network is away or slow, run it again when it is better" if network else ""
        raise ToolchainError(f"{what} failed (exit status {code}){hint}; see {log}")


def output_of(argv: Sequence[str], timeout: float = 30.0) -> str:
    """Standard output of `argv`, or "" where it fails, is missing or takes more than `timeout` seconds."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
