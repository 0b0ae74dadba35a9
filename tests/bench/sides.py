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
class Used:
    """What a command and its processes took of the machine, and what all others did meanwhile."""

    cpu_s: dict[int, float] = field(default_factory=dict)
    peak_mb: Counter[str] = field(default_factory=Counter)
    others_share: float = 0.0

    def look(self, driver: psutil.Process) -> None:
        """Keep the CPU time of each process, and the most memory of the driver and of any one worker."""
        with suppress(psutil.Error):
            for each in [driver, *driver.children(recursive=True)]:
                with suppress(psutil.Error):
                    times, mb = each.cpu_times(), each.memory_info().rss / 2**20
                    self.cpu_s[each.pid] = times.user + times.system
                    word = "driver" if each is driver else _word(each.name())
                    self.peak_mb[word] = max(self.peak_mb[word], mb)


def _word(name: str) -> str:
    return "worker" if name.startswith("ray::MapWorker") or "Nothing" in name else "other"


def _busy_s() -> float:
    """CPU seconds of all processes, the machine's owner included."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - times.iowait - times.guest - times.guest_nice


@dataclass
class Ran:
    """One command: its rows, its seconds and what it used."""

    whole_s: float
    finished: bool
    stats: list[dict[str, float]]
    spent_s: dict[str, float] = field(default_factory=dict)
    used: Used = field(default_factory=Used)

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
    try:
        with _watched(process) as used:
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
    stats = [json.loads(path.read_text()) for path in media.glob("*_stats.json")]
    return Ran(time.monotonic() - begun, finished, stats, used=used)


@contextmanager
def _watched(driver: psutil.Process) -> Iterator[Used]:
    used, over = Used(), threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            used.look(driver)

    watching = threading.Thread(target=watch)
    watching.start()
    begun_s, busy_s = time.monotonic(), _busy_s()
    try:
        yield used
    finally:
        over.set()
        watching.join()
        cores_s = (psutil.cpu_count() or 1) * (time.monotonic() - begun_s)
        used.others_share = max(0.0, _busy_s() - busy_s - sum(used.cpu_s.values())) / cores_s
