# The CBOR codec against vectors that cbor2 made (/vectors.txt: hex, tab, literal), and against hostile input.
from harness import Random, refuses
from picofed import cbor
from picofed.errors import MESSAGE

SEED = 1


def test_vectors_of_another_encoder():
    with open("/vectors.txt") as file:
        lines = file.readlines()
    assert len(lines) > 100
    for line in lines:
        code, literal = line.rstrip("\n").split("\t")
        item = eval(literal)
        # MicroPython does not promise the order of a map
        assert len(cbor.dumps(item)) == len(code) // 2 and cbor.loads(cbor.dumps(item)) == item, literal
        assert "{" in literal or bytes(cbor.dumps(item)).hex() == code, literal
        found = cbor.loads(bytes.fromhex(code))
        assert found == item and type(found) is type(item), literal


def test_hostile_encodings_are_refused():
    with open("/hostile.txt") as file:
        for line in file:
            refuses(MESSAGE, cbor.loads, bytes.fromhex(line.strip()))


def test_prefixes_and_trailing_bytes_are_refused():
    whole = bytes(cbor.dumps([1, -500, b"abc", "d\u00e9", {"e": [None, True, 1 << 40]}]))
    for n in range(len(whole)):
        refuses(MESSAGE, cbor.loads, whole[:n])
    refuses(MESSAGE, cbor.loads, whole + b"\0")


def test_random_bytes_decode_to_their_own_encoding_or_are_refused():
    random = Random(SEED)
    taken = 0
    for _ in range(20000):
        n = 1 + random.below(6)
        data = random.bytes(n)
        try:
            item = cbor.loads(data)
        except Exception as error:
            assert getattr(error, "code", None) == MESSAGE, (data, error)
            continue
        taken += 1
        assert len(cbor.dumps(item)) == n and cbor.loads(cbor.dumps(item)) == item, data
        assert data[0] >= 0xA0 or cbor.dumps(item) == data or b"\xa2" in data, data
    assert taken > 300, taken


def test_depth_and_range_of_what_is_encoded():
    assert cbor.loads(cbor.dumps([[[[1]]]])) == [[[[1]]]]
    refuses(MESSAGE, cbor.dumps, [[[[[1]]]]])
    refuses(MESSAGE, cbor.dumps, {"a": [{"b": [[]]}]})
    refuses(MESSAGE, cbor.dumps, 1 << 64)
    refuses(MESSAGE, cbor.dumps, -(1 << 64) - 1)
    refuses(MESSAGE, cbor.dumps, 1.5)
    refuses(MESSAGE, cbor.dumps, {1: 2})
    assert cbor.loads(cbor.dumps(memoryview(b"abc")[1:])) == b"bc"
