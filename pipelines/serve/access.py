"""Who may ask, and how much: what every request passes before anything reads it.

| refused                                                     | status |
|-------------------------------------------------------------|--------|
| on loopback: a Host that is not this machine                | 421    |
| from the script of another site (Origin)                    | 403    |
| without the token, where one is set                         | 401    |
| more requests than one client may send                      | 429    |
| when as many are under way as may be                        | 503    |
| a body over the limit, as it says or as it arrives          | 413    |
| a body that takes too long to arrive                        | 408    |

A page elsewhere cannot read an answer anyway (no CORS header is ever sent), but it could send, and a name
that its owner points at 127.0.0.1 would make it ours: hence Origin and Host.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from pipelines.errors import RequestRefusedError
from pipelines.serve.settings import ServiceLimits, ServiceSettings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]

# For load balancers, which have no token.
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_HERE = frozenset({"127.0.0.1", "localhost", "::1"})
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"SAMEORIGIN"),
)
_RETRY_AFTER_S = 1.0
# Clients that are remembered: of each two numbers.
_CLIENTS = 10_000


class TokenBucket:
    """Tokens of every client: one a request, refilled at a rate."""

    def __init__(self, limits: ServiceLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = limits.requests_a_s, limits.burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, client: str) -> float:
        """Take a token of a client; return 0, or in how many seconds there will be one."""
        if not self._rate:
            return 0.0
        now = self._clock()
        tokens, since = self._left.pop(client, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        wait_s = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        self._left[client] = (tokens - (not wait_s), now)
        if len(self._left) > _CLIENTS:
            self._left.popitem(last=False)
        return wait_s


class AccessControl:
    """An ASGI application around another.

    Args:
        app: what answers requests that may pass.
        settings: who may.
        seen: told the status of every request, and whether it was refused here.
        metered: whether a request counts against its client's rate.
    """

    def __init__(
        self,
        app: ASGI,
        settings: ServiceSettings,
        seen: Callable[[Scope, int, bool], None] = lambda *_: None,
        metered: Callable[[Scope], bool] = lambda _: True,
    ) -> None:
        self._app, self._settings, self._seen, self._metered = app, settings, seen, metered
        self._bucket = TokenBucket(settings.limits)
        self._under_way = 0
        self._hosts = _HERE | {settings.host.lower()} if settings.is_loopback else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request or hand it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        refusal = self._refusal(scope, headers)
        if refusal:
            await self._refuse(scope, send, *refusal)
            return
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                said = list(message.get("headers", ()))
                there = {name.lower() for name, _ in said}
                message["headers"] = said + [each for each in _ALWAYS if each[0] not in there]
            await send(message)

        self._under_way += 1
        try:
            await self._app(scope, self._counted(receive), sent)
        except RequestRefusedError as refused:
            if not status:
                await self._refuse(scope, send, refused.status, str(refused))
        else:
            self._seen(scope, status, False)
        finally:
            self._under_way -= 1

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str, float] | None:
        """Return the status, the sentence, and in how many seconds it may be otherwise."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self._hosts is not None and _name(host) not in self._hosts:
            return 421, f"this service answers at {self._settings.address} alone; ask it by that name", 0
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if origin and origin.partition("://")[2] != host:
            return 403, "scripts of other sites are not answered; ask from this one, or without a browser", 0
        return None if scope["path"] in OPEN_PATHS else self._refusal_of_client(scope, headers)

    def _refusal_of_client(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str, float] | None:
        if self._settings.token_sha256 and not _knows(headers, self._settings.token_sha256):
            return 401, "this service wants its token; send the header `Authorization: Bearer TOKEN`", 0
        if self._metered(scope) and (wait_s := self._bucket.wait_s((scope.get("client") or ("",))[0])):
            return 429, "that is more requests than one client may send; wait as Retry-After says", wait_s
        if self._under_way >= self._settings.limits.waiting:
            return 503, "the service has more to do than it can; wait as Retry-After says", _RETRY_AFTER_S
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._settings.limits.body_bytes:
            return 413, self._too_large(), 0
        return None

    def _counted(self, receive: Receive) -> Receive:
        """Return a `receive` that raises RefusedError where a body is too large or too slow."""
        limits = self._settings.limits
        left, ends = limits.body_bytes, asyncio.get_running_loop().time() + limits.body_s
        more = True

        async def received() -> Message:
            nonlocal left, more
            if not more:
                return await receive()
            try:
                async with asyncio.timeout_at(ends):
                    message = await receive()
            except TimeoutError:
                raise RequestRefusedError(
                    408, f"the request took over {limits.body_s:g} s to arrive"
                ) from None
            more = message.get("more_body", False)
            left -= len(message.get("body", b""))
            if left < 0:
                raise RequestRefusedError(413, self._too_large())
            return message

        return received

    def _too_large(self) -> str:
        return f"the request is larger than {self._settings.limits.body_bytes:,} bytes; send a smaller file"

    async def _refuse(self, scope: Scope, send: Send, status: int, said: str, wait_s: float = 0) -> None:
        self._seen(scope, status, True)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        body = json.dumps({"error": said}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *_ALWAYS,
        ]
        if status == 401:
            # Browsers ask their person only for Basic: any name, the token as the password.
            headers += [(b"www-authenticate", b"Bearer"), (b"www-authenticate", b'Basic realm="echolens"')]
        if wait_s:
            headers.append((b"retry-after", str(math.ceil(wait_s)).encode()))
        if status in (408, 413):
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _name(host: str) -> str:
    """Return the host of a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _knows(headers: dict[bytes, bytes], sha256: str) -> bool:
    kind, _, said = headers.get(b"authorization", b"").partition(b" ")
    if kind.lower() == b"basic":
        try:
            said = base64.b64decode(said, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif kind.lower() != b"bearer":
        return False
    # Hashes are compared, in constant time: how long it takes says nothing of the token.
    return hmac.compare_digest(hashlib.sha256(said.strip()).hexdigest(), sha256)
