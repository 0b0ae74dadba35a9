"""The paths of Gradio's server that are served, and the security headers of its responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

# What the page itself uses. Gradio also has a proxy, an API of every function, run histories on a hub, deep
# links and more; the page needs none of them.
_PATHS = ("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt")
_PREFIXES = ("/assets/", "/static/", "/gradio_api/heartbeat/", "/gradio_api/file=")
# Gradio would fetch such a URL and return its content from this origin: an open proxy.
_URLS = ("/gradio_api/file=http://", "/gradio_api/file=https://")
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

# Browsers then connect to no other host, whatever a caption or a library tries. Gradio's templates are
# compiled in the browser, hence `unsafe-eval`; recordings are encoded in a worker from a blob.
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


def is_allowed(path: str) -> bool:
    """Return whether a path, relative to the page's root, is one that the page uses."""
    if path.startswith(_URLS):
        return False
    name = path.rstrip("/") or "/"
    return name in _PATHS or name in _CALLS or path.startswith(_PREFIXES)


class PathAllowlist:
    """ASGI middleware that answers 404 for all but the page's paths, and adds security headers.

    Args:
        app: Gradio's server.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                added = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message["headers"], *(one for one in added if one[0] not in names)]
            await send(message)

        if scope["type"] != "http" or is_allowed(_strip_root(scope)):
            await self._app(scope, receive, send_secured)
            return
        plain = [(b"content-type", b"text/plain; charset=utf-8")]
        await send_secured({"type": "http.response.start", "status": 404, "headers": plain})
        await send({"type": "http.response.body", "body": b"The page has nothing there.\n"})


def _strip_root(scope: Message) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if root and path.startswith(root) else path
