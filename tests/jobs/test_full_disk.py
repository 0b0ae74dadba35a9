"""A disk that fills up in the middle of a build: found, named, nothing half-written, mended by rerunning."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.commands import digest, echolens, status, write_captions
from tests.in_process import job_here

ROWS = 400

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_ray")]


def mounted(place: Path, options: str) -> None:
    """Mount a small disk, or skip the test where nobody may."""
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small disk here")


@pytest.fixture
def little_disk(tmp_path):
    """A disk of 1 MB; the dataset has about 3."""
    place = tmp_path / "disk"
    mounted(place, "size=1m")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def names(root: Path) -> list[str]:
    return [path.name for path in root.rglob("*") if path.is_file()]


def test_a_full_disk_is_named_and_mended(little_disk, tmp_path):
    """The build stops with failed/disk_full; with room, the same command ends with the undisturbed digest."""
    file = write_captions(tmp_path, ROWS)
    job_here("build", file, "shard_rows=100")
    root = little_disk / "data"
    stopped = echolens("build", file, "shard_rows=100", f"root={root}", check=False)
    left = names(root)
    subprocess.run(["mount", "-o", "remount,size=64m", str(little_disk)], check=True)
    job_here("build", file, "shard_rows=100", f"root={root}")

    assert 1 == stopped.returncode
    assert f"failed/disk_full: the disk of {root} is full; make room there" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert [name for name in left if ".tmp-" in name] == []
    assert digest(tmp_path / "data") == digest(root)


def test_a_folder_that_is_closed_is_named_and_mended(tmp_path):
    """Vectors that may not be written stop the build; with the right to, it is gone on with."""
    file = write_captions(tmp_path, ROWS)
    root = tmp_path / "data"
    root.mkdir()
    mounted(root / "vectors", "ro")
    try:
        stopped = echolens("build", file, check=False)
    finally:
        subprocess.run(["umount", str(root / "vectors")], check=True)
    job_here("build", file)

    assert 1 == stopped.returncode
    assert f"root {root} cannot be written (Read-only file system" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert (ROWS, 0) == (status(root)["candidates"], status(root)["pending"])
