"""The faults of the web, one small function each. Every response depends on the URL alone."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial

from aiohttp import web

# Draws the media that would be served without the fault.
Draw = Callable[[], Awaitable[bytes]]
Fault = Callable[[web.Request, Draw], Awaitable[web.StreamResponse]]

_RETRY_AFTER_S = 2
_LIE_BYTES = 10 * 1000**4
_CHUNK = bytes(65_536)
# Longer than any client's timeout, but a forgotten connection ends.
_DRIP_S = 600


async def _status(
    status: int, request: web.Request, _: Draw, headers: dict[str, str] | None = None
) -> web.StreamResponse:
    text = f"<html><body><h1>{status}</h1>{request.path}</body></html>"
    return web.Response(status=status, text=text, content_type="text/html", headers=headers)


async def _wait_seconds(request: web.Request, draw: Draw) -> web.StreamResponse:
    return await _status(429, request, draw, {"Retry-After": str(_RETRY_AFTER_S)})


async def _wait_date(request: web.Request, draw: Draw) -> web.StreamResponse:
    then = datetime.now(UTC) + timedelta(seconds=_RETRY_AFTER_S)
    return await _status(429, request, draw, {"Retry-After": format_datetime(then, usegmt=True)})


async def _redirect(to: str, request: web.Request, _: Draw) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": to.format(path=request.path)})


async def _loop(request: web.Request, _: Draw) -> web.StreamResponse:
    hop = int(request.query.get("hop", "0")) + 1
    return web.Response(status=302, headers={"Location": f"{request.path}?hop={hop % 7}"})


async def _moved(request: web.Request, draw: Draw) -> web.StreamResponse:
    if request.path.startswith("/moved/"):
        return web.Response(body=await draw(), content_type="image/jpeg")
    return await _redirect("/moved{path}", request, draw)


async def _noai(_: web.Request, draw: Draw) -> web.StreamResponse:
    headers = {"X-Robots-Tag": "noai, noimageai"}
    return web.Response(body=await draw(), content_type="image/jpeg", headers=headers)


async def _html(request: web.Request, _: Draw) -> web.StreamResponse:
    # Half of such pages have the Content-Type of a picture.
    honest = request.path.rpartition(".")[0][-1] in "02468"
    page = "<!DOCTYPE html><html><body><h1>Sorry</h1>This photo has moved.</body></html>"
    return web.Response(body=page.encode(), content_type="text/html" if honest else "image/jpeg")


async def _empty(_: web.Request, __: Draw) -> web.StreamResponse:
    return web.Response(body=b"", content_type="image/jpeg")


async def _slow(request: web.Request, draw: Draw) -> web.StreamResponse:
    return await _drip(request, await draw(), None)


async def _lying_length(request: web.Request, draw: Draw) -> web.StreamResponse:
    return await _drip(request, await draw(), _LIE_BYTES)


async def _drip(request: web.Request, data: bytes, length: int | None) -> web.StreamResponse:
    """Send half of the data at once, then a byte per second."""
    response = web.StreamResponse()
    response.content_type = "image/jpeg"
    response.content_length = length or len(data)
    await response.prepare(request)
    half = len(data) // 2
    await response.write(data[:half])
    for byte in data[half : half + _DRIP_S]:
        await asyncio.sleep(1)
        await response.write(bytes([byte]))
    return response


async def _endless(request: web.Request, draw: Draw) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_type = "image/jpeg"
    await response.prepare(request)
    await response.write(await draw())
    while True:
        await response.write(_CHUNK)


async def _reset(request: web.Request, _: Draw) -> web.StreamResponse:
    if request.transport is not None:
        sock: socket.socket = request.transport.get_extra_info("socket")
        # SO_LINGER of 0 s sends RST on close.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


FAULTS: dict[str, Fault] = {
    "gone_404": partial(_status, 404),
    "gone_410": partial(_status, 410),
    "unauthorized_401": partial(_status, 401),
    "forbidden_403": partial(_status, 403),
    "legal_451": partial(_status, 451),
    "error_500": partial(_status, 500),
    "error_503": partial(_status, 503),
    "wait_seconds": _wait_seconds,
    "wait_date": _wait_date,
    "redirect": _moved,
    "loop": _loop,
    "private": partial(_redirect, "http://169.254.169.254/latest/meta-data/photo.jpg"),
    "lan": partial(_redirect, "http://10.0.0.1{path}"),
    "noai": _noai,
    "html": _html,
    "empty": _empty,
    "slow": _slow,
    "endless": _endless,
    "lying_length": _lying_length,
    "reset": _reset,
}

# Transient faults, which a healthy server leaves out: a later request gets the media.
PASSING = frozenset({"error_500", "error_503", "wait_seconds", "wait_date", "slow", "reset"})
