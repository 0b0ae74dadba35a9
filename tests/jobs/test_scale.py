"""What must not grow with the rows, and a cluster that somebody else started."""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import soundfile
import yaml

from jobs.demo import write_dataset
from tests.commands import SEED, command, digest, status
from tests.ports import free_port

pytestmark = pytest.mark.slow

COMMAND = Path(sys.executable).parent / "echolens"
MIB = 2**20


def lists(folder: Path, rows: int) -> Path:
    """A dataset of `rows` rows that need no server: a fifth captions, the rest on hosts that do not exist."""
    folder.mkdir()
    texts = rows // 5
    with (folder / "train.csv").open("w") as file:
        file.write("audiocap_id,youtube_id,start_time,caption\n")
        for row in range(texts):
            file.write(f"{row},id{row:09d},{row % 300},A dog barks {row} times while a bell is ringing\n")
    with (folder / "cc3m.tsv").open("w") as file:
        for row in range(rows - texts):
            file.write(f"two red bells number {row} in a meadow\thttp://host{row % 997}.invalid/{row}.jpg\n")
    content = {
        "name": "scale",
        "root": "data",
        "sources": [
            {"kind": "audiocaps", "list": "train.csv", "take": "text"},
            {"kind": "cc3m", "list": "cc3m.tsv"},
        ],
        "fetch": {"allow_private_hosts": True},
        "encode": {"clip": "pocket", "clap": "pocket"},
    }
    (folder / "scale.yaml").write_text(yaml.safe_dump(content))
    return folder / "scale.yaml"


def peak_of_driver(file: Path) -> float:
    """Build, and return the most memory that the driver itself ever held, in MiB."""
    peak_kib = 0
    with subprocess.Popen([COMMAND, "build", file], stdout=subprocess.DEVNULL) as driver:
        while driver.poll() is None:
            try:
                fields = Path(f"/proc/{driver.pid}/status").read_text().split()
                peak_kib = max(peak_kib, int(fields[fields.index("VmHWM:") + 1]))
            except (OSError, ValueError):
                break
            time.sleep(0.05)
        assert 0 == driver.wait()
    return peak_kib * 1024 / MIB


def test_the_drivers_memory_does_not_grow_with_rows(tmp_path):
    """At 100,000 rows the driver holds at most 50 MB more than at 1,000, and no row is lost."""
    small, large = lists(tmp_path / "small", 1_000), lists(tmp_path / "large", 100_000)
    few, many = peak_of_driver(small), peak_of_driver(large)
    numbers = status(tmp_path / "large" / "data")
    print(f"\ndriver: {few:.0f} MiB at 1,000 rows, {many:.0f} MiB at 100,000")

    assert {"ok": 20_000, "dead/no_such_host": 80_000} == numbers["reasons"]
    assert many - few <= 50


def test_a_cluster_that_is_there_is_used(built, server, tmp_path):
    """With RAY_ADDRESS the build runs on that cluster, leaves it running, and makes the same dataset."""
    # A socket's path has room for 107 letters, and pytest's folders are long.
    short = tempfile.mkdtemp(prefix="ray")
    port = free_port()
    auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    env = os.environ | auth | {"RAY_ADDRESS": f"127.0.0.1:{port}"}
    options = ("--head", f"--port={port}", "--num-cpus=2", "--include-dashboard=false", "--block")
    options += (
        "--node-ip-address=127.0.0.1",
        "--object-store-memory=200000000",
        f"--temp-dir={short}",
    )
    ray = Path(sys.executable).parent / "ray"
    started = {key: value for key, value in env.items() if key != "RAY_ADDRESS"}
    with subprocess.Popen([ray, "start", *options], env=started, stdout=subprocess.PIPE) as head:
        try:
            for _ in range(120):
                with socket.socket() as sock:
                    if sock.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.5)
            file = write_dataset(tmp_path / "world", server, 600, SEED)
            ended = subprocess.run(
                [COMMAND, "build", file], env=env, capture_output=True, text=True, check=False
            )
            assert 0 == ended.returncode, ended.stderr
            assert head.poll() is None
        finally:
            head.terminate()
            head.wait(60)

    assert digest(built.root) == digest(tmp_path / "world" / "data")


def test_a_cluster_that_is_not_there_is_one_sentence(built, tmp_path):
    """A wrong RAY_ADDRESS is said so, and nothing is fetched."""
    env = os.environ | {"RAY_ADDRESS": f"127.0.0.1:{free_port()}"}
    command = [COMMAND, "build", built.file, f"root={tmp_path / 'root'}"]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    assert 1 == ended.returncode
    assert "no Ray cluster answers at RAY_ADDRESS=" in ended.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "root" / "media").exists()


def test_demo_goes_from_nothing_to_the_sound_of_a_picture(tmp_path):
    """`echolens demo` prints funnel, answers and paths; asked again it finds everything done."""
    folder = tmp_path / "demo"
    first = command("demo", folder, "--rows", 200).stdout
    made = digest(folder / "data")
    again = command("demo", folder, "--rows", 200).stdout

    assert "candidates" in first
    assert "the sound of a clock ticking" in first
    assert list((folder / "data" / "reports").glob("*.html"))
    assert made == digest(folder / "data")
    assert first.splitlines()[:5] == again.splitlines()[:5]
    assert "Try next: " in again
    (heard,) = folder.glob("*-generated.flac")
    assert 5.12 == pytest.approx(soundfile.info(heard).duration)
    assert f"lookup --audio {heard.name} --in clap_text" in again
