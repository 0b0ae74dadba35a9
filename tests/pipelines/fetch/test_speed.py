import io
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.fetch.images import FetchImages
from pipelines.fetch.resizing import resizer
from schemas.dataset import Fetch

ROWS = 1000
ROUNDS = 5


@pytest.fixture(scope="module")
def port():
    """A fast server in a process of its own."""
    command = [sys.executable, Path(__file__).with_name("fast_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        yield int(server.stdout.readline())
        server.terminate()


@pytest.mark.bench
def test_images_a_second(port, capsys):
    """Pictures fetched and stored, beside the bare `Resizer` on as many threads, taking turns."""
    fetch = Fetch(allow_private_hosts=True)
    work = FetchImages(fetch).open()
    resize = resizer(fetch)
    urls = [f"http://127.0.0.1:{port}/{number}" for number in range(ROWS)]
    batch = {"media_url": urls, "url": urls, "source": ["cc12m"] * ROWS}
    batch |= {"outcome": ["ok"] * ROWS, "reason": [""] * ROWS}
    data = [urllib.request.urlopen(url).read() for url in urls[:40]]
    work({name: values[:40] for name, values in batch.items()})
    best = {"fetched": 0.0, "resized": 0.0}
    cpu_ms = {"fetched": 0.0, "resized": 0.0}

    def resized(_: dict[str, list]) -> None:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda number: resize(io.BytesIO(data[number % 40])), range(ROWS)))

    for _ in range(ROUNDS):
        for name, does in (("fetched", work), ("resized", resized)):
            begun, cpu = time.perf_counter(), time.process_time()
            does(batch)
            rate = ROWS / (time.perf_counter() - begun)
            if rate > best[name]:
                best[name], cpu_ms[name] = rate, (time.process_time() - cpu) * 1000 / ROWS
    work.close()
    with capsys.disabled():
        size_kb = sum(map(len, data)) / 40_000
        for name, rate in best.items():
            print(f"\n{name}: {rate:.0f} pictures/s of {size_kb:.0f} kB, {cpu_ms[name]:.2f} ms of CPU each")

    assert best["fetched"] > best["resized"] / 2
