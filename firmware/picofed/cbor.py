"""The CBOR subset of SPEC 6.2: integers of 64 bits, byte and text strings, arrays, maps with text keys, true, false,
null; shortest forms, definite lengths, at most 4 deep. The decoder refuses everything else."""

from micropython import const

from .errors import MESSAGE, PicofedError

_DEPTH = const(4)


def _refuse(why):
    raise PicofedError(MESSAGE, why)


class Each:
    """Encoded as the array of what make() returns for each of `items`, one after the other: it may return one buffer
    every time."""

    def __init__(self, items, make):
        self.items = items
        self.make = make


def _head(out, major, value):
    if value < 24:
        out.append(major << 5 | value)
        return
    size = 1 if value < 0x100 else 2 if value < 0x10000 else 4 if value < 0x100000000 else 8
    out.append(major << 5 | (24 if size == 1 else 25 if size == 2 else 26 if size == 4 else 27))
    for shift in range(8 * size - 8, -1, -8):
        out.append(value >> shift & 0xFF)


def _encode(out, item, depth):
    kind = type(item)
    if item is None:
        out.append(0xF6)
    elif kind is bool:
        out.append(0xF5 if item else 0xF4)
    elif kind is int:
        if not -(1 << 64) <= item < 1 << 64:
            _refuse("integer too large")
        _head(out, 0 if item >= 0 else 1, item if item >= 0 else -1 - item)
    elif kind is str:
        item = item.encode()
        _head(out, 3, len(item))
        out.extend(item)
    elif kind is bytes or kind is bytearray or kind is memoryview:
        _head(out, 2, len(item))
        out.extend(item)
    elif depth == _DEPTH:
        _refuse("nested too deep")
    elif kind is list or kind is tuple:
        _head(out, 4, len(item))
        for element in item:
            _encode(out, element, depth + 1)
    elif kind is Each:
        _head(out, 4, len(item.items))
        for element in item.items:
            _encode(out, item.make(element), depth + 1)
    elif kind is dict:
        _head(out, 5, len(item))
        for key in item:
            if type(key) is not str:
                _refuse("map key is not text")
            _encode(out, key, depth + 1)
            _encode(out, item[key], depth + 1)
    else:
        _refuse("type cannot be encoded")


def dumps(item, out=None):
    """The encoding of an item, as a bytearray of its own or behind what `out` holds; a map in the order of its dict,
    which MicroPython does not promise."""
    if out is None:
        out = bytearray()
    _encode(out, item, 0)
    return out


class _Reader:
    """large: byte strings longer than this are memoryviews of the data."""

    def __init__(self, data, large):
        self.data = memoryview(data)
        self.end = len(data)
        self.at = 0
        self.large = large
        self.major = 0

    def skip(self, n):
        """Where the n bytes begin that are taken."""
        start = self.at
        if n > self.end - start:
            _refuse("message ends too early")
        self.at = start + n
        return start

    def head(self):
        """The argument of the next head; its type is in `major`."""
        # byte by byte: a slice would be an object more for each item
        data = self.data
        first = data[self.skip(1)]
        self.major, low = first >> 5, first & 31
        if low < 24:
            return low
        if low > 27 or self.major == 7:
            _refuse("float, indefinite length or reserved byte")
        size = 1 << (low - 24)
        value = 0
        start = self.skip(size)
        for at in range(start, start + size):
            value = value << 8 | data[at]
        if value < 24 or (size > 1 and value >> (4 * size) == 0):
            _refuse("not the shortest form")
        return value

    def take(self, n):
        start = self.skip(n)
        return self.data[start : start + n]

    def text(self, n):
        piece = self.take(n)
        if not _valid_utf8(piece):
            _refuse("text is not UTF-8")
        return str(piece, "utf-8")

    def item(self, depth):
        value = self.head()
        major = self.major
        if major == 0:
            return value
        if major == 1:
            return -1 - value
        if major == 2:
            piece = self.take(value)
            return bytes(piece) if value <= self.large else piece
        if major == 3:
            return self.text(value)
        if major == 7:
            if value < 20 or value > 22:
                _refuse("unknown simple value")
            return None if value == 22 else value == 21
        if major == 6:
            _refuse("tags are not allowed")
        if depth == _DEPTH:
            _refuse("nested too deep")
        # every element takes a byte at least: no list is longer than what is left
        if value > self.end - self.at:
            _refuse("message ends too early")
        if major == 4:
            found = []
            for _ in range(value):
                found.append(self.item(depth + 1))
            return found
        found = {}
        for _ in range(value):
            n = self.head()
            if self.major != 3:
                _refuse("map key is not text")
            key = self.text(n)
            if key in found:
                _refuse("map holds a key twice")
            found[key] = self.item(depth + 1)
        return found


def _valid_utf8(data):
    """MicroPython's own check lets overlong forms and surrogates pass."""
    left = 0
    low = 0x80
    high = 0xBF
    for byte in data:
        if left:
            if not low <= byte <= high:
                return False
            low, high = 0x80, 0xBF
            left -= 1
        elif byte >= 0x80:
            if 0xC2 <= byte <= 0xDF:
                left = 1
            elif 0xE0 <= byte <= 0xEF:
                left = 2
                low = 0xA0 if byte == 0xE0 else 0x80
                high = 0x9F if byte == 0xED else 0xBF
            elif 0xF0 <= byte <= 0xF4:
                left = 3
                low = 0x90 if byte == 0xF0 else 0x80
                high = 0x8F if byte == 0xF4 else 0xBF
            else:
                return False
    return not left


def loads(data, large=1 << 29):
    """The one item that `data` (any buffer) is. Byte strings longer than `large` stay where they are: memoryviews.
    Raises PicofedError with MESSAGE."""
    reader = _Reader(data, large)
    item = reader.item(0)
    if reader.at != reader.end:
        _refuse("bytes follow the item")
    return item
