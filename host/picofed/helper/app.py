"""The helper over HTTP: two routes around a Judge."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from picofed.helper.judge import Judge, Refused
from picofed.helper.request import BOARD, BODY_MAX, pack_about

CBOR = "application/cbor"


def make_app(judge: Judge) -> Starlette:
    """An ASGI application."""

    async def unmask(http: HttpRequest) -> Response:
        body = b""
        async for piece in http.stream():
            body += piece
            if len(body) > BODY_MAX:
                return PlainTextResponse("the request is too long\n", 413)
        try:
            return Response(await run_in_threadpool(judge.answer, body), media_type=CBOR)
        except Refused as error:
            blamed = {BOARD: error.board.hex()} if error.board else None
            return PlainTextResponse(f"{error}\n", error.status, blamed)

    async def helper(http: HttpRequest) -> Response:
        return Response(pack_about(judge.public, judge.roster.minimum), media_type=CBOR)

    return Starlette(
        routes=[Route("/v1/unmask", unmask, methods=["POST"]), Route("/v1/helper", helper, methods=["GET"])]
    )
