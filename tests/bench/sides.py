"""Echolens and img2dataset over the same list, each in processes of its own, and what they took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tests.bench import web

HERE = Path(__file__).parent
ENVIRONMENT = os.environ | {
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PYTHONPATH": str(HERE.parent.parent),
}


def size(name: str, default: int) -> int:
    """Return a size of a bench: that of the environment, for small tries, or the full one."""
    return int(os.environ.get(f"ECHOLENS_BENCH_{name}", default))


@dataclass
class Web:
    """A server that is running."""

    shape: str
    port: int
    tls_port: int
    process: psutil.Process
    report: Path

    def urls(self, rows: int) -> list[str]:
        """Return the URLs of the first rows."""
        return [web.url(self.shape, number, self.port, self.tls_port) for number in range(rows)]

    def cpu_s(self) -> float:
        """Return the CPU seconds it has used."""
        times = self.process.cpu_times()
        return times.user + times.system


@contextmanager
def serving(shape: str, folder: Path) -> Iterator[Web]:
    """Serve for as long as the block lasts; afterwards `report` holds when each answer ended."""
    report = folder / f"{shape}-{time.monotonic_ns()}.json"
    command = [sys.executable, HERE / "web.py", shape, report]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as server:
        assert server.stdout is not None
        port, tls_port = map(int, server.stdout.readline().split())
        try:
            yield Web(shape, port, tls_port, psutil.Process(server.pid), report)
        finally:
            server.terminate()


@dataclass
class Ran:
    """One command: its rows, its seconds and the memory of its processes."""

    whole_s: float
    finished: bool
    stats: list[dict[str, float]]
    spent_s: dict[str, float] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> int:
        """Rows with media."""
        return int(sum(each["successes"] for each in self.stats))

    @property
    def rows(self) -> int:
        """Rows of the shards that are done."""
        return int(sum(each["count"] for each in self.stats))

    @property
    def ended(self) -> float:
        """When the last shard was done."""
        return max(each["end_time"] for each in self.stats)

    @property
    def working_s(self) -> float:
        """From the beginning of the first shard to the end of the last."""
        return self.ended - min(each["start_time"] for each in self.stats)

    @property
    def ok_a_second(self) -> float:
        """Rows with media over the working time."""
        return self.ok / self.working_s


def ours(folder: Path, urls: list[str], *, shard_rows: int, workers: int, **fetch: object) -> Ran:
    """Run Echolens: plan and fetch."""
    folder.mkdir(parents=True)
    lines = (f"picture {number}\t{url}\n" for number, url in enumerate(urls))
    (folder / "list.tsv").write_text("".join(lines))
    settings = {"allow_private_hosts": True, "retries": 0, "timeout_s": 10, "workers": workers} | fetch
    described = {
        "name": "bench",
        "root": str(folder / "root"),
        "shard_rows": shard_rows,
        "sources": [{"kind": "cc3m", "list": str(folder / "list.tsv")}],
        "fetch": settings,
        "filter": {"language": None, "min_side_px": 1, "max_aspect": 1e6},
    }
    (folder / "bench.yaml").write_text(yaml.safe_dump(described))
    command = [sys.executable, HERE / "fetch_only.py", folder / "bench.yaml", folder / "spent.json"]
    ran = _run(command, folder / "root" / "media", wait_s=3600)
    ran.spent_s = json.loads((folder / "spent.json").read_text())
    return ran


def theirs(folder: Path, urls: list[str], *, shard_rows: int, processes: int, wait_s: float = 3600) -> Ran:
    """Run img2dataset with its defaults (256 threads a process, EXIF, sha256) and our resize mode."""
    folder.mkdir(parents=True)
    captions = [f"picture {number}" for number in range(len(urls))]
    pq.write_table(pa.table({"url": urls, "caption": captions}), folder / "list.parquet")
    command = [
        Path(sys.executable).parent / "img2dataset",
        f"--url_list={folder / 'list.parquet'}",
        "--input_format=parquet",
        "--caption_col=caption",
        "--output_format=webdataset",
        f"--output_folder={folder / 'out'}",
        "--image_size=256",
        "--resize_mode=keep_ratio",
        f"--processes_count={processes}",
        f"--number_sample_per_shard={shard_rows}",
        "--timeout=10",
    ]
    return _run(command, folder / "out", wait_s)


def _run(command: list[object], media: Path, wait_s: float) -> Ran:
    begun = time.monotonic()
    with (media.parent.parent / "log").open("wb") as log:
        process = psutil.Popen(list(map(str, command)), env=ENVIRONMENT, stdout=log, stderr=log)
    peak: Counter[str] = Counter()
    over = threading.Event()
    watching = threading.Thread(target=_watch, args=(process, peak, over))
    watching.start()
    try:
        process.wait(wait_s)
    except psutil.TimeoutExpired:
        for each in [*process.children(recursive=True), process]:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()
        finished = False
    else:
        finished = True
        assert process.returncode == 0, (media.parent.parent / "log").read_text()
    over.set()
    watching.join()
    stats = [json.loads(path.read_text()) for path in media.glob("*_stats.json")]
    peaks_mb = {word: rss / 2**20 for word, rss in peak.items()}
    return Ran(time.monotonic() - begun, finished, stats, peak_mb=peaks_mb)


def _watch(driver: psutil.Process, peak: Counter[str], over: threading.Event) -> None:
    """Keep the most memory that the driver and any one worker had."""
    while not over.wait(0.5):
        with suppress(psutil.Error):
            peak["driver"] = max(peak["driver"], driver.memory_info().rss)
            for each in driver.children(recursive=True):
                with suppress(psutil.Error):
                    if each.name().startswith("ray::MapWorker") or "Nothing" in each.name():
                        peak["worker"] = max(peak["worker"], each.memory_info().rss)
