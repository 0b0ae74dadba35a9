"""A web server that costs as little as one can, in three shapes; run as a process of its own.

| shape | how it answers                                                                             |
|-------|--------------------------------------------------------------------------------------------|
| fast  | at once, with one of 40 pictures of about 50 kB                                            |
| web   | after 150 ms (median; long tail); a quarter is dead in every way, 2 % stall for a minute   |
| drip  | as web, and 0.5 % send a byte every 5 s for half an hour                                   |

What a number answers depends on the number alone, so that whoever asks meets the same web. Hosts are the
addresses 127.x.y.z, of which every one ends here.

    python tests/bench/web.py SHAPE REPORT      prints its two ports; writes REPORT when it is terminated
"""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import random
import signal
import socket
import ssl
import struct
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import cv2
import numpy as np

DISTINCT = 40
HOSTS = {"fast": 64, "web": 5_000, "drip": 5_000}
MEDIAN_S, SPREAD, SLOWEST_S = 0.15, 1.0, 8.0
DEAD_SHARE, STALLED_SHARE, DRIPPING_SHARE = 0.25, 0.02, 0.005
STALL_S, DRIP_S, DRIPS = 60.0, 5.0, 360
_STATUSES = (400, 401, 403, 404, 410, 418, 429, 451, 500, 503)
_BODIES = ("html", "empty", "truncated", "noise", "svg", "giant", "bomb", "noai")
_LINES = ("reset", "close", "garbage", "short", "loop", "elsewhere", "refused", "no_host", "tls")
DEAD = (*map(str, _STATUSES), *_BODIES, *_LINES)


@cache
def fate(shape: str, number: int) -> str:
    """Return what becomes of a number: `ok`, `stall`, `drip` or one of DEAD."""
    if shape == "fast":
        return "ok"
    drawn = random.Random(number).random()
    if drawn < DEAD_SHARE:
        return DEAD[number % len(DEAD)]
    if drawn < DEAD_SHARE + STALLED_SHARE:
        return "stall"
    dripping = shape == "drip" and drawn > 1 - DRIPPING_SHARE
    return "drip" if dripping else "ok"


def url(shape: str, number: int, port: int, tls_port: int) -> str:
    """Return the URL of a number."""
    of = fate(shape, number)
    if of == "no_host":
        return f"http://host{number}.invalid/{number}"
    if of == "refused":
        return f"http://127.0.0.1:1/{number}"
    place = number % HOSTS[shape]
    host = f"127.{1 + place // 60_000}.{place // 250 % 240}.{1 + place % 250}"
    return f"https://{host}:{tls_port}/{number}" if of == "tls" else f"http://{host}:{port}/{number}"


def pictures() -> list[bytes]:
    """Return 40 JPEGs of 500 x 375 pixels and about 50 kB."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(DISTINCT):
        size = (500, 375) if number % 2 else (375, 500)
        coarse = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
        made.append(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 76])[1].tobytes())
    return made


def answered(body: bytes, status: str = "200 OK", kind: str = "image/jpeg", more: str = "") -> bytes:
    """Return a whole HTTP answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def answers(whole: list[bytes]) -> dict[str, bytes]:
    """Return what each fate that answers at all answers, drawn once."""
    page = b"<!DOCTYPE html><html><body>This picture has moved.</body></html>"
    chunk = struct.pack(">I4sIIBBBBBI", 13, b"IHDR", 50_000, 50_000, 8, 2, 0, 0, 0, 0)
    return {str(status): answered(page, f"{status} No", "text/html") for status in _STATUSES} | {
        "429": answered(b"", "429 Too Many Requests", more="Retry-After: 120\r\n"),
        "html": answered(page),
        "empty": answered(b""),
        "truncated": answered(whole[0][: len(whole[0]) // 2]),
        "noise": answered(np.random.default_rng(0).bytes(20_000)),
        "svg": answered(b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
        "giant": answered(b"\x89PNG\r\n\x1a\n" + chunk),
        "bomb": answered(gzip.compress(bytes(200_000_000), 1), more="Content-Encoding: gzip\r\n"),
        "noai": answered(whole[0], more="X-Robots-Tag: noai\r\n"),
        "garbage": b"220 mail.example ESMTP\r\n\r\n",
        "short": answered(whole[0])[:20_000],
        "elsewhere": answered(b"", "302 Found", more="Location: ftp://127.0.0.1/a.jpg\r\n"),
    }


class Protocol(asyncio.Protocol):
    """Answers `/NUMBER` as its fate says, when its time has come."""

    def __init__(self, shape: str, ended: list[float]) -> None:
        self.shape, self.ended = shape, ended
        self.heard = b""
        self.pending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write to."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self.heard += data
        while b"\r\n\r\n" in self.heard:
            request, self.heard = self.heard.split(b"\r\n\r\n", 1)
            number = int(request.split(b" ", 2)[1][1:])
            if self.shape == "fast":
                self.transport.write(_OK[number % DISTINCT])
                continue
            of = fate(self.shape, number)
            wait_s = min(MEDIAN_S * math.exp(SPREAD * random.Random(-1 - number).gauss(0, 1)), SLOWEST_S)
            self.answer_in(STALL_S if of == "stall" else wait_s, of, number)

    def answer_in(self, wait_s: float, of: str, number: int, sent: int = 0) -> None:
        """Go on with an answer after a while."""
        self.pending = asyncio.get_running_loop().call_later(wait_s, self.answer, of, number, sent)

    def answer(self, of: str, number: int, sent: int) -> None:
        """Answer."""
        self.pending = None
        whole = _OK[number % DISTINCT]
        if of == "drip" and sent < DRIPS:
            self.transport.write(whole[sent : sent + 1])
            self.answer_in(DRIP_S, of, number, sent + 1)
            return
        self.ended.append(time.time())
        if of in ("ok", "stall", "drip"):
            self.transport.write(whole[sent:])
        elif of == "loop":
            self.transport.write(answered(b"", "302 Found", more=f"Location: /{number}\r\n"))
        elif of in ("reset", "close"):
            if of == "reset":
                sock = self.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.write(_ANSWERS.get(of, _ANSWERS["404"]))
            if of in ("short", "garbage"):
                self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Who hangs up has had its answer."""
        if self.pending is not None:
            self.pending.cancel()
            self.ended.append(time.time())


_OK: list[bytes] = []
_ANSWERS: dict[str, bytes] = {}


def self_signed() -> ssl.SSLContext:
    """Return a context whose certificate nobody signed."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    day = timedelta(days=1)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    signed = made.not_valid_before(datetime.now(UTC) - day).not_valid_after(datetime.now(UTC) + day)
    pem = signed.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        context.load_cert_chain(file.name)
    return context


async def main(shape: str) -> list[float]:
    """Serve on two free ports until terminated; return when each answer ended."""
    whole = pictures()
    _OK.extend(map(answered, whole))
    _ANSWERS.update(answers(whole) if shape != "fast" else {})
    ended: list[float] = []
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    servers = [
        await loop.create_server(lambda: Protocol(shape, ended), "0.0.0.0", 0, backlog=4096, ssl=context)
        for context in (None, self_signed())
    ]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await stop.wait()
    return ended


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(asyncio.run(main(sys.argv[1]))))
