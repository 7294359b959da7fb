# The board's own files on LittleFS, the file system of most ports: a file that is open twice is two files there, and
# the handle that is synchronized last wins over all that went through the other.
import gc

import picofed_core as core
import vfs
from check_provision import Release, put_file
from picofed import platform
from picofed.board import Board

_SECTOR = 512


class Memory:
    """A block device in RAM."""

    def __init__(self, blocks):
        self.data = bytearray(blocks * _SECTOR)

    def readblocks(self, block, buffer, offset=0):
        at = block * _SECTOR + offset
        buffer[:] = memoryview(self.data)[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        at = block * _SECTOR + offset
        self.data[at : at + len(buffer)] = buffer

    def ioctl(self, operation, _):
        return {4: len(self.data) // _SECTOR, 5: _SECTOR}.get(operation, 0)


def seed_store():
    """A digest of what another handle finds in the seed store."""
    out = bytearray(16)
    piece = bytearray(512)
    with open(platform.FOLDER + "/flash.bin", "rb") as file:
        file.seek(2 * platform.BLOCK)
        while file.readinto(piece):
            core.blake2b(out, out, piece)
    return bytes(out)


def test_ledger_and_seed_store_do_not_undo_each_other():
    device = Memory(112)
    vfs.VfsLfs2.mkfs(device)
    vfs.mount(vfs.VfsLfs2(device), platform.FOLDER)
    try:
        put_file()
        seeds = set()
        for boot in range(1, 4):
            board = Board()
            assert board.failure is None, board.failure
            # a seed store that fell back would start again with a secret that has been used
            assert board.boot == boot and board.spent == 262145 * (boot - 1), (board.boot, board.spent)
            seeds.add(seed_store())
            board.charge(Release)
            assert seed_store() in seeds
            board = None
            gc.collect()
        assert len(seeds) == 3
    finally:
        vfs.umount(platform.FOLDER)


def test_provisioning_survives_a_boot_without_a_release():
    device = Memory(112)
    vfs.VfsLfs2.mkfs(device)
    vfs.mount(vfs.VfsLfs2(device), platform.FOLDER)
    try:
        put_file(spent=5)
        for boot in range(1, 4):
            board = Board()
            assert board.failure is None, board.failure
            assert (board.boot, board.spent) == (boot, 5)
    finally:
        vfs.umount(platform.FOLDER)
