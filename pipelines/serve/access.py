"""Access control: the checks that every request passes before anything reads it.

| refused                                                     | status |
|-------------------------------------------------------------|--------|
| on loopback: a Host that is not this machine                | 421    |
| from a script of another site (Origin)                      | 403    |
| without the token, where one is set                         | 401    |
| over the rate of one client                                 | 429    |
| over the limit of requests in flight                        | 503    |
| a body over the limit, as declared or as it arrives         | 413    |
| a body that takes too long to arrive                        | 408    |

A page of another site cannot read a response anyway (no CORS header is ever sent), but it could send
requests, and a name that resolves to 127.0.0.1 (DNS rebinding) would make it same-origin: hence Origin and
Host.
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
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"SAMEORIGIN"),
)
_RETRY_AFTER_S = 1.0
# Clients that are remembered, two numbers each.
_MAX_CLIENTS = 10_000


class TokenBucket:
    """A token bucket for every client: a request takes a token, and tokens are refilled at a rate.

    Args:
        limits: the rate and the burst.
        clock: in seconds.
    """

    def __init__(self, limits: ServiceLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = limits.requests_a_s, limits.burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Take a token of a client; return 0, or the seconds until there will be one."""
        if not self._rate:
            return 0.0
        now = self._clock()
        tokens, since = self._buckets.pop(client, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        wait_s = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        self._buckets[client] = (tokens - (not wait_s), now)
        if len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return wait_s


class AccessControl:
    """ASGI middleware that refuses requests.

    Args:
        app: answers the requests that pass.
        settings: the address, the token and the limits.
        on_response: called with every request, its status, and whether it was refused here.
        is_metered: whether a request counts against its client's rate.
    """

    def __init__(
        self,
        app: ASGI,
        settings: ServiceSettings,
        on_response: Callable[[Scope, int, bool], None] = lambda *_: None,
        is_metered: Callable[[Scope], bool] = lambda _: True,
    ) -> None:
        self._app, self._settings = app, settings
        self._on_response, self._is_metered = on_response, is_metered
        self._bucket = TokenBucket(settings.limits)
        self._in_flight = 0
        self._hosts = _LOOPBACK_HOSTS | {settings.host.lower()} if settings.is_loopback else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request or pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        refusal = self._find_refusal(scope, headers)
        if refusal:
            await self._send_refusal(scope, send, *refusal)
            return
        status = 0

        async def send_secured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = list(message.get("headers", ()))
                names = {name.lower() for name, _ in own}
                message["headers"] = own + [each for each in _SECURITY_HEADERS if each[0] not in names]
            await send(message)

        self._in_flight += 1
        try:
            await self._app(scope, self._limit_body(receive), send_secured)
        except RequestRefusedError as refused:
            if not status:
                await self._send_refusal(scope, send, refused.status, str(refused))
        else:
            self._on_response(scope, status, False)
        finally:
            self._in_flight -= 1

    def _find_refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str, float] | None:
        """Return the status, the sentence, and the seconds until a retry may pass; None to let it pass."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self._hosts is not None and _strip_port(host) not in self._hosts:
            return 421, f"this service answers at {self._settings.address} alone; ask it by that name", 0
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if origin and origin.partition("://")[2] != host:
            return 403, "scripts of other sites are not answered; ask from this one, or without a browser", 0
        return None if scope["path"] in OPEN_PATHS else self._find_client_refusal(scope, headers)

    def _find_client_refusal(
        self, scope: Scope, headers: dict[bytes, bytes]
    ) -> tuple[int, str, float] | None:
        if self._settings.token_sha256 and not _has_token(headers, self._settings.token_sha256):
            return 401, "this service wants its token; send the header `Authorization: Bearer TOKEN`", 0
        if self._is_metered(scope) and (wait_s := self._bucket.take((scope.get("client") or ("",))[0])):
            return 429, "that is more requests than one client may send; wait as Retry-After says", wait_s
        if self._in_flight >= self._settings.limits.waiting:
            return 503, "the service has more to do than it can; wait as Retry-After says", _RETRY_AFTER_S
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._settings.limits.body_bytes:
            return 413, self._format_too_large(), 0
        return None

    def _limit_body(self, receive: Receive) -> Receive:
        """Return a `receive` that raises RequestRefusedError where a body is too large or too slow."""
        limits = self._settings.limits
        left, ends = limits.body_bytes, asyncio.get_running_loop().time() + limits.body_s
        more = True

        async def receive_limited() -> Message:
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
                raise RequestRefusedError(413, self._format_too_large())
            return message

        return receive_limited

    def _format_too_large(self) -> str:
        return f"the request is larger than {self._settings.limits.body_bytes:,} bytes; send a smaller file"

    async def _send_refusal(
        self, scope: Scope, send: Send, status: int, reason: str, wait_s: float = 0
    ) -> None:
        self._on_response(scope, status, True)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        body = json.dumps({"error": reason}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *_SECURITY_HEADERS,
        ]
        if status == 401:
            # Browsers prompt only for Basic: any name, with the token as the password.
            headers += [(b"www-authenticate", b"Bearer"), (b"www-authenticate", b'Basic realm="echolens"')]
        if wait_s:
            headers.append((b"retry-after", str(math.ceil(wait_s)).encode()))
        if status in (408, 413):
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _strip_port(host: str) -> str:
    """Return a Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _has_token(headers: dict[bytes, bytes], sha256: str) -> bool:
    kind, _, token = headers.get(b"authorization", b"").partition(b" ")
    if kind.lower() == b"basic":
        try:
            token = base64.b64decode(token, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif kind.lower() != b"bearer":
        return False
    # In constant time, so that the time reveals nothing about the token.
    return hmac.compare_digest(hashlib.sha256(token.strip()).hexdigest(), sha256)
