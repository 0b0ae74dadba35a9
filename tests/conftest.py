"""What many tests share: the command, and one build of the miniature world."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# Before anything imports them: no telemetry, no hub.
os.environ |= {"NO_ALBUMENTATIONS_UPDATE": "1", "RAY_USAGE_STATS_ENABLED": "0", "HF_HUB_OFFLINE": "1"}

ROWS = 600
SEED = 0


def echolens(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does."""
    command = [Path(sys.executable).parent / "echolens", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if check:
        assert ended.returncode == 0, ended.stderr
    return ended


def status(root: object) -> dict[str, Any]:
    """Return `echolens status ROOT --json`."""
    return json.loads(echolens("status", root, "--json").stdout)


def digest(root: object) -> str:
    """Return `echolens status ROOT --digest`."""
    return echolens("status", root, "--digest").stdout.strip()


@dataclass(frozen=True)
class Built:
    """A dataset of the miniature world, and the server that it came from."""

    file: Path
    root: Path
    base_url: str
    output: str


def build(folder: Path, rows: int, base_url: str, *overrides: str) -> Built:
    """Write the world's lists and dataset file, and build it with the command."""
    from jobs.demo import write_dataset

    file = write_dataset(folder, base_url, rows, SEED)
    ended = echolens("build", file, *overrides)
    return Built(file, folder / "data", base_url, ended.stdout)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The miniature world over HTTP; its address."""
    from pipelines.miniature.server import serving

    with serving(SEED, ROWS) as base_url:
        yield base_url


@pytest.fixture(scope="session")
def built(server: str, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The whole world, built once. Tests may read it; one that changes it copies it first."""
    return build(tmp_path_factory.mktemp("world"), ROWS, server)
