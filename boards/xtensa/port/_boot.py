# Mounts the flash, made into a file system where it is none yet.
import os
import sys

import boardserve
import vfs

try:
    files = vfs.VfsLfs2(boardserve.flash)
except OSError:
    vfs.VfsLfs2.mkfs(boardserve.flash)
    files = vfs.VfsLfs2(boardserve.flash)
vfs.mount(files, "/")
os.chdir("/")
sys.path[:] = ["", "/lib", ".frozen"]
