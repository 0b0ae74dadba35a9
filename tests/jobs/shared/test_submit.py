"""A job on a Ray cluster with token authentication, started as its documentation says, on this machine."""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from jobs.shared.submit import prepare_upload
from pipelines.errors import ConfigError
from tests.commands import HOME, digest, echolens, status
from tests.in_process import job_here
from tests.ports import free_port

FILE = {
    "name": "captions",
    "root": "data",
    "sources": [{"kind": "audiocaps", "list": "lists/captions.csv", "take": "text"}],
    "encode": {"clip": "pocket", "clap": "pocket"},
}
CAPTIONS = ("A dog barks", "A cat meows", "A bell rings twice")


@pytest.fixture
def file(tmp_path):
    """A dataset of three captions, with things beside it that must not travel."""
    (tmp_path / "lists").mkdir()
    rows = [f"{n},abcdefghij{n},0,{caption}" for n, caption in enumerate(CAPTIONS)]
    (tmp_path / "lists" / "captions.csv").write_text(
        "\n".join(["audiocap_id,youtube_id,start_time,caption", *rows]) + "\n"
    )
    (tmp_path / "cookies.txt").write_text("session=a-cookie-of-mine")
    (tmp_path / ".netrc").write_text("password a-password-of-mine")
    path = tmp_path / "captions.yaml"
    path.write_text(yaml.safe_dump(FILE))
    return path


def test_only_code_file_and_lists_travel(file, tmp_path):
    """The upload is our packages, the dataset's file and its lists; 13 MB, most of them pocket models."""
    folder = tmp_path / "staged"
    assert ["dataset/dataset.yaml"] == prepare_upload(str(file), ["root=/data/captions"], folder)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    said = yaml.safe_load((folder / "dataset" / "dataset.yaml").read_text())

    assert {"schemas", "pipelines", "jobs", "dataset"} == {name.split("/")[0] for name in names}
    assert {"dataset/dataset.yaml", "dataset/00-captions.csv"} == {
        name for name in names if name.startswith("dataset/")
    }
    assert "/data/captions" == said["root"]
    assert "00-captions.csv" == said["sources"][0]["list"]
    assert sum((folder / name).stat().st_size for name in names) < 40 * 2**20


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["root=data"], "root 'data' is relative and each node of a cluster would have its own"),
        (["root=s3://b/x", "sources.0.list=missing.csv"], "list missing.csv is relative, and only files"),
        (
            ["root=s3://b/x", "sources.0={kind: table, list: captions.csv, files: clips}"],
            "files 'clips' is relative, and folders of media do not travel to a cluster",
        ),
    ],
    ids=["root", "list", "files"],
)
def test_what_nodes_would_not_see_is_refused(file, tmp_path, overrides, sentence):
    """Before anything is sent."""
    with pytest.raises(ConfigError, match=sentence):
        prepare_upload(str(file), overrides, tmp_path / "staged")


def test_no_cluster_is_one_sentence(file):
    """An address where nobody listens, and one that is no dashboard."""
    refused = echolens("build", file, "root=/data/x", "--address", "http://127.0.0.1:9", check=False)
    misread = echolens("build", file, "root=/data/x", "--address", "127.0.0.1:6379", check=False)

    assert "no Ray dashboard answers at http://127.0.0.1:9" in refused.stderr
    assert "--address 127.0.0.1:6379 is no dashboard; give http://HOST:8265" in misread.stderr


def test_a_ray_job_refuses_a_relative_root(file, monkeypatch):
    """`ray job submit -- python -m jobs.build FILE` runs in a folder of one node."""
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    refused = echolens("build", file, check=False)

    assert "root 'data' is relative and each node of a cluster would have its own" in refused.stderr


@pytest.mark.parametrize(
    "override",
    ["fetch.video.proxy=http://me:word@proxy:8080", "sources.0.list=https://h/l.csv?X-Amz-Signature=abc"],
    ids=["password", "signature"],
)
def test_secrets_do_not_travel(file, tmp_path, override):
    """What is uploaded can be read by everybody on the cluster; the sentence itself keeps the secret."""
    folder = tmp_path / "staged"
    with pytest.raises(ConfigError, match=r"holds a password or signature \(http.*\*\*\*") as error:
        prepare_upload(str(file), ["root=/data/x", override], folder)

    assert "word@" not in str(error.value)
    assert not (folder / "dataset").exists()


@dataclass(frozen=True)
class Head:
    """A cluster of one node, and the environment of somebody who holds its token."""

    address: str
    environment: dict[str, str]
    gcs: int

    def run(self, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).parent / str(words[0])
        return subprocess.run(
            [program, *map(str, words[1:])],
            env=self.environment | more,
            cwd=HOME,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def head(tmp_path_factory) -> Iterator[Head]:
    """`ray start --head` with RAY_AUTH_MODE=token and a token of its own."""
    home = tmp_path_factory.mktemp("home")
    binaries = Path(sys.executable).parent
    environment = os.environ | {
        "HOME": str(home),
        "RAY_AUTH_MODE": "token",
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
    }
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        environment.pop(name, None)
    subprocess.run(
        [binaries / "ray", "get-auth-token", "--generate"], env=environment, check=True, capture_output=True
    )
    # Ray's sockets live below its folder, and a socket's path may have 107 bytes.
    place = Path("/tmp") / f"ray-{secrets.token_hex(4)}"
    ray = None
    try:
        # Ray gives its node 30 s to start, too few where all cores are at work.
        for _ in range(3):
            ray, dashboard, gcs = start_head(place, home / "ray.log", environment)
            if ray.poll() is None:
                break
        else:
            pytest.fail((home / "ray.log").read_text())
        yield Head(f"http://127.0.0.1:{dashboard}", environment, gcs)
    finally:
        if ray is not None:
            ray.terminate()
            ray.wait(60)
        shutil.rmtree(place, ignore_errors=True)


def answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def start_head(place: Path, log: Path, environment: dict[str, str]) -> tuple[subprocess.Popen, int, int]:
    """Start a head node; return it once its dashboard answers or it is over, with its port and the GCS's."""
    gcs, dashboard, client, agent = (free_port() for _ in range(4))
    options = {
        "port": gcs, "dashboard-port": dashboard, "ray-client-server-port": client, "num-cpus": 2,
        "object-store-memory": 200_000_000, "temp-dir": place, "dashboard-host": "127.0.0.1",
        "node-ip-address": "127.0.0.1", "dashboard-agent-listen-port": agent,
    }  # fmt: skip
    words = [f"--{name}={value}" for name, value in options.items()]
    program = Path(sys.executable).parent / "ray"
    with log.open("w") as out:
        ray = subprocess.Popen(
            [program, "start", "--head", "--block", *words], env=environment, stdout=out, stderr=out
        )
    end = time.monotonic() + 240
    while ray.poll() is None and not answers(dashboard):
        if time.monotonic() > end:
            ray.terminate()
            ray.wait(60)
        time.sleep(0.5)
    return ray, dashboard, gcs


@pytest.mark.slow
def test_echolens_submits_and_follows(head, file, tmp_path):
    """The log is shown, the exit code is the job's, the dataset is the one that this machine builds.

    The token is told to nobody: not to the job's description on the cluster, nor to anything of the root.
    """
    job_here("build", file)
    root = tmp_path / "cluster"
    ended = head.run("echolens", "build", file, f"root={root}", "--address", head.address)

    assert 0 == ended.returncode, ended.stdout + ended.stderr
    assert re.search(r"^ +3 +ok ", ended.stdout, re.MULTILINE)
    assert "submitted to" in ended.stderr
    listed = head.run("ray", "job", "list", "--address", head.address)
    token = (Path(head.environment["HOME"]) / ".ray" / "auth_token").read_text().strip()

    assert "jobs.build" in listed.stdout
    assert token not in listed.stdout + ended.stdout + ended.stderr
    assert [path for path in root.rglob("*") if path.is_file() and token.encode() in path.read_bytes()] == []
    assert digest(tmp_path / "data") == digest(root)


@pytest.mark.slow
def test_ray_submits_the_job_itself(head, file, tmp_path):
    """As Ray's own command does it: the working folder is the repository."""
    root = tmp_path / "cluster"
    words = ["--working-dir", ".", "--", "python", "-m", "jobs.build", file, f"root={root}"]
    ended = head.run("ray", "job", "submit", "--address", head.address, *words)

    assert 0 == ended.returncode, ended.stdout + ended.stderr
    assert "succeeded" in ended.stdout + ended.stderr
    assert 3 == status(root)["candidates"]


@pytest.mark.slow
def test_a_job_that_fails_says_so_here(head, file, tmp_path):
    """Its sentence is in the log and its exit code is ours."""
    (tmp_path / "taken").write_text("")
    ended = head.run("echolens", "build", file, f"root={tmp_path}/taken", "--address", head.address)

    assert 1 == ended.returncode
    assert f"{tmp_path}/taken is a file" in ended.stdout


@pytest.mark.slow
def test_another_token_is_refused(head, file):
    """One sentence; nothing was sent, and the token is in none of it."""
    wrong = secrets.token_hex(32)
    ended = head.run(
        "echolens", "build", file, "root=/data/x", "--address", head.address, RAY_AUTH_TOKEN=wrong
    )

    assert 1 == ended.returncode
    assert 1 == len(ended.stderr.splitlines()), ended.stderr
    assert "wants another token" in ended.stderr
    assert wrong not in ended.stderr


# All in one process: importing Ray takes seconds.
_ASK = """
import os
from pipelines.errors import ConfigError
from pipelines.run.ray_cluster import run_ray
for mode, token in (("", ""), ("", "none"), ("token", "none"), ("token", "another-token-than-the-clusters")):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        os.environ.pop(name, None)
    os.environ |= {"RAY_AUTH_MODE": mode} if mode else {}
    os.environ |= {"HOME": "/nowhere"} if token else {}
    os.environ |= {"RAY_AUTH_TOKEN": token} if "-" in token else {}
    try:
        with run_ray():
            print("let in")
    except ConfigError as error:
        print(error)
"""


@pytest.mark.slow
def test_a_cluster_by_address_wants_its_token(head):
    """Each way not to have it is a sentence of its own, and comes at once."""
    ended = head.run("python", "-c", _ASK, RAY_ADDRESS=f"127.0.0.1:{head.gcs}")
    name = f"the cluster at RAY_ADDRESS=127.0.0.1:{head.gcs}"

    assert [
        f"{name} wants a token and none is shown; set RAY_AUTH_MODE=token to show the one that is here",
        f"{name} wants a token and none is shown; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to its "
        "token",
        f"RAY_AUTH_MODE is token and there is none for {name}; set RAY_AUTH_TOKEN_PATH (or "
        "RAY_AUTH_TOKEN) to that cluster's, or RAY_AUTH_MODE=disabled if it has none",
        f"{name} takes another token than this one; set RAY_AUTH_TOKEN_PATH (or RAY_AUTH_TOKEN) to its own",
    ] == ended.stdout.splitlines(), ended.stderr
    assert "" == ended.stderr


PRESET = {
    "name": "mine",
    "data": {"pictures": [{"from": "clip_image", "to": "clap_text", "sources": ["wit", "cc3m"]}]},
    "cells": [{"data": "pictures", "loss": ["cosine", "nt_xent"], "hidden": 64}],
    "split": {"validation": 0.2, "test": 0.2},
    "fit": {"epochs": 3, "batch": 16, "cpus_per_worker": 2},
}


@pytest.mark.slow
def test_training_is_submitted(head, built, tmp_path):
    """With a preset of one's own, which travels; the translators lie in the root, the token nowhere."""
    root = tmp_path / "data"
    shutil.copytree(built.root, root)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(PRESET))
    words = ["train", root, "--preset", tmp_path / "mine.yaml", "fit.epochs=4", "--address", head.address]
    ended = head.run("echolens", *words)
    print(ended.stderr, ended.stdout)

    assert 0 == ended.returncode, ended.stdout + ended.stderr
    assert "submitted to" in ended.stderr
    assert "pictures: clip_image -> clap_text" in ended.stdout
    assert {"pictures-mlp-cosine-h64", "pictures-mlp-nt_xent-h64"} <= {
        path.parent.name for path in root.glob("translators/*/card.json")
    }
    token = (Path(head.environment["HOME"]) / ".ray" / "auth_token").read_text().strip()
    assert token not in ended.stdout + ended.stderr
    assert [path for path in root.rglob("*") if path.is_file() and token.encode() in path.read_bytes()] == []
