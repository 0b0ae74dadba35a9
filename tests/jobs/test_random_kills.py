"""kill -9 of anything at any time, then the same command, until it is done.

ECHOLENS_KILLS (30) and ECHOLENS_KILL_SEED (0) say how many there are and which.
"""

import os
import random
import subprocess
from pathlib import Path

import psutil
import pytest

from pipelines.miniature.server import serving
from tests.commands import command, digest, status
from tests.jobs.killing import family, kill_driver, start, title, write_lists
from tests.ports import free_port

ROWS, SEED = 200, 3
PORT = free_port()
KILLS = int(os.environ.get("ECHOLENS_KILLS", "30"))
KILL_SEED = int(os.environ.get("ECHOLENS_KILL_SEED", "0"))
# Of the lists, that a build has; the refresh after it has all.
SHARE = {"build": 0.5, "refresh": 1.0}


@pytest.fixture
def world():
    """Without faults that pass with time: replay is promised for answers that depend on the URL alone."""
    with serving(SEED, ROWS, port=PORT, healthy=True) as base_url:
        yield base_url


def undisturbed(folder: Path, world: str) -> dict[str, str]:
    """The digests of a build and of the refresh after it."""
    digests = {}
    for verb, share in SHARE.items():
        command(verb, write_lists(folder, world, ROWS, share))
        digests[verb] = digest(folder / "data")
    return digests


@pytest.mark.kills
@pytest.mark.timeout(3600)
def test_random_kills_end_in_the_same_dataset(world, tmp_path):
    """A random process of a build or refresh dies at a random time; the digests are those of the calm."""
    digests = undisturbed(tmp_path / "calm", world)
    print(f"\nseed {KILL_SEED}, {KILLS} kills")
    drawn = random.Random(KILL_SEED)
    left, verb = KILLS, "build"
    rounds = 0
    folder = tmp_path / "world-0"
    file = write_lists(folder, world, ROWS, SHARE[verb])
    while left:
        driver = start(verb, file)
        try:
            driver.wait(drawn.uniform(0.5, 20))
        except subprocess.TimeoutExpired:
            killed = kill_one(drawn, driver)
            left -= bool(killed)
            print(f"{KILLS - left:3d}. {verb}: kill -9 {killed or 'nothing'}")
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
        verb = "refresh" if verb == "build" else "build"
        file = write_lists(folder, world, ROWS, SHARE[verb])
    command(verb, file)

    assert digests[verb] == digest(folder / "data")
    assert 0 == status(folder / "data")["pending"]
    print(f"{rounds} whole builds with their refreshes")


def kill_one(drawn: random.Random, driver: subprocess.Popen) -> str:
    """Kill a process of a job; return its command line, or nothing if there was none any more."""
    alive = family(driver)
    if not alive:
        return ""
    victim = drawn.choice(alive)
    named = title(victim)[:60]
    if victim.pid == driver.pid:
        kill_driver(driver)
        return named
    try:
        victim.kill()
    except psutil.NoSuchProcess:
        return ""
    return named
