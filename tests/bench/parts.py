"""What each part of fetching a picture costs, in milliseconds of CPU; run as a process of its own.

python tests/bench/parts.py PORT ROWS PARTS.json
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow as pa

from pipelines.fetch.http_client import HttpClient
from pipelines.fetch.image import ImageConverter, read_exif
from pipelines.fetch.resizing import make_resizer
from pipelines.fetch.stages import FetchImages
from pipelines.store import shards
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from pipelines.store.tar import write_tar
from schemas.dataset import Fetch, HostLimit
from schemas.sample import SAMPLE
from tests.origins import ORIGINS

FETCH = Fetch(allow_private_hosts=True, retries=0)
_CONNECTIONS = 128
_ROUNDS = 3


def cost_ms(work: Callable[[], object], rows: int) -> float:
    """Return the least CPU time a row of a few rounds; all threads of the process count."""
    best = float("inf")
    for _ in range(_ROUNDS):
        begun = time.process_time()
        work()
        best = min(best, (time.process_time() - begun) * 1000 / rows)
    return best


async def through(urls: list[str], get: Callable[[str], Coroutine[Any, Any, object]]) -> None:
    """Ask for all URLs, so many at once."""
    slots = asyncio.Semaphore(_CONNECTIONS)

    async def one(url: str) -> None:
        async with slots:
            await get(url)

    await asyncio.gather(*map(one, urls))


async def bare(urls: list[str]) -> None:
    """The library alone, as a short script would use it."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def get(url: str) -> None:
            async with session.get(url) as response:
                await response.read()

        await through(urls, get)


async def guarded(urls: list[str], fetch: Fetch) -> None:
    """Our client: addresses, redirects, deadline, caps, and whatever limits there are."""
    web = HttpClient(fetch, None)
    await through(urls, lambda url: web.get(url, io.BytesIO()))
    await web.close()


def batch_of(urls: list[str]) -> dict[str, list[Any]]:
    """Return rows that want the URLs."""
    batch: dict[str, list[Any]] = {field.name: [None] * len(urls) for field in SAMPLE}
    return batch | {
        "key": [f"{row:08d}" for row in range(len(urls))],
        "id": [f"{row:032x}" for row in range(len(urls))],
        "kind": ["image"] * len(urls),
        "lane": ["web"] * len(urls),
        "source_row": list(range(len(urls))),
        "caption": [f"picture {row}" for row in range(len(urls))],
        "licence": ["unknown"] * len(urls),
        "url": urls,
        "media_url": urls,
        "source": ["cc3m"] * len(urls),
        "outcome": ["ok"] * len(urls),
        "reason": [""] * len(urls),
    }


def written(batch: dict[str, list[Any]]) -> dict[str, float]:
    """Return the cost of the tar, of its JSON and of the table."""
    rows = len(batch["key"])
    shard = Shard(0, "image", "web", rows)
    table = pa.Table.from_pydict({field.name: batch[field.name] for field in SAMPLE}, schema=SAMPLE)
    members = list(shards._iterate_media_members(shard, table, batch))
    with tempfile.TemporaryDirectory() as folder:
        root = Root.from_url(folder)
        return {
            "records: a JSON a sample": cost_ms(
                lambda: list(shards._iterate_media_members(shard, table, batch)), rows
            ),
            "tar": cost_ms(lambda: write_tar(Path(folder) / "a.tar", members), rows),
            "tables": cost_ms(lambda: root.write_table("a.parquet", table), rows),
        }


def parts(port: int, rows: int) -> dict[str, float]:
    """Return every part and its cost."""
    urls = [f"http://127.1.0.{1 + row % 64}:{port}/{row}" for row in range(rows)]
    # Limits that nobody reaches: what remains is asking for permits and giving them back.
    limits = {f"127.1.0.{1 + host}": HostLimit(connections=10_000) for host in range(64)}
    cost = {"sockets: aiohttp alone": cost_ms(lambda: asyncio.run(bare(urls)), rows)}
    whole = cost_ms(lambda: asyncio.run(guarded(urls, FETCH)), rows)
    cost["guards: addresses, redirects, deadline, caps"] = whole - sum(cost.values())
    governed = cost_ms(lambda: asyncio.run(guarded(urls, FETCH.model_copy(update={"limits": limits}))), rows)
    cost["governor: permits of hosts that have a limit"] = governed - whole
    work: Any = FetchImages(FETCH, origins=ORIGINS).open()
    batch = batch_of(urls)
    work(batch)
    staged = cost_ms(lambda: work(batch), rows)
    done = work(batch)
    work.close()
    data = done["jpg"]
    bodies = [_body(url) for url in urls[:40]]
    resize, pictures = make_resizer(FETCH), ImageConverter(FETCH)
    n = range(rows)
    resized = cost_ms(lambda: [resize(io.BytesIO(bodies[row % 40])) for row in n], rows)
    stored = cost_ms(lambda: [pictures.convert(bodies[row % 40]) for row in n], rows)
    cost["decode, resize, encode: Resizer"] = resized
    cost["EXIF"] = cost_ms(lambda: [read_exif(bodies[row % 40]) for row in n], rows)
    cost["sha256"] = cost_ms(lambda: [hashlib.sha256(data[row]).hexdigest() for row in n], rows)
    cost["header: pixels before decoding"] = cost_ms(
        lambda: [pictures._size(bodies[row % 40]) for row in n], rows
    )
    cost["threads: handing over, waiting for the lock"] = staged - whole - stored
    return cost | written(done)


def _body(url: str) -> bytes:
    import urllib.request

    with urllib.request.urlopen(url) as response:
        body: bytes = response.read()
    return body


if __name__ == "__main__":
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    Path(sys.argv[3]).write_text(json.dumps(parts(int(sys.argv[1]), int(sys.argv[2]))))
