"""Guards of connections: deadlines and caps for what no application sees.

| what a client does                            | what comes of it                                     |
|-----------------------------------------------|------------------------------------------------------|
| opens more connections than it may            | the new one gets 503                                 |
| does not end its headers, or its body         | 408 at the deadline; sooner, where others need room  |
| sends headers without end                     | 431                                                  |
| sends requests without waiting for answers    | closed                                               |
| does not take its answer                      | closed at the deadline; sooner, where memory is short |

uvicorn has no option for any of these; it has one class a protocol, and this is one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from pipelines.serve.budgets import Budget, find_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.serve.settings import ServiceLimits

_SWEEP_S = 0.5
# Of many that began together only so many are ended in one go, or everybody would wait for it.
_ENDS_AT_ONCE, _AGAIN_S = 32, 0.02
# Requests of a connection that wait for the answer before theirs: 3 kB each, and a packet has thousands.
_MOST_PIPELINED = 16
# A client that takes less than this of what waits for it, within the deadline, has stalled.
_TAKES_BYTES = 64 * 2**10


class ConnectionGuard:
    """The connections of one server. For one event loop.

    Args:
        limits: of connections.
        is_proxy: whether an address is a trusted proxy, which has the connections of many clients.
    """

    def __init__(self, limits: ServiceLimits, is_proxy: Callable[[str], bool] = lambda _: False) -> None:
        self.limits = limits
        self._is_proxy = is_proxy
        self._open = Budget(limits.connections)
        self._unfinished = Budget(limits.unfinished)
        self._unread = Budget(limits.unread_bytes)
        self._admitted: set[GuardedProtocol] = set()
        # Requests that are not there as a whole, in the order in which they began.
        self._began: dict[GuardedProtocol, float] = {}
        # Answers that are not taken: since when, and the bytes that were left then.
        self._stalled: dict[GuardedProtocol, tuple[float, int]] = {}
        # Answers that do not fit into a buffer, in the order in which they were sent: bytes.
        self._large: dict[GuardedProtocol, int] = {}
        self._is_sweeping = False

    def find_client(self, address: str) -> str | None:
        """Return the client whose caps a connection counts against; None for a trusted proxy's."""
        return None if self._is_proxy(address) else find_client(address)

    def accept(self, connection: GuardedProtocol) -> bool:
        """Count a new connection; return False if there is no room for it.

        A connection without a whole request makes room: whoever opens many and says nothing shuts out nobody.
        """
        client = connection.peer
        if not self._open.take(client):
            own = self._open.is_full(client)
            if not self._evict_unfinished(client if own else None) or not self._open.take(client):
                return False
        self._admitted.add(connection)
        if not self._is_sweeping:
            self._is_sweeping = True
            self._sweep()
        return True

    def release(self, connection: GuardedProtocol) -> None:
        """Forget a connection, if it was admitted and not forgotten before."""
        if connection in self._admitted:
            self._admitted.remove(connection)
            self.finish(connection)
            self.note_drained(connection)
            self._open.give(connection.peer)

    def begin(self, connection: GuardedProtocol) -> None:
        """Note that a request may begin."""
        if connection in self._began or connection not in self._admitted:
            return
        client = connection.peer
        while self._unfinished.is_full(client) and self._evict_unfinished(client):
            pass
        if not self._unfinished.take(client):
            self._evict_unfinished(None)
            self._unfinished.add(client, 1)
        self._began[connection] = connection.loop.time()

    def finish(self, connection: GuardedProtocol) -> None:
        """Note that a request is there as a whole, or will never be."""
        if self._began.pop(connection, None) is not None:
            self._unfinished.give(connection.peer)

    def fill(self, connection: GuardedProtocol) -> None:
        """Note that an answer waits for its client; make room where too much waits."""
        client, size = connection.peer, connection.transport.get_write_buffer_size()
        self.note_drained(connection)
        self._large[connection] = size
        self._unread.add(client, size)
        while self._unread.is_exceeded(client):
            own = self._unread.is_full(client, 0)
            for other in self._large:
                if other is not connection and (not own or other.peer == client):
                    other.drop()
                    break
            else:
                return

    def note_drained(self, connection: GuardedProtocol) -> None:
        """Note that much of an answer was taken, or that nothing more will be."""
        # A stream is filled up as it is taken: its buffer may never be empty.
        self._stalled.pop(connection, None)
        if (size := self._large.pop(connection, None)) is not None:
            self._unread.give(connection.peer, size)

    def _evict_unfinished(self, client: str | None) -> bool:
        """End the oldest connection without a whole request, of one client or of all; False if none is."""
        for connection in self._began:
            if client is None or connection.peer == client:
                connection.end(503)
                return True
        return False

    def _sweep(self) -> None:
        """Check the deadlines of all connections, and do so again in a moment."""
        loop = asyncio.get_running_loop()
        now, limits = loop.time(), self.limits
        ended = 0
        for connection, began in list(self._began.items()):
            # The application ends a slow body at its deadline; this is for one that it does not read.
            whole_s = limits.header_s + (limits.body_s if connection.has_headers else 0)
            if now - began > whole_s:
                connection.end(408)
                ended += 1
                if ended == _ENDS_AT_ONCE:
                    break
        for connection in list(self._admitted):
            left = connection.transport.get_write_buffer_size()
            if not left:
                self._stalled.pop(connection, None)
                continue
            since, before = self._stalled.setdefault(connection, (now, left))
            if now - since > limits.stall_s:
                if before - left < _TAKES_BYTES:
                    connection.drop()
                else:
                    self._stalled[connection] = now, left
        loop.call_later(_AGAIN_S if ended == _ENDS_AT_ONCE else _SWEEP_S, self._sweep)


class GuardedProtocol(HttpToolsProtocol):
    """One connection, under a guard.

    Args:
        guard: of all connections of the server.
        rest: what uvicorn gives a protocol.
    """

    def __init__(self, guard: ConnectionGuard, **rest: Any) -> None:
        super().__init__(**rest)
        self._guard = guard
        self._header_bytes = 0
        self._is_whole = False
        self.has_headers = False
        self.peer: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, or refuse it."""
        super().connection_made(transport)
        self.peer = self._guard.find_client(self.client[0] if self.client else "")
        if self._guard.accept(self):
            self._guard.begin(self)
        else:
            self._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._guard.release(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, unless the connection is about to end."""
        if self.transport.is_closing():
            return
        if not self.has_headers:
            self._header_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing() or (self._is_whole and not self.cycle.response_complete):
            return
        self._guard.begin(self)
        if not self.has_headers and self._header_bytes > self._guard.limits.header_bytes:
            self.end(431)

    def on_message_begin(self) -> None:
        """Begin to count the bytes of the headers."""
        super().on_message_begin()
        self.has_headers = self._is_whole = False

    def on_headers_complete(self) -> None:
        """Hand the request to the application, unless its headers are too large."""
        self.has_headers = True
        limit = self._guard.limits.header_bytes
        if self._header_bytes > limit:
            # Some of what has arrived may be the body, but not of the URL and the headers.
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > limit:
                self.end(431)
                return
        if len(self.pipeline) >= _MOST_PIPELINED:
            # What they waited for may be a stream, and never end.
            self.drop()
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, unless its request was refused here."""
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is there."""
        self._guard.finish(self)
        self.has_headers, self._header_bytes, self._is_whole = False, 0, True
        if self.cycle is not None:
            super().on_message_complete()

    def pause_writing(self) -> None:
        """Note that the answer does not fit into the buffer."""
        super().pause_writing()
        self._guard.fill(self)

    def resume_writing(self) -> None:
        """Note that the client takes it."""
        self._guard.note_drained(self)
        super().resume_writing()

    def end(self, status: int) -> None:
        """End a connection without a whole request; a client that waits for an answer learns the status."""
        is_silent = not self._header_bytes and not self.has_headers
        self._guard.release(self)
        if is_silent or (self.cycle is not None and not self.cycle.response_complete):
            self._close()
        else:
            self._refuse(status)

    def drop(self) -> None:
        """End a connection without sending what waits."""
        self._guard.release(self)
        self.transport.abort()

    def _refuse(self, status: int) -> None:
        self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self._close()

    def _close(self) -> None:
        self.transport.close()
        # A client that takes nothing would keep the socket.
        self.loop.call_later(self._guard.limits.stall_s, self.transport.abort)
