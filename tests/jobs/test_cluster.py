"""A Ray cluster of three nodes on this machine, one of which dies in the middle of a build."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.demo import write_dataset
from pipelines.miniature.server import serving
from tests.commands import SEED, digest, status
from tests.in_process import job_here

ROWS = 200

# A process of its own: Ray reads its token once, and pytest's process may have read another.
_CLUSTER = """
import sys
from ray.cluster_utils import Cluster
memory = {"object_store_memory": 100_000_000}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False, **memory})
dies = cluster.add_node(num_cpus=2, **memory)
cluster.add_node(num_cpus=2, **memory)
cluster.wait_for_nodes()
print(cluster.address, flush=True)
for line in sys.stdin:
    if line.strip() == "kill":
        cluster.remove_node(dies, allow_graceful=False)
        print("killed", flush=True)
cluster.shutdown()
"""


class Cluster:
    """Three nodes; one of them can be killed."""

    def __init__(self, process: subprocess.Popen, environment: dict[str, str]) -> None:
        self._process = process
        self.address = self._said()
        self.environment = environment | {"RAY_ADDRESS": self.address}

    def kill(self) -> None:
        self._process.stdin.write("kill\n")
        self._process.stdin.flush()
        assert "killed" == self._said()

    def _said(self) -> str:
        for line in self._process.stdout:
            if line.startswith("killed") or line.strip().rpartition(":")[2].isdigit():
                return line.strip()
        raise AssertionError("the cluster did not start")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | token
    with subprocess.Popen(
        [sys.executable, "-c", _CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        yield Cluster(process, environment)
        process.stdin.close()
        process.wait(60)


@pytest.mark.slow
def test_a_node_that_dies_costs_nothing(cluster, tmp_path):
    """The build ends by itself, with the dataset of the undisturbed one."""
    with serving(SEED, ROWS) as base_url:
        file = write_dataset(tmp_path, base_url, ROWS, SEED)
        small = "shard_rows=20"
        job_here("build", file, small, f"root={tmp_path}/undisturbed")
        root = tmp_path / "disturbed"
        program = Path(sys.executable).with_name("echolens")
        with subprocess.Popen(
            [program, "build", file, small, f"root={root}"],
            env=cluster.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as build:
            end = time.monotonic() + 300
            while not list(root.glob("media/*_stats.json")):
                assert build.poll() is None, build.stderr.read()
                assert time.monotonic() < end
                time.sleep(0.05)
            committed = len(list(root.glob("vectors/*/*.parquet")))
            cluster.kill()
            said = build.communicate(timeout=600)[1]
    planned = len(list((root / "candidates").iterdir()))

    assert 0 == build.returncode, said
    assert committed < planned
    assert digest(tmp_path / "undisturbed") == digest(root)
    assert 0 == status(root)["pending"]
