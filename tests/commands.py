"""The command as the tests give it, what they build with it, and what they read off the result."""

import importlib
import io
import json
import os
import subprocess
import sys
import urllib.request
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.shared.job import run
from pipelines.compute import child_process

# Before anything imports them: no telemetry, no hub.
os.environ |= {"NO_ALBUMENTATIONS_UPDATE": "1", "RAY_USAGE_STATS_ENABLED": "0", "HF_HUB_OFFLINE": "1"}

HOME = Path(__file__).parent.parent

ROWS = 600
SEED = 0


def command(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does: a process of its own, which may start Ray."""
    whole = [Path(sys.executable).parent / "echolens", *map(str, arguments)]
    ended = subprocess.run(whole, capture_output=True, text=True, check=False)
    if check:
        assert 0 == ended.returncode, ended.stderr
    return ended


def echolens(verb: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, which has loaded the heavy libraries once for all tests."""
    job = importlib.import_module(f"jobs.{verb}")
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with redirect_stdout(out), redirect_stderr(err), child_process.use_this_process():
        try:
            run(job.main, [str(argument) for argument in arguments])
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
            print(ended.code, file=err)
    if check:
        assert 0 == code, err.getvalue()
    return subprocess.CompletedProcess([verb, *arguments], code, out.getvalue(), err.getvalue())


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
    ended = command("build", file, *overrides)
    return Built(file, folder / "data", base_url, ended.stdout)


def write_captions(folder: Path, rows: int) -> Path:
    """Write a dataset file of so many captions and nothing to fetch, and its list; return the file."""
    things = ("dog barks", "cat meows", "bell rings", "bird sings", "drum is beaten")
    captions = [f"A {things[n % len(things)]} for the {n}th time" for n in range(rows)]
    lines = [f"{n},{n:011d},0,{caption}" for n, caption in enumerate(captions)]
    (folder / "captions.csv").write_text(
        "\n".join(["audiocap_id,youtube_id,start_time,caption", *lines]) + "\n"
    )
    file = folder / "captions.yaml"
    file.write_text(
        "name: captions\nroot: data\nsources: [{kind: audiocaps, list: captions.csv, take: text}]\n"
        "encode: {clip: pocket, clap: pocket}\n"
    )
    return file


def requests(base_url: str, agent: str | None = None) -> int:
    """Return how many requests a server of the miniature world has had, of all or of agents with a word."""
    with urllib.request.urlopen(f"{base_url}/_requests") as answer:
        told = json.load(answer)
    if agent is None:
        return told["count"]
    return sum(count for name, count in told["by_agent"].items() if agent in name)
