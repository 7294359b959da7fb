"""Where the repository is: `native/`, `firmware/` and `boards/`. An installed package carries what a user with stock
MicroPython needs of them (picofed/packaged, filled by setup.py), so that boards can be flashed without a checkout."""

import os
from functools import cache
from pathlib import Path

from picofed.errors import PicofedError

ROOT_VARIABLE = "PICOFED_ROOT"


class LayoutError(PicofedError):
    """The repository that holds native/, firmware/ and boards/ was not found."""


@cache
def repo_root() -> Path:
    """Folder with native/, firmware/, boards/ and host/: PICOFED_ROOT if set, else this file's checkout."""
    named = os.environ.get(ROOT_VARIABLE)
    root = Path(named) if named else Path(__file__).resolve().parents[3]
    if not (root / "boards" / "unix" / "board.toml").is_file():
        hint = f"{ROOT_VARIABLE} names {root}, which is not one" if named else f"set {ROOT_VARIABLE} to one"
        raise LayoutError(f"no picofed checkout found: {hint} (a folder with native/, firmware/ and boards/)")
    return root.resolve()


def packaged() -> Path:
    """Folder inside the installed package with natmods/, bytecode/, firmware/ and boards/; not there in a checkout."""
    return Path(__file__).resolve().parents[1] / "packaged"


def _part(name: str) -> Path:
    try:
        return repo_root() / name
    except LayoutError:
        # Somebody who names a checkout wants that one, not another.
        if os.environ.get(ROOT_VARIABLE) or not (packaged() / name).is_dir():
            raise
        return packaged() / name


def firmware_root() -> Path:
    """Folder with main.py, and in a checkout the MicroPython package `picofed`."""
    return _part("firmware")


def boards_root() -> Path:
    """Folder with one folder for each kind of board: the checkout's, else the packaged one."""
    return _part("boards")
