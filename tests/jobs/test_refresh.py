"""The job itself, over HTTP and with Ray: what a scheduler starts at night."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.miniature.server import serving
from pipelines.store import versions
from pipelines.store.root import Root
from tests.commands import Built, echolens, requests, status
from tests.in_process import build_world_here
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.usefixtures("one_ray")]

ROWS, SEED = 200, 5
PORT = free_port()


def samples(data: Path) -> dict[tuple[str, str], tuple]:
    """Return (id, kind) -> outcome, hash of the media, bytes of the vectors, by the latest keys."""
    root = Root.from_url(str(data))
    version = versions.read_version(root)
    overlay = versions.read_overlay(root, version.number)
    found = {}
    for shard in versions.read_shards(root, version):
        encoded = {
            row["key"]: {name: value for name, value in row.items() if name.startswith("cl")}
            for row in pq.read_table(data / "vectors" / "main" / f"{shard.name}.parquet").to_pylist()
        }
        place = data / ("vectors/main" if shard.kind == "text" else "media") / f"{shard.name}.parquet"
        for row in overlay.select_visible_rows(pq.read_table(place)).to_pylist():
            of = (row["outcome"], row["reason"], row.get("sha256"), repr(encoded.get(row["key"])))
            assert (row["id"], row["kind"]) not in found
            found[row["id"], row["kind"]] = of
    return found


@pytest.fixture(scope="module")
def sick(tmp_path_factory) -> Built:
    """Built while the server had faults that pass with time."""
    with serving(SEED, ROWS, port=PORT) as base_url:
        return build_world_here(tmp_path_factory.mktemp("sick"), ROWS, base_url)


def test_after_one_refresh_against_the_healthy_server_nothing_is_missing(sick, tmp_path):
    """Id -> (outcome, media, vectors) is that of a build that never met a fault; the next one has no work."""
    shutil.copytree(sick.file.parent, tmp_path / "world")
    file, data = tmp_path / "world" / sick.file.name, tmp_path / "world" / "data"
    with serving(SEED, ROWS, port=PORT, healthy=True) as base_url:
        whole = build_world_here(tmp_path / "whole", ROWS, base_url)
        echolens("refresh", file, "fetch.timeout_s=30")
        before = requests(base_url)
        again = echolens("refresh", file)
        after = requests(base_url)

    assert samples(whole.root) == samples(data)
    assert status(whole.root)["reasons"] == status(data)["reasons"]
    assert "nothing new" in again.stderr
    assert "starting workers" not in again.stderr
    assert before == after
    assert 2 == status(data)["version"]


def test_what_is_looked_up_is_of_the_latest_keys(sick, tmp_path):
    """No key that was superseded or unlisted is ever found."""
    shutil.copytree(sick.file.parent, tmp_path / "world")
    file, data = tmp_path / "world" / sick.file.name, tmp_path / "world" / "data"
    lists = tmp_path / "world" / "lists"
    for path in lists.glob("*.tsv"):
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[: len(lines) // 2]))
    with serving(SEED, ROWS, port=PORT, healthy=True):
        echolens("refresh", file)
    gone = set(versions.read_removed(Root.from_url(str(data)), 2)["key"].to_pylist())
    hits = json.loads(
        echolens("lookup", data, "--text", "a bell", "--in", "clip_image", "--k", "500", "--json").stdout
    )

    assert gone
    assert hits
    assert gone.isdisjoint(hit["key"] for hit in hits)
    assert status(data)["unlisted"] > 0


def test_a_build_of_other_sources_says_to_refresh(sick, tmp_path):
    """And the refresh brings them in."""
    shutil.copytree(sick.file.parent, tmp_path / "world")
    file = tmp_path / "world" / sick.file.name
    refused = echolens("build", file, "filter.min_side_px=10", check=False)

    assert 1 == refused.returncode
    assert "run `echolens refresh`" in refused.stderr


def test_a_list_that_is_gone_changes_nothing(sick, tmp_path):
    """One sentence, and the version stays."""
    shutil.copytree(sick.file.parent, tmp_path / "world")
    file = tmp_path / "world" / sick.file.name
    next((tmp_path / "world" / "lists").glob("Train_GCC*")).unlink()
    refused = echolens("refresh", file, check=False)

    assert 1 == refused.returncode
    assert "Train_GCC" in refused.stderr.splitlines()[-1]
    assert 1 == status(tmp_path / "world" / "data")["version"]
