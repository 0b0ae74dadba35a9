"""Access control: the checks that every request passes before anything reads it.

| refused                                                     | status |
|-------------------------------------------------------------|--------|
| a Host that is neither this machine nor an allowed name     | 421    |
| from a script of another site (Origin)                      | 403    |
| over the rate of one client                                 | 429    |
| without the token, where one is set; many wrong ones        | 401, 429 |
| over the limit of requests in flight, of all or one client  | 503, 429 |
| a body over the limit, as declared or as it arrives         | 413    |
| a body that takes too long to arrive                        | 408    |

A page of another site cannot read a response anyway (no CORS header is ever sent), but it could send
requests, and a name that resolves to 127.0.0.1 (DNS rebinding) would make it same-origin: hence Origin and
Host.

Event streams, which may last for days, have a budget apart from work, and so has the page: neither many open
pages nor a page that hangs keeps the API from answering. A request with a body counts once that is there.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal

from pipelines.errors import RequestRefusedError
from pipelines.serve.budgets import Budget, Cap, find_client
from pipelines.serve.rates import TokenBucket
from pipelines.serve.settings import ServiceSettings
from pipelines.serve.tokens import Refusal, TokenCheck

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]
# What a request is to the service; each has a budget of its own.
Kind = Literal["work", "page", "stream"]

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


class AccessControl:
    """ASGI middleware that refuses requests.

    Args:
        app: answers the requests that pass.
        settings: the address, the token and the limits.
        on_response: called with every request, its status, and whether it was refused here.
        classify: what a request is to the service. What only shows the page has no rate: loading it takes
            dozens of cheap requests.
        on_wrong_token: called for every wrong token.
    """

    def __init__(
        self,
        app: ASGI,
        settings: ServiceSettings,
        on_response: Callable[[Scope, int, bool], None] = lambda *_: None,
        classify: Callable[[Scope], Kind] = lambda _: "work",
        on_wrong_token: Callable[[], None] = lambda: None,
    ) -> None:
        self._app, self._settings = app, settings
        self._on_response, self._classify = on_response, classify
        limits = settings.limits
        self._bucket = TokenBucket(limits)
        self._tokens = (
            TokenCheck(settings.token_sha256, limits, on_wrong_token) if settings.token_sha256 else None
        )
        work = Cap(limits.waiting, limits.waiting_a_client)
        self._in_flight: dict[Kind, Budget] = {
            "work": Budget(work),
            "page": Budget(work),
            "stream": Budget(limits.streams),
        }
        self._bodies = Budget(limits.body_memory)
        self._hosts = _list_hosts(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request or pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        client = find_client((scope.get("client") or ("",))[0])
        kind = self._classify(scope)
        admission = _Admission(self._in_flight[kind], self._bodies, client)
        refusal = self._find_origin_refusal(headers)
        if scope["path"] in OPEN_PATHS:
            admission.exempt()
        elif refusal is None:
            is_metered = kind == "work" or scope.get("method") != "GET"
            refusal = self._find_client_refusal(headers, client, is_metered)
            if refusal is None and not _has_body(scope, headers):
                refusal = admission.start()
        if refusal:
            await self._send_refusal(scope, send, refusal)
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

        try:
            await self._app(scope, self._limit_body(receive, admission), send_secured)
        except RequestRefusedError as refused:
            if not status:
                await self._send_refusal(scope, send, Refusal(refused.status, str(refused)))
        else:
            self._on_response(scope, status, False)
        finally:
            admission.end()

    def _find_origin_refusal(self, headers: dict[bytes, bytes]) -> Refusal | None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self._hosts is not None and _strip_port(host) not in self._hosts:
            return Refusal(
                421, f"this service answers at {self._settings.address} alone; ask it by that name"
            )
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if origin and origin.partition("://")[2] != host:
            return Refusal(
                403, "scripts of other sites are not answered; ask from this one, or without a browser"
            )
        return None

    def _find_client_refusal(
        self, headers: dict[bytes, bytes], client: str, is_metered: bool
    ) -> Refusal | None:
        if is_metered and (wait_s := self._bucket.take(client)):
            return Refusal(
                429, "that is more requests than one client may send; wait as Retry-After says", wait_s
            )
        if self._tokens and (refusal := self._tokens.find_refusal(headers, client)):
            return refusal
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._settings.limits.body_bytes:
            return Refusal(413, self._format_too_large())
        return None

    def _limit_body(self, receive: Receive, admission: _Admission) -> Receive:
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
            size = len(message.get("body", b""))
            left -= size
            if left < 0:
                raise RequestRefusedError(413, self._format_too_large())
            if busy := admission.hold(size) or (None if more else admission.start()):
                raise RequestRefusedError(busy.status, busy.reason)
            return message

        return receive_limited

    def _format_too_large(self) -> str:
        return f"the request is larger than {self._settings.limits.body_bytes:,} bytes; send a smaller file"

    async def _send_refusal(self, scope: Scope, send: Send, refusal: Refusal) -> None:
        status, reason, wait_s = refusal
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


class _Admission:
    """What one request holds of the budgets."""

    __slots__ = ("_bodies", "_budget", "_client", "_held", "_is_exempt", "_is_started")

    def __init__(self, budget: Budget, bodies: Budget, client: str) -> None:
        self._budget, self._bodies, self._client = budget, bodies, client
        self._is_started = self._is_exempt = False
        self._held = 0

    def start(self) -> Refusal | None:
        """Count the request, whose body is there; return why it is refused instead."""
        if self._is_started or self._is_exempt:
            return None
        if self._budget.take(self._client):
            self._is_started = True
            return None
        if self._budget.is_full(self._client):
            return Refusal(
                429, "that is more than one client may have under way; wait for an answer", _RETRY_AFTER_S
            )
        return Refusal(
            503, "the service has more to do than it can; wait as Retry-After says", _RETRY_AFTER_S
        )

    def exempt(self) -> None:
        """Let the request pass whatever is under way."""
        self._is_exempt = True

    def hold(self, size: int) -> Refusal | None:
        """Count a part of the body; return why it is refused instead."""
        if not size:
            return None
        if not self._bodies.take(self._client, size):
            return Refusal(
                503, "more is being sent than can be held; send it again in a moment", _RETRY_AFTER_S
            )
        self._held += size
        return None

    def end(self) -> None:
        """Give back what is held."""
        if self._is_started:
            self._is_started = False
            self._budget.give(self._client)
        if self._held:
            self._bodies.give(self._client, self._held)
            self._held = 0


def _has_body(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    """Return whether a body is to come that the application will read."""
    if scope.get("method") != "POST":
        return False
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def _list_hosts(settings: ServiceSettings) -> frozenset[str] | None:
    """Return the names that the service is asked by; None for any."""
    allowed = frozenset(name.lower() for name in settings.allow_hosts)
    if not settings.is_loopback and not allowed:
        return None
    return _LOOPBACK_HOSTS | allowed | {settings.host.lower()}


def _strip_port(host: str) -> str:
    """Return a Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
