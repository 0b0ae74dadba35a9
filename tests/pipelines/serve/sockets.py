"""Clients that do not behave: raw sockets, many of them, from any address of this machine."""

import contextlib
import selectors
import socket
import time

HALF_HEAD = b"GET /v1/about HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
HALF_BODY = b"POST /v1/lookup HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{"


def get(path, more=""):
    """Return a whole request."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}\r\n".encode()


def connect(port, sent=b"", source="127.0.0.1", buffer=None):
    """Return a socket that has sent something.

    Args:
        port: of the service.
        sent: at once.
        source: an address of this machine; any in 127.0.0.0/8.
        buffer: of what is received, in bytes, so that little is taken unread.
    """
    client = socket.socket()
    if buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.settimeout(10)
    client.bind((source, 0))
    client.connect(("127.0.0.1", port))
    with contextlib.suppress(OSError):
        client.sendall(sent)
    return client


@contextlib.contextmanager
def many(count, port, sent=b"", source="127.0.0.1", buffer=None):
    """Have so many sockets that have sent something, and do nothing more."""
    clients = []
    try:
        clients.extend(connect(port, sent, source, buffer) for _ in range(count))
        yield clients
    finally:
        for client in clients:
            client.close()


def read_all(client, within_s=10.0):
    """Return what is received until the other side closes."""
    received = b""
    client.settimeout(within_s)
    with contextlib.suppress(ConnectionError):
        while piece := client.recv(2**20):
            received += piece
    return received


def count_closed(clients, within_s=0.0):
    """Return how many of the sockets the other side has closed, or closes within a time."""
    closed = set()
    ends = time.monotonic() + within_s
    with selectors.DefaultSelector() as waiting:
        for client in clients:
            client.setblocking(False)
            waiting.register(client, selectors.EVENT_READ)
        while waiting.get_map():
            for key, _ in waiting.select(max(0, min(0.1, ends - time.monotonic()))):
                try:
                    over = not key.fileobj.recv(2**16)
                except BlockingIOError:
                    continue
                except OSError:
                    over = True
                if over:
                    closed.add(key.fileobj)
                    waiting.unregister(key.fileobj)
            if time.monotonic() >= ends or len(closed) == len(clients):
                break
    return len(closed)


def is_closed(client):
    """Return whether the other side has closed; what it sent is taken."""
    client.setblocking(False)
    try:
        while client.recv(2**16):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
