"""kill -9 of anything at any time, then the same command, until it is done: seeded kills and named points.

ECHOLENS_KILLS (4) and ECHOLENS_KILL_SEED (0) say how many there are and which. `make kills` takes 30, and
every named point in place of one in three.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from jobs.demo import write_dataset
from pipelines.miniature.server import serving
from tests.conftest import command, digest, status

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

ROWS, SEED = 200, 3
# What a URL answers depends on the URL alone, and the port is in it.
PORT = 47_815
KILLS = int(os.environ.get("ECHOLENS_KILLS", "4"))
KILL_SEED = int(os.environ.get("ECHOLENS_KILL_SEED", "0"))
ECHOLENS = Path(sys.executable).parent / "echolens"


@pytest.fixture(scope="module")
def world():
    """Without faults that pass with time: replay is promised for answers that depend on the URL alone."""
    with serving(SEED, ROWS, port=PORT, healthy=True) as base_url:
        yield base_url


@pytest.fixture(scope="module")
def calm(world, tmp_path_factory) -> tuple[Path, dict[str, str], int]:
    """A build and a refresh that nothing disturbed: folder, digest of each, requests for the build."""
    folder = tmp_path_factory.mktemp("calm")
    file = write_lists(folder, world, ROWS // 2)
    before = requests(world)
    command("build", file)
    asked = requests(world) - before
    digests = {"build": digest(folder / "data")}
    file = write_lists(folder, world, ROWS)
    command("refresh", file)
    digests["refresh"] = digest(folder / "data")
    return folder, digests, asked


def write_lists(folder: Path, base_url: str, rows: int) -> Path:
    """Write the first rows of every list of the world, as a list that grows has them."""
    file = write_dataset(folder, base_url, ROWS, SEED)
    for path in (folder / "lists").iterdir():
        if rows < ROWS and path.suffix != ".gz":
            lines = path.read_bytes().splitlines(keepends=True)
            path.write_bytes(b"".join(lines[: len(lines) // 2]))
    return file


def requests(base_url: str) -> int:
    with urllib.request.urlopen(f"{base_url}/_requests") as answer:
        return json.load(answer)["count"]


def start(verb: str, file: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [ECHOLENS, verb, file], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def family(driver: subprocess.Popen) -> list[psutil.Process]:
    """The job's process and every one below it."""
    try:
        top = psutil.Process(driver.pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill_driver(driver: subprocess.Popen) -> None:
    """Kill the job's own process; those below notice and leave, or are killed after a while as well."""
    below = family(driver)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    for late in psutil.wait_procs(below, timeout=5)[1]:
        late.kill()
    psutil.wait_procs(below, timeout=5)


def until(reached: Callable[[], bool], driver: subprocess.Popen, seconds: float = 300) -> bool:
    """Wait for a state of the files; return False if the job is over before."""
    end = time.monotonic() + seconds
    while not reached():
        if driver.poll() is not None:
            return False
        assert time.monotonic() < end
        time.sleep(0.002)
    return True


def test_random_kills_end_in_the_same_dataset(world, calm, tmp_path):
    """A random process of a build or refresh dies at a random time; the digests are those of the calm."""
    _, digests, _ = calm
    print(f"\nseed {KILL_SEED}, {KILLS} kills")
    drawn = random.Random(KILL_SEED)
    left, verb = KILLS, "build"
    folder = tmp_path / "world-0"
    folder.mkdir()
    file = write_lists(folder, world, ROWS // 2)
    rounds = 0
    while left:
        driver = start(verb, file)
        try:
            driver.wait(drawn.uniform(0.5, 20))
        except subprocess.TimeoutExpired:
            alive = family(driver)
            if alive:
                victim = drawn.choice(alive)
                left -= 1
                print(f"{KILLS - left:3d}. {verb}: kill -9 {name(victim)}")
                if victim.pid == driver.pid:
                    kill_driver(driver)
                else:
                    try:
                        victim.kill()
                    except psutil.NoSuchProcess:
                        left += 1
        if driver.returncode is None:
            try:
                driver.communicate(timeout=drawn.uniform(1, 120))
            except subprocess.TimeoutExpired:
                kill_driver(driver)
        if driver.returncode != 0:
            continue
        assert digests[verb] == digest(folder / "data")
        if verb == "refresh":
            rounds += 1
            folder = tmp_path / f"world-{rounds}"
            folder.mkdir()
        verb = "refresh" if verb == "build" else "build"
        file = write_lists(folder, world, ROWS if verb == "refresh" else ROWS // 2)
    command(verb, file)

    assert digests[verb] == digest(folder / "data")
    assert 0 == status(folder / "data")["pending"]
    print(f"{rounds} whole builds with their refreshes")


def name(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:60] or process.name()
    except psutil.NoSuchProcess:
        return "a process that was gone already"


def there(data: Path, pattern: str) -> Callable[[], bool]:
    return lambda: any(data.glob(pattern))


POINTS = {
    "before-the-tar": "media/.tmp-*.tar",
    "tar-renamed": "media/0*.tar",
    "table-renamed": "media/0*.parquet",
    "marker": "media/*_stats.json",
    "vectors-tar": "vectors/main/0*.tar",
    "vectors-table": "vectors/main/0*.parquet",
    "index": "indices/main/*/*.faiss",
    "manifest-half": "versions/*.parquet",
    "manifest": "versions/0001.json",
}

REFRESH_POINTS = {
    "plan-half": "plan/0002/shards.parquet",
    "planned": "plan/0002/counts.json",
    "manifest-half": "versions/0002.parquet",
    "published": "versions/0002.json",
}


@pytest.mark.parametrize("point", [*POINTS][:: 1 if KILLS >= 30 else 3])
def test_a_kill_at_each_point_of_a_build(world, calm, tmp_path, point):
    """The second run asks for nothing that a committed shard has, and ends in the same bytes."""
    _, digests, asked = calm
    file = write_lists(tmp_path, world, ROWS // 2)
    data = tmp_path / "data"
    before = requests(world)
    driver = start("build", file)
    assert until(there(data, POINTS[point]), driver)
    kill_driver(driver)
    committed = {path.name: path.stat().st_mtime_ns for path in data.glob("media/*_stats.json")}
    # A task of Ray may outlive the driver long enough to publish; then nothing is left to be done.
    published = (data / "versions" / "0001.json").exists()
    after_kill = requests(world)
    command("build", file)

    assert digests["build"] == digest(data)
    assert committed == {name: (data / "media" / name).stat().st_mtime_ns for name in committed}
    assert published or not list(data.glob("lease.json"))
    if POINTS[point].startswith(("vectors", "indices", "versions")) and whole(data, committed):
        assert after_kill == requests(world)
    assert requests(world) - before <= 2 * asked


def whole(data: Path, committed: dict[str, int]) -> bool:
    """Whether every shard with media was committed when the job was killed."""
    return len(committed) == len(list(data.glob("media/*_stats.json")))


@pytest.mark.parametrize("point", [*REFRESH_POINTS][:: 1 if KILLS >= 30 else 3])
def test_a_kill_at_each_point_of_a_refresh(world, calm, tmp_path, point):
    """Readers have version 1 until version 2 is whole, and the next refresh ends in the same bytes."""
    folder, digests, _ = calm
    file = write_lists(tmp_path, world, ROWS // 2)
    command("build", file)
    write_lists(tmp_path, world, ROWS)
    driver = start("refresh", file)
    until(there(tmp_path / "data", REFRESH_POINTS[point]), driver)
    if driver.poll() is None:
        kill_driver(driver)
    seen = status(tmp_path / "data")["version"]
    command("refresh", file)

    assert seen == (2 if point == "published" else seen)
    assert digests["refresh"] == digest(tmp_path / "data")
    assert status(folder / "data") | {"root": ""} == status(tmp_path / "data") | {"root": ""}


def test_two_refreshes_at_once(world, calm, tmp_path):
    """One does it; the other says in one sentence who does, and ends with exit code 1."""
    folder, _, _ = calm
    shutil.copytree(folder, tmp_path / "world")
    file = tmp_path / "world" / "miniature.yaml"
    jobs = [
        subprocess.Popen(
            [ECHOLENS, "refresh", file, "--publish"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [job.communicate()[1] for job in jobs]
    codes = [job.returncode for job in jobs]

    assert [0, 1] == sorted(codes)
    refused = said[codes.index(1)].strip().splitlines()[-1]
    assert "is held by `refresh` on" in refused
    assert "since" in refused
