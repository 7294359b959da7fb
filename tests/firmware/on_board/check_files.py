# Small files that hold the old or the new content: power cuts in every write, flash that decays.
import os

from harness import cut_everywhere
from picofed import files, platform

PATH = platform.FOLDER + "/small"
OLD, NEW = b"old" * 30, b"new" * 40


def damage(which, at=5):
    with open(PATH + which, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))


def size(which):
    return os.stat(PATH + which)[6]


def test_nothing_was_saved():
    assert files.load(PATH) is None and not files.is_damaged(PATH)


def test_one_damaged_copy_changes_nothing():
    """Found in review: behind a damaged copy stood what was true before."""
    files.save(PATH, OLD)
    files.save(PATH, NEW)
    for which in (".0", ".1"):
        for at in range(size(which)):
            damage(which, at)
            assert files.load(PATH) == NEW, (which, at)
    for which in (".0", ".1"):
        os.remove(PATH + which)
        assert files.load(PATH) == NEW
        assert size(".0") == size(".1") == len(NEW) + 8


def test_two_damaged_copies_are_no_unwritten_file():
    files.save(PATH, OLD)
    for which in (".0", ".1"):
        damage(which)
    assert files.load(PATH) is None and files.is_damaged(PATH)
    files.save(PATH, NEW)
    assert files.load(PATH) == NEW and not files.is_damaged(PATH)


def test_power_cut_in_the_first_save():
    def prepare():
        for which in (".0", ".1"):
            files.remove(PATH + which)

    def examine(cut):
        assert files.load(PATH) == NEW if not cut else files.load(PATH) in (None, NEW)
        assert not files.is_damaged(PATH)

    assert cut_everywhere(prepare, lambda: files.save(PATH, NEW), examine) == 4


def test_power_cut_in_a_later_save():
    """The new content is there, or the old one; and once it was seen, no damage to one copy brings back the other."""

    def examine(cut):
        found = files.load(PATH)
        assert found == NEW if not cut else found in (OLD, NEW)
        for which in (".0", ".1"):
            damage(which)
            assert files.load(PATH) == found

    assert cut_everywhere(lambda: files.save(PATH, OLD), lambda: files.save(PATH, NEW), examine) == 4


def test_power_cut_while_a_copy_is_made_anew():
    def prepare(which):
        files.save(PATH, NEW)
        damage(which)

    def examine(cut):
        assert files.load(PATH) == NEW

    for which in (".0", ".1"):
        assert cut_everywhere(lambda which=which: prepare(which), lambda: files.load(PATH), examine) == 2
