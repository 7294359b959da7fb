"""The helper over HTTP: two routes around a Judge."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from picofed.helper.judge import Judge, Refused
from picofed.helper.request import BOARD, BODY_MAX, pack_about

CBOR: Final = "application/cbor"
BODY_TIME: Final = 30.0  # seconds for a request's body
_CLOSE: Final = {"connection": "close"}  # what else would come on it is no request
_log: Final = logging.getLogger("uvicorn.error")


async def _body(http: HttpRequest) -> bytes | Response:
    """A request's body, or what is wrong with it."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIME):
            async for piece in http.stream():
                body += piece
                if len(body) > BODY_MAX:
                    return PlainTextResponse("the request is too long\n", 413, _CLOSE)
    except ClientDisconnect:
        _log.warning("a client left before its request was complete")
        return Response(status_code=400)  # to nobody
    except TimeoutError:
        _log.warning("a request was given up: after %g seconds it was not complete", BODY_TIME)
        return PlainTextResponse("the request takes too long\n", 408, _CLOSE)
    return bytes(body)


def make_app(judge: Judge) -> Starlette:
    """An ASGI application."""

    async def unmask(http: HttpRequest) -> Response:
        body = await _body(http)
        if isinstance(body, Response):
            return body
        try:
            return Response(await run_in_threadpool(judge.answer, body), media_type=CBOR)
        except Refused as error:
            if error.status >= 500:
                _log.error("%s", error)
            blamed = {BOARD: error.board.hex()} if error.board else None
            return PlainTextResponse(f"{error}\n", error.status, blamed)

    async def helper(http: HttpRequest) -> Response:
        return Response(pack_about(judge.public, judge.roster.minimum), media_type=CBOR)

    return Starlette(
        routes=[Route("/v1/unmask", unmask, methods=["POST"]), Route("/v1/helper", helper, methods=["GET"])]
    )
