"""Where a helper is: its URL, checked before anything depends on it."""

from __future__ import annotations

from urllib.parse import urlsplit

from picofed.errors import PicofedError


def check_address(url: str) -> None:
    """Raises PicofedError if nobody can be asked there."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # each looked at by the property that reads it
    except ValueError as error:
        raise PicofedError(f"{url!r} is no address of a helper: {error}") from error
    plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not host or not plain:
        raise PicofedError(f"{url!r} is no address of a helper: https://name (or http://), perhaps with a :port")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise PicofedError(f"{url!r} is no address of a helper: it has no user, no question mark and no #")
