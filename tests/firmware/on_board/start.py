# start.py FLASH PROGRAM SEED, run by MicroPython: FLASH (a folder of the host) becomes `/`, with the firmware in /lib;
# then the tests of PROGRAM are run.
import os
import sys

import vfs

arguments = sys.argv[1:]
vfs.umount("/")
vfs.mount(vfs.VfsPosix(arguments[0]), "/")
os.chdir("/")
sys.path[:] = ["/lib"]
__import__("harness").main(arguments[1], int(arguments[2]))
