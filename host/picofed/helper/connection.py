"""Connections that end: no client holds one open by sending or reading nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE: Final = 60.0  # seconds in which a request has come, whole
LIFETIME: Final = 600.0  # seconds after which a connection ends, also while it is answered: more than any answer takes
_log: Final = logging.getLogger("uvicorn.error")


class Connection(H11Protocol):
    """HTTP/1.1 with limits of time. A host asks once a connection, so that they count from its beginning."""

    _end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._end = self.loop.call_later(PATIENCE, self._look, PATIENCE)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)

    def _look(self, age: float) -> None:
        cycle = self.cycle
        if age < LIFETIME and cycle is not None and not cycle.more_body and not cycle.response_complete:
            self._end = self.loop.call_later(LIFETIME - age, self._look, LIFETIME)
            return
        _log.warning("a connection was closed: after %g seconds it had no request or did not take the answer", age)
        self.transport.abort()
