"""kill -9 of anything, then the same command: the same dataset, byte for byte.

`make test-slow` has a point of each kind; `make kills` has all of them.
"""

import json
import shutil
import signal
from pathlib import Path

import pytest

from pipelines.miniature.server import serving
from tests.commands import digest, echolens, requests, status
from tests.in_process import job_here
from tests.jobs.killing import family, kill_driver, start, there, title, until, write_lists
from tests.ports import free_port

pytestmark = pytest.mark.timeout(1200)

ROWS, SEED = 200, 3
# What a URL answers depends on the URL alone, and the port is in it.
PORT = free_port()


def often(*points: str, of: dict[str, str]) -> list:
    """Return the points as parameters, all of them for `make kills` and the named ones for every run."""
    slow = [pytest.mark.slow, pytest.mark.kills]
    return [pytest.param(point, marks=slow if point in points else pytest.mark.kills) for point in of]


@pytest.fixture(scope="module")
def world():
    """Without faults that pass with time: replay is promised for answers that depend on the URL alone."""
    with serving(SEED, ROWS, port=PORT, healthy=True) as base_url:
        yield base_url


@pytest.fixture(scope="module")
def calm(world, tmp_path_factory) -> tuple[Path, dict[str, str], int]:
    """A build and a refresh that nothing disturbed: folder, digest of each, requests for the build."""
    folder = tmp_path_factory.mktemp("calm")
    file = write_lists(folder, world, ROWS, 0.5)
    before = requests(world)
    job_here("build", file)
    asked = requests(world) - before
    digests = {"build": digest(folder / "data")}
    shutil.copytree(folder, folder.with_name("built"))
    file = write_lists(folder, world, ROWS)
    job_here("refresh", file)
    digests["refresh"] = digest(folder / "data")
    return folder, digests, asked


@pytest.mark.parametrize(
    "committed",
    [pytest.param(0, marks=[pytest.mark.slow, pytest.mark.kills]), pytest.param(2, marks=pytest.mark.kills)],
)
def test_a_killed_worker_is_started_again(world, calm, tmp_path, committed):
    """Whether it dies at its first shard or later, the build ends well and with the same digest."""
    file, data = write_lists(tmp_path, world, ROWS, 0.5), tmp_path / "data"

    def workers():
        return [process for process in family(driver) if "_Actor" in title(process)]

    with start("build", file) as driver:
        assert until(lambda: len(list(data.glob("media/*_stats.json"))) >= committed, driver)
        assert until(lambda: len(workers()) >= 2, driver)
        for worker in workers():
            worker.send_signal(signal.SIGKILL)
        errors = driver.communicate()[1]

    assert driver.returncode == 0, errors
    assert calm[1]["build"] == digest(data)


POINTS = {
    "planned": "plan/shards.parquet",
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


@pytest.mark.parametrize("point", often("tar-renamed", "vectors-tar", "manifest-half", of=POINTS))
def test_a_kill_at_each_point_of_a_build(world, calm, tmp_path, point):
    """The second run asks for nothing that a committed shard has, and ends in the same bytes."""
    _, digests, asked = calm
    file, data = write_lists(tmp_path, world, ROWS, 0.5), tmp_path / "data"
    before = requests(world)
    driver = start("build", file)
    assert until(there(data, POINTS[point]), driver)
    kill_driver(driver)
    committed = {path.name: path.stat().st_mtime_ns for path in data.glob("media/*_stats.json")}
    # A task of Ray may outlive the driver long enough to publish; then nothing is left to be done.
    published = (data / "versions" / "0001.json").exists()
    after_kill = requests(world)
    job_here("build", file)

    assert digests["build"] == digest(data)
    assert committed == {name: (data / "media" / name).stat().st_mtime_ns for name in committed}
    assert published or not list(data.glob("lease.json"))
    if POINTS[point].startswith(("vectors", "indices", "versions")) and whole(data, committed):
        assert after_kill == requests(world)
    assert requests(world) - before <= 2 * asked
    assert found(world, calm[0].with_name("built") / "data") == found(world, data)


def whole(data: Path, committed: dict[str, int]) -> bool:
    """Whether every shard with media was committed when the job was killed."""
    return len(committed) == len(list(data.glob("media/*_stats.json")))


def found(world: str, data: Path) -> list:
    """What a root says of itself and finds, but for where it lies."""
    query = ("--text", "a dog barking", "--in", "clap_audio", "--json")
    return [status(data) | {"root": ""}, json.loads(echolens("lookup", data, *query).stdout)]


@pytest.mark.parametrize("point", often("planned", of=REFRESH_POINTS))
def test_a_kill_at_each_point_of_a_refresh(world, calm, tmp_path, point):
    """Readers have version 1 until version 2 is whole, and the next refresh ends in the same bytes."""
    folder, digests, _ = calm
    shutil.copytree(folder.with_name("built"), tmp_path / "world")
    file, data = write_lists(tmp_path / "world", world, ROWS), tmp_path / "world" / "data"
    driver = start("refresh", file)
    until(there(data, REFRESH_POINTS[point]), driver)
    if driver.poll() is None:
        kill_driver(driver)
    seen = status(data)["version"]
    job_here("refresh", file)

    assert seen == (2 if point == "published" else seen)
    assert digests["refresh"] == digest(data)
    assert status(folder / "data") | {"root": ""} == status(data) | {"root": ""}


@pytest.mark.slow
def test_two_refreshes_at_once(world, calm, tmp_path):
    """One does it; the other says in one sentence who does, and ends with exit code 1."""
    folder, _, _ = calm
    shutil.copytree(folder, tmp_path / "world")
    file = tmp_path / "world" / "miniature.yaml"
    jobs = [start("refresh", file, "--publish") for _ in range(2)]
    said = [job.communicate()[1] for job in jobs]
    codes = [job.returncode for job in jobs]

    assert [0, 1] == sorted(codes)
    refused = said[codes.index(1)].strip().splitlines()[-1]
    assert "is held by `refresh` on" in refused
    assert "since" in refused
