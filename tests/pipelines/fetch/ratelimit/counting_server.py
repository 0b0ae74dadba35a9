"""A web server in a process of its own, which counts what each of its loopback addresses is asked.

    python counting_server.py PICTURE LATENCY_S ADDRESS...

Prints its port. `/_counts` returns, by address, when requests came and the most in flight, and resets both.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path


class Counts:
    """The requests to one address."""

    def __init__(self) -> None:
        self.came_s: list[float] = []
        self.under_way = self.most = 0


async def serve(picture: bytes, latency_s: float, addresses: list[str]) -> None:
    """Answer every path with the picture, after a while."""
    counts: defaultdict[str, Counts] = defaultdict(Counts)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()

    def pop_counts() -> bytes:
        body = json.dumps({name: {"came_s": each.came_s, "most": each.most} for name, each in counts.items()})
        counts.clear()
        return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        counter = counts[writer.get_extra_info("sockname")[0]]
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                if request.startswith(b"GET /_counts"):
                    writer.write(pop_counts())
                    await writer.drain()
                    continue
                counter = counts[writer.get_extra_info("sockname")[0]]
                counter.came_s.append(time.monotonic())
                counter.under_way += 1
                counter.most = max(counter.most, counter.under_way)
                try:
                    await asyncio.sleep(latency_s)
                    writer.write(head + picture)
                    await writer.drain()
                finally:
                    counter.under_way -= 1
        writer.close()

    first = await asyncio.start_server(answer, addresses[0], 0, backlog=2048)
    port = first.sockets[0].getsockname()[1]
    others = [await asyncio.start_server(answer, name, port, backlog=2048) for name in addresses[1:]]
    print(port, flush=True)
    await asyncio.gather(*(server.serve_forever() for server in [first, *others]))


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]).read_bytes(), float(sys.argv[2]), sys.argv[3:]))
