"""A server that answers with bytes as they are given, and keeps the heads of its requests as they came."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

Answer = bytes | Callable[[bytes], bytes]


def make_answer(*lines: str | bytes, body: bytes = b"") -> bytes:
    """Return a response of header lines as they are, with a body; no line is added."""
    encoded = [line.encode() if isinstance(line, str) else line for line in lines]
    return b"\r\n".join([*encoded, b"", body])


class RawServer:
    """Serves until its block ends, a connection for each request.

    Args:
        answer: bytes for everyone, or what returns them for the head of a request.
        context: of TLS, or None.
    """

    def __init__(self, answer: Answer, context: ssl.SSLContext | None = None) -> None:
        self._answer, self._context = answer, context
        self.heads: list[bytes] = []

    @property
    def lines(self) -> list[str]:
        """The first line of every request."""
        return [head.split(b"\r\n")[0].decode("latin-1") for head in self.heads]

    def url(self, path: str = "a.jpg") -> str:
        """Return the URL of a path."""
        return f"http{'s' if self._context else ''}://127.0.0.1:{self.port}/{path}"

    def __enter__(self) -> Self:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), connection:
                connection.settimeout(5)
                if self._context is None:
                    self._talk(connection)
                    continue
                with self._context.wrap_socket(connection, server_side=True) as secure:
                    self._talk(secure)

    def _talk(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (data := connection.recv(65_536)):
                return
            head += data
        self.heads.append(head)
        connection.sendall(self._answer if isinstance(self._answer, bytes) else self._answer(head))
