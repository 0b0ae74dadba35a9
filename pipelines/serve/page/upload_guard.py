"""What a client says of files, before Gradio touches any: checked and reduced to what the page needs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from pipelines.errors import RequestRefusedError
from pipelines.serve.budgets import find_client
from pipelines.serve.page.allowlist import App, Message, Receive, Send
from pipelines.serve.page.uploads import UploadFolder
from pipelines.serve.settings import ServiceLimits

_API = "/gradio_api/"
_JOIN, _UPLOAD, _FILE = f"{_API}queue/join", f"{_API}upload", f"{_API}file="
# Words and settings: what is large is uploaded.
_JSON_BYTES = 256 * 2**10
_ID_CHARS = 64
# Gradio reads more of a request, such as names of functions and a request of its own.
_EVENT_KEYS = frozenset({"data", "event_data", "fn_index", "session_hash", "trigger_id"})
_FILE_DATA = {"_type": "gradio.FileData"}
_NAME_CHARS = 200


class UploadGuard:
    """ASGI middleware that lets a client name its uploads alone, and upload no more than may be kept.

    Args:
        app: Gradio's server.
        uploads: their folder.
        limits: of a request's body.
    """

    def __init__(self, app: App, uploads: UploadFolder, limits: ServiceLimits) -> None:
        self._app, self._uploads, self._limits = app, uploads, limits

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")).rstrip("/")
        try:
            if path.startswith(_FILE):
                await asyncio.to_thread(self._check_file, path.removeprefix(_FILE))
            elif path == _UPLOAD:
                await self._upload(scope, receive, send)
                return
            elif scope["method"] not in ("GET", "HEAD"):
                body = await _read_body(receive)
                if path == _JOIN:
                    body = await asyncio.to_thread(self._check_event, body)
                scope, receive = _replace_body(scope, body), _receive_once(body, receive)
        except RequestRefusedError as refused:
            await _send_error(send, refused)
            return
        await self._app(scope, receive, send)

    def _check_file(self, name: str) -> None:
        try:
            self._uploads.find(name)
        except RequestRefusedError as refused:
            raise RequestRefusedError(403, str(refused)) from None

    def _check_event(self, body: bytes) -> bytes:
        """Return the event in a body, with files as they are in the folder."""
        try:
            event = json.loads(body)
            if not isinstance(event, dict) or not isinstance(event.get("data"), list | None):
                raise RequestRefusedError(422, "an event is an object with a list of data; reload the page")
            session = event.get("session_hash")
            if not isinstance(session, str) or not 0 < len(session) <= _ID_CHARS:
                raise RequestRefusedError(422, "the event has no session; reload the page")
            kept = {key: self._check_value(value) for key, value in event.items() if key in _EVENT_KEYS}
            return json.dumps(kept).encode()
        except (ValueError, RecursionError):
            raise RequestRefusedError(400, "the event is not JSON; reload the page") from None

    def _check_value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._check_value(one) for one in value]
        if not isinstance(value, dict):
            return value
        if "path" in value or value.get("meta") == _FILE_DATA:
            return self._check_description(value)
        return {key: self._check_value(one) for key, one in value.items()}

    def _check_description(self, described: Mapping[str, Any]) -> dict[str, Any]:
        """Return Gradio's description of a file, of what is known here and the name that its user gave it."""
        if described.get("is_stream"):
            raise RequestRefusedError(422, "a stream was named in place of a file; upload the file")
        path = self._uploads.find(described.get("path"))
        name, kind = described.get("orig_name"), described.get("mime_type")
        return {
            "path": str(path),
            "orig_name": name[-_NAME_CHARS:] if isinstance(name, str) else None,
            "mime_type": kind[:_NAME_CHARS] if isinstance(kind, str) else None,
            "size": path.stat().st_size,
            "is_stream": False,
            "meta": _FILE_DATA,
        }

    async def _upload(self, scope: Message, receive: Receive, send: Send) -> None:
        client = find_client((scope.get("client") or ("",))[0])
        length = dict(scope["headers"]).get(b"content-length", b"")
        size = min(int(length), self._limits.body_bytes) if length.isdigit() else self._limits.body_bytes
        if not self._uploads.expect(client, size):
            await _send_error(send, RequestRefusedError(429, "too much is being uploaded; wait for its end"))
            return
        arrival = _Arrival(self._uploads, client, size, send)
        try:
            await self._app(scope, receive, arrival.send)
        finally:
            # Not in a thread: a cancelled request ends here, too, and the folder has few files.
            arrival.end([])


class _Arrival:
    """An upload that has begun, which is counted once: before its answer leaves, or when it fails."""

    def __init__(self, uploads: UploadFolder, client: str, size: int, send: Send) -> None:
        self._uploads, self._client, self._size, self._send = uploads, client, size, send
        self._status, self._answer, self._has_ended = 0, b"", False

    async def send(self, message: Message) -> None:
        """Send a part of the answer, which names the files that came of the upload."""
        self._status = message.get("status", self._status)
        self._answer += message.get("body", b"")
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.end(json.loads(self._answer) if self._status == 200 else [])
        await self._send(message)

    def end(self, names: list[str]) -> None:
        """Count the end of the upload, with the files that came of it, unless it was counted already."""
        if not self._has_ended:
            self._has_ended = True
            self._uploads.end(self._client, self._size, names)


async def _read_body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestRefusedError(400, "the request ended early; send it again")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > _JSON_BYTES:
            raise RequestRefusedError(413, f"the event has more than {_JSON_BYTES:,} bytes; write less")
    return body


def _replace_body(scope: Message, body: bytes) -> Message:
    names = (b"content-length", b"transfer-encoding")
    headers = [pair for pair in scope["headers"] if pair[0] not in names]
    return {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}


def _receive_once(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read already, and then what follows it."""
    is_given = False

    async def receive_again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def _send_error(send: Send, refused: RequestRefusedError) -> None:
    # Gradio's browser side shows `detail`.
    body = json.dumps({"error": str(refused), "detail": str(refused)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refused.status == 429:
        headers.append((b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
