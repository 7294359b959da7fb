# Start-up of the firmware with picofed in it: mounts a file system that leaves the last 36 blocks of the flash device
# to frozen weights, the ledger and the seed store (picofed/platform.py). One that was made before, by other firmware or
# by ours when it kept four blocks, is taken as it is and formatted by nobody.
import rp2
import vfs

device = rp2.Flash()
blocks = device.ioctl(4, 0)
smaller = rp2.Flash(len=(blocks - 36) * 4096)
for place in (smaller, rp2.Flash(len=(blocks - 4) * 4096), device):
    try:
        files = vfs.VfsLfs2(place, progsize=256)
        break
    except OSError:
        pass
else:
    vfs.VfsLfs2.mkfs(smaller, progsize=256)
    files = vfs.VfsLfs2(smaller, progsize=256)
vfs.mount(files, "/")
del device, blocks, smaller, place, files
