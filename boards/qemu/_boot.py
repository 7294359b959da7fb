import sys
import boardserve
import vfs

sys.path[:] = ["", "/lib", ".frozen"]
vfs.mount(vfs.VfsLfs2(boardserve.Flash()), "/")
