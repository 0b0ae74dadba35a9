"""A forward proxy that resolves every name to this machine, and notes what it is sent."""

import base64
import contextlib
import ipaddress
import socket
import threading
from types import TracebackType
from typing import Self

WORD = "pass:word/of@me"
USERINFO = "me:pass%3Aword%2Fof%40me"


class ForwardProxy:
    """Forwards to 127.0.0.1, whatever the host, until its block ends.

    Args:
        wants: whether it wants `USERINFO`.
        refuses: the bytes of its response to everything, in place of forwarding.
        refuses_tunnels: the same for CONNECT alone.
    """

    def __init__(
        self, *, wants: bool = False, refuses: bytes | None = None, refuses_tunnels: bytes | None = None
    ) -> None:
        self._wants, self._refuses, self._refuses_tunnels = wants, refuses, refuses_tunnels
        self.heads: list[bytes] = []

    @property
    def lines(self) -> list[str]:
        """The first line of every request."""
        return [head.split(b"\r\n")[0].decode("latin-1") for head in self.heads]

    @property
    def url(self) -> str:
        """Its URL, with credentials if it wants them."""
        return f"http://{f'{USERINFO}@' if self._wants else ''}127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := connection.recv(65_536)):
                    return
                head += data
            self.heads.append(head)
            method, target, _ = head.split(b"\r\n")[0].decode("latin-1").split(" ")
            refusal = self._refuse(head, method)
            if refusal is not None:
                connection.sendall(refusal)
                return
            place = target.split("/")[2] if method != "CONNECT" else target
            port = place.rpartition(":")[2]
            host = socket.create_connection(("127.0.0.1", int(port) if port.isdecimal() else 80), 5)
            with host:
                if method == "CONNECT":
                    connection.sendall(b"HTTP/1.1 200 Go ahead\r\n\r\n")
                else:
                    host.sendall(head)
                back = threading.Thread(target=_copy, args=(host, connection), daemon=True)
                back.start()
                _copy(connection, host)
                back.join()

    def _refuse(self, head: bytes, method: str) -> bytes | None:
        basic = base64.b64encode(f"me:{WORD}".encode())
        if self._wants and b"\r\nProxy-Authorization: Basic " + basic + b"\r\n" not in head:
            return b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nConnection: close\r\n\r\n"
        return self._refuses_tunnels if self._refuses_tunnels and method == "CONNECT" else self._refuses


def list_own_names() -> list[str]:
    """Return the name of this machine, if it resolves to an inside address here, as it mostly does."""
    try:
        address = ipaddress.ip_address(socket.gethostbyname(socket.gethostname()))
    except OSError:
        return []
    return [] if address.is_global else [socket.gethostname()]


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
