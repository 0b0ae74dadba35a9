"""A cluster that somebody else started, named by RAY_ADDRESS."""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from jobs.demo import write_dataset
from tests.commands import SEED, digest
from tests.ports import free_port

pytestmark = pytest.mark.slow

COMMAND = Path(sys.executable).parent / "echolens"


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
