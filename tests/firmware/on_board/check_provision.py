# Provisioning (SPEC 6.8) and what guards the budget: files, floors, power cuts in every write.
import os

import picofed_core as core
from harness import clear, cut_everywhere, power, refuses
from picofed import cbor, files, platform, provision
from picofed.board import Board
from picofed.errors import ARGUMENT, BLANK, BUDGET, CORRUPT, ENTROPY
from picofed.errors import POLICY as FORBIDDEN
from signature import public, sign

POLICY = {
    "v": 2,
    "board": b"\0" * 8,
    "name": "watch",
    "budget": 1000000,
    "max_charge": 300000,
    "min_log2_sigma": 6,
    "max_clip": 1 << 19,
    "max_parameters": 1000,
    "losses": [0],
    "modes": [0, 1],
    "features": ["imu45"],
    "number": 1,
    "helper": b"",
    "cohort": 1,
    "link": 0,
}
OWNER = b"o" * 32
_numbers = {}


class Release:
    """As much of a job as a charge needs: 262145 units."""

    id = b"jobjobjo"
    clip = 1024
    log2_sigma = 13
    steps = 1
    window = 100
    stride = 100
    mask_bits = 0


def ledger_records(board, skip, count):
    return [bytes(board.ledger_record(place)) for place in board.ledger_places(skip, count)]


def number_of(item):
    """The same policy has the same number, another one a higher: as an owner does it."""
    return _numbers.setdefault(repr(sorted(item.items())), len(_numbers) + 1)


def signed(item, owner=OWNER):
    data = bytes(cbor.dumps(item))
    return {"owner": public(owner), "policy": data, "signature": sign(owner, b"picofed policy" + data)}


def put_file(key=b"k", secret=b"s", spent=0, seq=0, records=b"records1", owner=OWNER, **policy):
    asked = dict(POLICY, **policy)
    if "number" not in policy:
        asked["number"] = number_of(asked)
    asked["board"] = policy.get("board", platform.hardware_id() or bytes(8))
    item = {
        "v": 2,
        "key": key * 32,
        "secret": secret * 32,
        "seq": seq,
        "spent": spent,
        "records": records,
    }
    item.update(signed(asked, owner))
    with open(provision.FILE, "wb") as file:
        file.write(cbor.dumps(item))
    return item


def put_item(item):
    with open(provision.FILE, "wb") as file:
        file.write(cbor.dumps(item))


def provisioned(**options):
    clear()
    put_file(**options)
    board = Board()
    assert board.failure is None, board.failure
    return board


def has_file():
    return files.exists(provision.FILE)


def test_new_board_is_blank():
    board = Board()
    assert board.failure.code == BLANK and board.policy is None
    assert Board().failure.code == BLANK


def test_file_is_taken_in_and_gone():
    board = provisioned(spent=77, seq=5)
    assert (board.seq, board.spent, board.boot, board.generation) == (5, 77, 1, 1)
    assert not has_file() and board.policy.name == "watch" and board.records_id == b"records1"
    assert Board().boot == 2
    assert len(ledger_records(board, 0, 10)) == 1


def test_keys_are_those_of_the_specification():
    board = provisioned()
    out = bytearray(32)
    core.blake2b(out, b"k" * 32, b"picofed update")
    assert board.update_key == out
    core.blake2b(out, b"k" * 32, b"picofed ledger")
    record = ledger_records(board, 0, 1)[0]
    tag = bytearray(8)
    core.blake2b(tag, out, record[:24])
    assert tag == record[24:]


def test_spent_is_never_lowered():
    board = provisioned()
    assert board.charge(Release) == (1, 262145)
    for key in (b"k", b"n"):
        # the same file again, and one with another key: both know less than the board
        put_file(key=key)
        again = Board()
        assert again.failure is None and (again.seq, again.spent) == (1, 262145), (again.failure, again.spent)
    put_file(spent=900000, seq=9)
    assert (Board().seq, Board().spent) == (9, 900000)


def test_same_seed_is_not_taken_in_twice():
    board = provisioned()
    keys = [bytes(board.noise_key())]
    assert board.boot == 1
    put_file(name="renamed")
    again = Board()
    # the seed store went on instead of starting again
    assert again.boot == 2 and again.policy.name == "renamed"
    put_file(secret=b"t", name="renamed")
    assert Board().boot == 1
    keys.append(bytes(again.noise_key()))
    assert keys[0] != keys[1]


def test_seed_of_an_older_file_is_not_taken_in_again():
    provisioned()
    put_file(secret=b"t")
    assert Board().boot == 1
    # s, t, s: the first seed would begin with the first noise keys
    put_file(secret=b"s")
    assert Board().boot == 2
    put_file(secret=b"t")
    assert Board().boot == 3
    put_file(secret=b"u")
    assert Board().boot == 1


def test_refused_files_change_nothing():
    provisioned(spent=5)
    good = put_file(secret=b"t")
    bad = [
        dict(good, v=1),
        dict(good, key=b"short"),
        dict(good, secret=b""),
        dict(good, records=b"123"),
        dict(good, owner=b"short"),
        dict(good, seq=-1),
        dict(good, spent=1 << 32),
        dict(good, more=1),
        dict(good, policy=b""),
        [1, 2],
    ]
    own = platform.hardware_id() or bytes(8)
    for change in (
        {"v": 1},
        {"max_charge": 1 << 31},
        {"losses": ["x"]},
        {"helper": b"x"},
        {"cohort": 0},
        {"link": 3},
        {"board": b"another1"},
        {"board": b""},
    ):
        item = dict(POLICY, board=own, number=9000)
        item.update(change)
        bad.append(dict(good, **signed(item)))
    bad.append(dict(good, **signed({})))
    for item in bad:
        put_item(item)
        board = Board()
        assert board.failure is None and board.spent == 5 and board.refused, item
        assert board.refused.code in (ARGUMENT, FORBIDDEN) and has_file()
    for data in (b"\xa7", b"\xff" * 100, bytes(cbor.dumps(good))[:-1], b"\xa1" * 5000):
        with open(provision.FILE, "wb") as file:
            file.write(data)
        board = Board()
        assert board.failure is None and board.refused.code == ARGUMENT
    # on a board that was never provisioned, a refused file says why
    clear()
    put_item(bad[0])
    assert Board().failure.code == ARGUMENT


def test_policies_of_nobody_of_others_and_of_the_past_are_refused():
    provisioned(number=5)
    board = {"board": platform.hardware_id() or bytes(8)}
    widened = dict(POLICY, budget=2000000, number=6, **board)
    data = bytes(cbor.dumps(widened))
    mine, other = sign(OWNER, b"picofed policy" + data), sign(b"x" * 32, b"picofed policy" + data)
    good = put_file(number=5, secret=b"t")
    foreign = put_file(number=6, secret=b"t", owner=b"x" * 32)
    older = put_file(number=4, secret=b"t")
    changed = put_file(number=5, secret=b"t", budget=2000000)
    for item in (
        dict(good, signature=bytes(64)),
        dict(good, signature=b""),
        dict(good, policy=data),
        dict(good, policy=data, signature=other),
        # a signature of the same owner over something else than a policy
        dict(good, policy=data, signature=sign(OWNER, data)),
        dict(good, policy=data, signature=sign(OWNER, b"picofed roster" + data)),
        foreign,
        older,
        changed,
    ):
        put_item(item)
        board = Board()
        assert board.failure is None and board.refused.code == FORBIDDEN, (item, board.refused)
        assert board.policy.number == 5 and board.policy.budget == 1000000 and board.boot > 1
    put_item(dict(good, policy=data, signature=mine))
    board = Board()
    assert board.refused is None and board.policy.budget == 2000000 and board.policy.number == 6


def renewal(number, owner=OWNER, **changes):
    item = dict(POLICY, board=platform.hardware_id() or bytes(8), number=number)
    item.update(changes)
    made = signed(item, owner)
    return made["policy"], made["signature"]


def test_policy_is_renewed_without_provisioning():
    board = provisioned(number=5)
    board.charge(Release)
    refuses(FORBIDDEN, board.renew, *renewal(4))
    refuses(FORBIDDEN, board.renew, *renewal(5, budget=1 << 30))
    refuses(FORBIDDEN, board.renew, *renewal(6, b"x" * 32))
    refuses(FORBIDDEN, board.renew, *renewal(6, board=b"another1"))
    refuses(ARGUMENT, board.renew, *renewal(6, link=7))
    data, signature = renewal(6, budget=600000)
    refuses(FORBIDDEN, board.renew, data, signature[:-1])
    refuses(FORBIDDEN, board.renew, data[:-1], signature)
    assert board.policy.number == 5 and board.spent == 262145
    for _ in range(2):
        assert board.renew(data, signature) == 6
    board.charge(Release)
    refuses(BUDGET, board.charge, Release)
    again = Board()
    assert again.policy.budget == 600000 and again.spent == 2 * 262145 and again.boot == 2


def test_power_cut_in_every_write_of_a_renewal():
    data, signature = renewal(6, budget=600000)

    def prepare():
        provisioned(number=5).charge(Release)

    def examine(cut):
        board = Board()
        assert board.failure is None and board.spent == 262145
        assert board.policy.budget in (1000000, 600000) and (cut or board.policy.number == 6)
        assert board.renew(data, signature) == 6

    assert cut_everywhere(prepare, lambda: Board().renew(data, signature), examine) > 2


def test_file_that_was_taken_in_but_not_deleted_is_deleted():
    provisioned()
    for data in (b"", bytes(100), bytes(50) + b"\xff" * 50):
        with open(provision.FILE, "wb") as file:
            file.write(data)
        board = Board()
        assert board.failure is None and not has_file()


def test_power_cut_in_every_write_of_a_first_provisioning():
    def prepare():
        clear()
        put_file(spent=123, seq=4)

    def examine(cut):
        board = Board()
        assert board.failure is None, board.failure
        assert (board.seq, board.spent) == (4, 123) and not has_file()
        assert board.charge(Release) == (5, 123 + 262145)

    steps = cut_everywhere(prepare, Board, examine)
    assert steps > 15, steps


def test_power_cut_in_every_write_of_a_second_provisioning():
    for key in (b"k", b"n"):
        for secret in (b"s", b"t"):

            def prepare(key=key, secret=secret):
                provisioned().charge(Release)
                put_file(key=key, secret=secret, spent=7, name="second")

            def examine(cut):
                board = Board()
                assert board.failure is None, board.failure
                assert board.spent == 262145 and board.policy.name == "second" and not has_file()

            cut_everywhere(prepare, Board, examine)


def test_broken_off_provisioning_whose_file_is_lost_is_refused_and_forgets_nothing():
    blank = []

    def prepare():
        provisioned().charge(Release)
        put_file(key=b"n", secret=b"t", name="second")

    def examine(cut):
        if cut and has_file():
            os.remove(provision.FILE)
        board = Board()
        if board.failure is not None:
            assert board.failure.code in (BLANK, CORRUPT)
            blank.append(1)
        # a third file that knows nothing of what was spent
        put_file(key=b"o", secret=b"u", name="third")
        board = Board()
        assert board.failure is None and board.policy.name == "third"
        assert board.spent == 262145, board.spent

    cut_everywhere(prepare, Board, examine)
    assert len(blank) > 5


def test_erased_ledger_is_refused_and_provisioning_again_wipes_the_records():
    board = provisioned()
    assert board.failure is None
    os.remove(platform.FOLDER + "/flash.bin")
    assert Board().failure.code == BLANK
    with open(provision.RECORDS, "wb") as file:
        file.write(b"x" * 100)
    put_file()
    board = Board()
    assert not files.exists(provision.RECORDS)
    # the seed of that file was used before: it does not come back from the dead
    assert board.failure.code == BLANK
    put_file(secret=b"t")
    assert Board().failure is None


def test_records_stay_when_nothing_was_lost():
    clear()
    with open(provision.RECORDS, "wb") as file:
        file.write(b"x" * 100)
    put_file()
    assert Board().failure is None
    put_file(name="again")
    assert Board().policy.name == "again"
    assert files.exists(provision.RECORDS)


def test_damaged_state_is_refused():
    provisioned()
    damage_state()
    assert Board().failure.code == BLANK


def damage_state():
    for which in (".0", ".1"):
        with open(provision.STATE + which, "r+b") as file:
            file.seek(20)
            file.write(b"\xff\xff")


def test_records_go_when_a_damaged_state_leaves_nobody_who_knows_what_was_spent():
    for key, left in ((b"k", True), (b"n", False)):
        provisioned().charge(Release)
        with open(provision.RECORDS, "wb") as file:
            file.write(b"x" * 100)
        damage_state()
        put_file(key=key, secret=b"t")
        board = Board()
        assert board.failure is None, board.failure
        # the same key still reads the ledger; with another one its spending is unknown
        assert board.spent == (262145 if left else 0)
        assert files.exists(provision.RECORDS) == left


def test_torn_record_costs_what_the_policy_of_its_time_allowed():
    board = provisioned(max_charge=300000)
    board.charge(Release)
    board = None
    # the newest record decays; its release has left the board
    with open(platform.FOLDER + "/flash.bin", "r+b") as file:
        file.seek(32 + 12)
        file.write(b"\0\0")
    put_file(max_charge=5)
    board = Board()
    assert board.failure is None and board.spent == 300000, (board.failure, board.spent)


def test_budget_holds_through_power_cuts_in_every_write_of_a_charge():
    shown = []

    def prepare():
        shown.clear()
        provisioned().charge(Release)

    def work():
        shown.append(Board().charge(Release)[1])

    def examine(cut):
        board = Board()
        assert board.failure is None
        # at least what was shown; a torn record costs max_charge
        assert board.spent in (262145, 2 * 262145, 262145 + 300000), board.spent
        if shown:
            assert board.spent == shown[0] == 2 * 262145
        before = board.spent
        refused = 0
        for _ in range(4):
            try:
                board.charge(Release)
            except Exception as error:
                assert error.code == BUDGET
                refused += 1
        assert board.spent <= 1000000 and board.spent == before + (4 - refused) * 262145
        assert refused >= 2

    assert cut_everywhere(prepare, work, examine) > 5


def test_ledger_goes_on_after_a_failed_charge():
    board = provisioned()
    power.arm(1)
    try:
        board.charge(Release)
        shown = True
    except BaseException:
        shown = False
    assert not shown
    power.arm()
    assert board.charge(Release)[1] == 262145


def test_long_ledger_is_listed_newest_first_across_blocks():
    board = provisioned(budget=4000000000)
    small = Release()
    small.clip, small.log2_sigma = 1, 12
    for _ in range(300):
        board.charge(small)
    sequence = []
    while True:
        records = ledger_records(board, len(sequence), 24)
        if not records:
            break
        sequence += [int.from_bytes(record[4:8], "little") for record in records]
    assert sequence[0] == board.seq and len(sequence) > 128
    assert sequence == sorted(sequence, reverse=True)
    assert Board().seq == board.seq and board.generation == 3


def source(share):
    """1024 bytes, of whose bits `share` in 256 are ones."""
    raw = bytearray(1024)
    drawn = bytearray(64)
    for i in range(0, 1024, 8):
        core.blake2b(drawn, b"", b"source %d" % i)
        for bit in range(64):
            raw[i + bit // 8] |= (drawn[bit] < share) << bit % 8
    return bytes(raw)


def test_broken_entropy_fails_closed():
    provisioned()
    whole = platform.entropy
    import picofed.board

    # stuck, alternating, the same 33 bytes for ever, biased to 3/4, 1/4 and 0.9
    sources = [bytes(1024), b"\xaa" * 1024, (source(128)[:33] * 32)[:1024], source(192), source(64), source(230)]
    for raw in sources:
        picofed.board.entropy = lambda raw=raw: raw
        try:
            board = Board()
        finally:
            picofed.board.entropy = whole
        assert board.failure.code == ENTROPY
        refuses(ENTROPY, board.noise_key)
        assert len(ledger_records(board, 0, 5)) == 1
    picofed.board.entropy = lambda: source(128)
    try:
        assert Board().failure is None
    finally:
        picofed.board.entropy = whole
