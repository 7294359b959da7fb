"""Numbers and names as a reader wants them, and the escaping that every byte of data passes through."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal
from html import escape

from picofed.report.summary import BoardSummary

NBSP = "\u00a0"
THIN = "\u202f"
INFINITY = "\u221e"
DASH = "\u2013"
UNKNOWN = "not measured"

_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_NARROW = frozenset("iIljtfr.,:;|!'`()[]{}/ -")
_BROAD = frozenset("mwMWOQGDHNU@%&")


def safe(text: object) -> str:
    """Escape for HTML text and quoted attributes; control, bidi and surrogate code points become U+FFFD."""
    return escape(clean(str(text)), quote=True)


def clean(text: str) -> str:
    """Replace what could break a line, turn the reading direction or not be encoded at all."""
    return "".join("\ufffd" if _is_hostile(c) else c for c in text)


def _is_hostile(char: str) -> bool:
    if char in "\n\t":
        return False
    # Cc control, Cs surrogate (cannot be encoded), and the marks that change the reading direction
    return unicodedata.category(char) in ("Cc", "Cs") or char in _DIRECTION


def percent(fraction: float | None, digits: int = 1) -> str:
    """0.7934 -> "79.3 %"."""
    return UNKNOWN if fraction is None else f"{100 * fraction:.{digits}f}{THIN}%"


def points(difference: float) -> str:
    """A difference of two fractions, in percentage points."""
    return f"{100 * abs(difference):.1f}{NBSP}points"


def epsilon(value: float) -> str:
    """Two decimals, rounded UP: a reported epsilon is never below the true one."""
    if math.isinf(value):
        return INFINITY
    if value > 1e6:
        return "over 1e6"
    return str(Decimal(repr(value)).quantize(Decimal("0.01"), rounding=ROUND_CEILING))


def epsilon_left(spent: float, left: float) -> str:
    """What is left as printed, so that the printed spent and left add up to the printed total."""
    total = epsilon(spent + left)
    if INFINITY in (total, epsilon(spent)) or spent + left > 1e6:
        return INFINITY if math.isinf(left) else epsilon(left)
    return str(Decimal(total) - Decimal(epsilon(spent)))


def power_of_two(exponent: int) -> str:
    """2^14 -> "16,384"."""
    return f"{2**exponent:,}" if exponent < 64 else f"2^{exponent}"


def short_number(value: float) -> str:
    """8.0 -> "8", 0.5 -> "0.5": for ticks and targets."""
    return INFINITY if math.isinf(value) else f"{value:.6g}"


def delta(value: float) -> str:
    """1e-05 -> "1e-5"."""
    mantissa, _, exponent = f"{value:g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def whole(value: float) -> str:
    """1234567 -> "1,234,567"; a mean keeps one decimal."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def count(value: int, noun: str, plural: str | None = None) -> str:
    """1 board, 2 boards."""
    return f"{value:,}{NBSP}{noun if value == 1 else plural or noun + 's'}"


def size(value: float | None) -> str:
    """Bytes, decimal prefixes: "986 bytes", "12.4 kB"."""
    if value is None:
        return UNKNOWN
    if value < 10_000:
        return f"{whole(value)}{NBSP}bytes" if value != 1 else f"1{NBSP}byte"
    for unit, scale in (("kB", 1e3), ("MB", 1e6)):
        if value < 999.5 * scale:
            return f"{value / scale:.3g}{NBSP}{unit}"
    return f"{value / 1e9:,.1f}{NBSP}GB"


def saving(value: float | None, reference: float | None) -> str | None:
    """Such as "82 % less" than the reference; None if unknown. A saving is rounded down, an excess up."""
    if value is None or not reference:
        return None
    if value <= reference:
        return f"{math.floor(100 * (1 - value / reference) + 1e-9)}{THIN}% less"
    return f"{math.ceil(100 * (value / reference - 1) - 1e-9)}{THIN}% more"


def guess_bound(boards: Iterable[BoardSummary]) -> float | None:
    """The largest chance, over boards, of telling whether one record was used (0.5 = a coin toss).

    A mu-Gaussian-DP release lets the best test of two equally likely cases succeed with probability
    Phi(mu / 2) (Dong, Roth and Su, Gaussian differential privacy, 2019); mu^2 = spent / 2^24 from the ledger.
    None if no board has spent anything, or one has no bound.
    """
    spent = [b.spent for b in boards]
    if not spent or any(math.isinf(b.epsilon_spent) for b in boards) or max(spent) == 0:
        return None
    mu = math.sqrt(max(spent) / 2**24)
    return 0.5 * (1 + math.erf(mu / 2 / math.sqrt(2)))


def ranges(numbers: Iterable[int]) -> str:
    """[1, 2, 3, 7] -> "1-3, 7"."""
    runs: list[list[int]] = []
    for n in sorted(set(numbers)):
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}{DASH}{b}" for a, b in runs)


def width(text: str, font_size: float) -> float:
    """A generous estimate of the width of a line in a sans-serif face, in the unit of font_size."""
    return font_size * sum(_advance(c) for c in text)


def _advance(char: str) -> float:
    if char in (THIN, "\u200a"):
        return 0.2
    if char in _NARROW:
        return 0.36
    if char in _BROAD:
        return 0.88
    if unicodedata.east_asian_width(char) in "WF":
        return 1.05
    return 0.72 if char.isupper() else 0.6


def fit(text: str, font_size: float, room: float) -> str:
    """Shorten with an ellipsis in the middle so that the line fits: names of boards differ at their ends."""
    text = clean(text).replace("\n", " ").replace("\t", " ")
    if width(text, font_size) <= room + 1e-6:
        return text
    room -= width("\u2026", font_size)
    head = _prefix(text, font_size, 0.6 * room)
    tail = _prefix(text[::-1], font_size, room - width(head, font_size))[::-1]
    return f"{head.rstrip()}\u2026{tail.lstrip()}"


def _prefix(text: str, font_size: float, room: float) -> str:
    used = 0.0
    for end, char in enumerate(text):
        used += width(char, font_size)
        if used > room:
            return text[:end]
    return text
