"""A load of HTTP requests, from a process of its own: `python load.py < plan.json > told.json`.

Plan: host, port, path, clients, seconds, rate (requests a second of all clients; 0: as fast as they can),
source (clients send from 127.0.0.N, N from this number on; 0: from any address),
bodies (a file, one a line), keys (a file, one JSON object a line: version -> the keys of a right answer),
retries. Told: how many answers of each status, how many had to be asked for again, failed, were wrong, and
the latencies in milliseconds.
"""

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

# A retried request waits so long, then twice as long.
_PAUSE_S = 0.05


class Connection:
    """One kept-alive connection, opened again when it broke."""

    def __init__(self, host, port, source=None):
        self.host, self.port, self.source = host, port, source
        self.reader = self.writer = None

    async def post(self, request):
        """Return status and body."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(
                self.host, self.port, local_addr=self.source
            )
        try:
            self.writer.write(request)
            head = await self.reader.readuntil(b"\r\n\r\n")
            status = int(head[9:12])
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            body = await self.reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError, ValueError):
            self.close()
            raise
        if b"connection: close" in head.lower():
            # Werkzeug swallows whatever else comes on such a connection, and never answers it.
            self.close()
        return status, body

    def close(self):
        """Close it."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None


class Load:
    """All clients of a plan, and what they were told."""

    def __init__(self, plan):
        self.plan = plan
        self.requests = [
            (
                f"POST {plan['path']} HTTP/1.1\r\nHost: {plan['host']}:{plan['port']}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            ).encode()
            + body
            for body in Path(plan["bodies"]).read_bytes().splitlines()
        ]
        self.right = None
        if plan.get("keys"):
            self.right = [json.loads(line) for line in Path(plan["keys"]).read_text().splitlines()]
        self.statuses = Counter()
        self.versions = Counter()
        self.told = {"asked": 0, "retried": 0, "failed": 0, "wrong": 0}
        self.ms = []
        self.began = self.ends = 0.0

    async def run(self):
        """Return what came of it."""
        self.began = time.perf_counter()
        self.ends = self.began + self.plan["seconds"]
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.end)
        await asyncio.gather(*(self.client(number) for number in range(self.plan["clients"])))
        took_s = time.perf_counter() - self.began
        return {
            **self.told,
            "statuses": self.statuses,
            "versions": self.versions,
            "seconds": took_s,
            "ms": sorted(round(each, 3) for each in self.ms),
        }

    def end(self):
        """Ask nothing more."""
        self.ends = 0.0

    async def client(self, number):
        """Ask until the time is over."""
        first = self.plan.get("source", 0)
        source = (f"127.0.0.{first + number}", 0) if first else None
        connection = Connection(self.plan["host"], self.plan["port"], source)
        clients, rate = self.plan["clients"], self.plan.get("rate", 0)
        turn = number
        while True:
            if rate:
                await asyncio.sleep(self.began + turn / rate - time.perf_counter())
            if time.perf_counter() >= self.ends:
                connection.close()
                return
            await self.ask(connection, turn % len(self.requests))
            turn += clients

    async def ask(self, connection, place):
        """Ask one question, again where it failed."""
        self.told["asked"] += 1
        for attempt in range(self.plan.get("retries", 0) + 1):
            began = time.perf_counter()
            try:
                status, body = await connection.post(self.requests[place])
            except (OSError, asyncio.IncompleteReadError, ValueError):
                status, body = 0, b""
            self.statuses[status] += 1
            if status == 200:
                self.ms.append(1000 * (time.perf_counter() - began))
                if self.right is not None:
                    self.check(place, body)
                return
            self.told["retried"] += attempt == 0
            await asyncio.sleep(_PAUSE_S * 2**attempt)
        self.told["failed"] += 1

    def check(self, place, body):
        """Compare an answer with the right one of its version."""
        answer = json.loads(body)
        version = str(answer["version"])
        self.versions[version] += 1
        self.told["wrong"] += [hit["key"] for hit in answer["hits"]] != self.right[place].get(version)


def load(url, bodies, *, path="/v1/lookup", clients=1, seconds=5.0, rate=0, keys=None, retries=0, source=0):
    """Start a load; what is returned gives what came of it when called, and may end it before its time."""
    host, _, port = url.removeprefix("http://").partition(":")
    folder = tempfile.TemporaryDirectory()
    plan = {"host": host, "port": int(port), "path": path, "clients": clients, "seconds": seconds}
    plan |= {"rate": rate, "retries": retries, "source": source, "bodies": str(Path(folder.name) / "bodies")}
    Path(plan["bodies"]).write_text("\n".join(bodies))
    if keys is not None:
        plan["keys"] = str(Path(folder.name) / "keys")
        Path(plan["keys"]).write_text("\n".join(map(json.dumps, keys)))
    running = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    running.stdin.write(json.dumps(plan))
    running.stdin.close()

    def told(stop=False):
        if stop:
            running.terminate()
        out = running.stdout.read()
        running.wait()
        folder.cleanup()
        return json.loads(out)

    return told


def percentile(ms, share):
    """Return the latency that so many stay below; of sorted ones."""
    return ms[min(len(ms) - 1, int(share * len(ms)))] if ms else float("nan")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(Load(json.load(sys.stdin)).run())))
