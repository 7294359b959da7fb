"""Where the repository is: `native/`, `firmware/` and `boards/` are not part of the Python package."""

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
