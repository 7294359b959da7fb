# Start-up of the emulated board, run by MicroPython itself: board.py FLASH STATE (absolute paths of two
# folders). FLASH becomes the board's `/`; STATE is the emulator's, out of the board's sight: it counts the
# starts.
import os
import sys

import boardserve
import vfs


class Flash:
    """VfsPosix whose rename works below a root: upstream's builds both paths in one buffer.

    Not a subclass, which would inherit the native protocol but not the native object. Globals are gone by the time that
    programs run: what a method needs is bound here."""

    def __init__(self, root):
        self._root = root
        self._files = vfs.VfsPosix(root)

    def __getattr__(self, name):
        return getattr(self._files, name)

    def rename(self, old, new, move=boardserve.rename):
        move(self._place(old), self._place(new))

    def _place(self, path):
        return self._root + path if path.startswith("/") else path


def start(flash, state):
    counter = state + "/boots"
    try:
        with open(counter) as file:
            boot = int(file.read() or 0)  # empty: the power failed while it was written
    except OSError:
        boot = 0
    with open(counter, "w") as file:
        file.write(str(boot + 1))
    root = Flash(flash)
    vfs.umount("/")
    vfs.mount(root, "/")
    os.chdir("/")
    sys.path[:] = ["", "/lib", ".frozen"]
    sys.argv[:] = []
    return boot


boardserve.serve(start(sys.argv[1], sys.argv[2]))
