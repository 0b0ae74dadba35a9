"""What of Gradio's server stands open, and which headers its answers carry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

# What the page itself uses. Gradio also has a proxy, an API of every function, histories on a hub, deep links
# and more; none of them is needed here, so none of them answers.
_PLACES = ("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt")
_FOLDERS = ("/assets/", "/static/", "/gradio_api/heartbeat/", "/gradio_api/file=")
# Gradio would fetch what is at such an address, and hand it on as if it were this service's.
_ADDRESSES = ("/gradio_api/file=http://", "/gradio_api/file=https://")
_CALLS = (
    "/gradio_api/queue/join",
    "/gradio_api/queue/data",
    "/gradio_api/upload",
    "/gradio_api/upload_progress",
    "/gradio_api/startup-events",
    "/gradio_api/reset",
    "/gradio_api/cancel",
    "/gradio_api/app_id",
)

# A browser that keeps to this asks no other host, whatever a caption or a library tries. Gradio's templates
# are compiled in the browser, hence `unsafe-eval`; recordings are encoded in a worker from a blob.
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "connect-src 'self' blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: dict[str, str] = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "permissions-policy": "camera=(), geolocation=(), microphone=(self)",
}


def is_open(path: str) -> bool:
    """Return whether a path of Gradio's server is one that the page uses, below the page's own root."""
    if path.startswith(_ADDRESSES):
        return False
    place = path.rstrip("/") or "/"
    return place in _PLACES or place in _CALLS or path.startswith(_FOLDERS)


class PathAllowlist:
    """An ASGI app in front of Gradio's: shuts what the page does not use, and sets the headers of the rest.

    Args:
        app: Gradio's.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                more = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message["headers"], *(one for one in more if one[0] not in there)]
            await send(message)

        if scope["type"] != "http" or is_open(_below(scope)):
            await self._app(scope, receive, with_headers)
            return
        plain = [(b"content-type", b"text/plain; charset=utf-8")]
        await with_headers({"type": "http.response.start", "status": 404, "headers": plain})
        await send({"type": "http.response.body", "body": b"The page has nothing there.\n"})


def _below(scope: Message) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if root and path.startswith(root) else path
