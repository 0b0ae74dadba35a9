"""No row is lost, whoever is killed and how often: workers, or the governor of their requests.

ECHOLENS_KILLS (30) and ECHOLENS_KILL_ROWS (5,000) say how many, ECHOLENS_KILL_SEED (0) which.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.demo import write_dataset
from pipelines.miniature.server import serving
from tests.commands import SEED, status

KILLS = int(os.environ.get("ECHOLENS_KILLS", "30"))
ROWS = int(os.environ.get("ECHOLENS_KILL_ROWS", "5000"))
KILL_SEED = int(os.environ.get("ECHOLENS_KILL_SEED", "0"))
# Ray starts a worker again, but not one that dies more often than it can load its libraries.
APART_S = (8.0, 10.0)
GOVERNOR_SHARE = 0.1
# A quarter of the rows lie on this host: at so many a second the run is still going at its last kill.
RATE = max(1, int(ROWS / 4 / (KILLS * APART_S[1])))
OVERRIDES = ("shard_rows=100", "fetch.workers=2", f"fetch.limits={{127.0.0.1: {{requests_per_s: {RATE}}}}}")

pytestmark = [pytest.mark.kills, pytest.mark.timeout(3600)]


def killable(driver: subprocess.Popen) -> dict[str, list[psutil.Process]]:
    """The Ray workers below a driver that fetch or encode, and the one that governs."""
    found: dict[str, list[psutil.Process]] = {"worker": [], "governor": []}
    for process in psutil.Process(driver.pid).children(recursive=True):
        try:
            title = " ".join(process.cmdline())
        except psutil.Error:
            continue
        for kind, word in (("worker", "_Actor"), ("governor", "Governor")):
            if word in title:
                found[kind].append(process)
    return {kind: sorted(processes, key=lambda process: process.pid) for kind, processes in found.items()}


def table(root: Path, folder: str, *columns: str) -> pa.Table:
    """All rows of a folder's tables."""
    return pa.concat_tables(
        [pq.read_table(path, columns=list(columns)) for path in sorted((root / folder).glob("*.parquet"))]
    )


def test_no_row_is_lost_under_many_kills(tmp_path):
    """Every candidate has one key, one outcome and, if it is ok, its media and vectors."""
    rng = random.Random(KILL_SEED)
    killed: Counter[str] = Counter()
    with serving(SEED, ROWS) as base_url:
        file = write_dataset(tmp_path, base_url, ROWS, SEED)
        root = tmp_path / "data"
        began_s = time.monotonic()
        whole = [Path(sys.executable).parent / "echolens", "build", file, *OVERRIDES]
        with subprocess.Popen(whole, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as driver:
            while driver.poll() is None and killed.total() < KILLS:
                time.sleep(rng.uniform(*APART_S))
                kind = "governor" if rng.random() < GOVERNOR_SHARE else "worker"
                if driver.poll() is None and (processes := killable(driver)[kind]):
                    rng.choice(processes).send_signal(signal.SIGKILL)
                    killed[kind] += 1
            errors = driver.communicate()[1]
    took_s = time.monotonic() - began_s
    print(f"\nseed {KILL_SEED}: {dict(killed)} killed in {took_s:.0f} s, {ROWS} rows in shards of 100")
    assert driver.returncode == 0, errors
    numbers = status(root)
    planned = table(root, "candidates", "id", "kind").to_pylist()
    fetched = table(root, "media", "id", "key", "outcome").to_pylist()

    assert KILLS == killed.total()
    assert ROWS == numbers["rows_read"]
    assert numbers["rows_read"] == numbers["candidates"] + numbers["rejects"] + numbers["duplicates"]
    assert numbers["candidates"] == sum(numbers["outcomes"].values())
    assert 0 == numbers["pending"]
    assert len(planned) == len({row["id"] for row in planned})
    # Texts have no media; every other candidate has been fetched once, whatever came of it.
    assert sorted(row["id"] for row in planned if row["kind"] != "text") == sorted(r["id"] for r in fetched)
    assert len(fetched) == len({row["key"] for row in fetched})
    assert {"clip_image", "clip_text", "clap_text", "clap_audio"} == {*numbers["vectors"]}
