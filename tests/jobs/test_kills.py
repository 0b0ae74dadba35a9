"""kill -9 of anything, then the same command: the same dataset, byte for byte."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from jobs.demo import write_dataset
from pipelines.miniature.server import serving
from tests.conftest import SEED, Built, build, command, digest, echolens, status

ROWS = 300
# Every answer depends on the URL alone, and the URL has the port in it.
PORT = 47_812

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world():
    with serving(SEED, ROWS, port=PORT) as base_url:
        yield base_url


@pytest.fixture(scope="module")
def undisturbed(world, tmp_path_factory) -> Built:
    return build(tmp_path_factory.mktemp("undisturbed"), ROWS, world)


def started(folder: Path, base_url: str) -> subprocess.Popen:
    file = write_dataset(folder, base_url, ROWS, SEED)
    command = [Path(sys.executable).parent / "echolens", "build", file]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def until(what, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def workers(driver: subprocess.Popen) -> list[psutil.Process]:
    """The Ray workers below a driver that run our actor."""
    found = []
    for process in psutil.Process(driver.pid).children(recursive=True):
        try:
            if any("_Actor" in part for part in process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.parametrize("committed", [0, 2])
def test_a_killed_worker_is_started_again(undisturbed, world, tmp_path, committed):
    """Whether it dies at its first shard or later, the build ends well and with the same digest."""
    with started(tmp_path, world) as driver:
        until(lambda: len(list((tmp_path / "data" / "media").glob("*_stats.json"))) >= committed)
        until(lambda: len(workers(driver)) >= 2)
        for worker in workers(driver):
            worker.send_signal(signal.SIGKILL)
        errors = driver.communicate()[1]

    assert driver.returncode == 0, errors
    assert digest(undisturbed.root) == digest(tmp_path / "data")


@pytest.mark.parametrize(
    "reached",
    [
        pytest.param("plan/shards.parquet", id="planned"),
        pytest.param("vectors/main/*.parquet", id="first-vectors"),
    ],
)
def test_a_killed_driver_goes_on_where_it_stopped(undisturbed, world, tmp_path, reached):
    """The second run ends with the same digest, funnel and top of the same query."""
    with started(tmp_path, world) as driver:
        until(lambda: list((tmp_path / "data").glob(reached)))
        below = psutil.Process(driver.pid).children(recursive=True)
        os.kill(driver.pid, signal.SIGKILL)
        driver.communicate()
    # Ray's own processes notice that their driver is gone and leave; some take a minute.
    for late in psutil.wait_procs(below, timeout=5)[1]:
        late.kill()
    root = tmp_path / "data"
    command("build", tmp_path / "miniature.yaml")

    assert digest(undisturbed.root) == digest(root)
    assert status(undisturbed.root) | {"root": ""} == status(root) | {"root": ""}
    query = ("--text", "a dog barking", "--in", "clap_audio", "--json")
    assert echolens("lookup", undisturbed.root, *query).stdout == echolens("lookup", root, *query).stdout
