"""The whole flow on s3://, against a real S3 server on this machine."""

import json

import pytest

from jobs.demo import write_dataset
from pipelines.miniature.server import serving
from pipelines.store.root import Root
from tests.commands import SEED, command, digest, echolens, status
from tests.in_process import job_here

ROWS = 200

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def both(object_store, tmp_path_factory):
    """The same world in a folder and in a bucket: file and the two roots."""
    folder = tmp_path_factory.mktemp("world")
    with serving(SEED, ROWS) as base_url:
        file = write_dataset(folder, base_url, ROWS, SEED)
        job_here("build", file)
        command("build", file, f"root={object_store}/world")
        yield file, folder / "data", f"{object_store}/world"


def objects(root: str) -> dict[str, str]:
    """Every object below a root but the records of runs: name -> ETag."""
    opened = Root.from_url(root)
    found = opened.fs.find(opened.get_path(""), detail=True)
    names = {path.removeprefix(f"{opened.get_path('')}/"): each["ETag"] for path, each in found.items()}
    return {name: tag for name, tag in names.items() if not name.startswith("runs/")}


def test_the_dataset_is_the_same(both):
    """Byte for byte, and every number that status knows."""
    _, local, remote = both

    assert digest(local) == digest(remote)
    assert status(local) | {"root": ""} == status(remote) | {"root": ""}


def test_nothing_half_written_is_in_the_bucket(both):
    """Every object is a file of the layout, or the lease, which a store cannot remove on condition."""
    _, local, remote = both
    here = {
        str(path.relative_to(local)) for path in local.rglob("*")
        if path.is_file() and not path.is_relative_to(local / "runs")
    }  # fmt: skip

    assert here | {"lease.json"} == set(objects(remote))


@pytest.mark.parametrize("column", ["clip_image", "clap_audio"])
def test_neighbours_are_the_same(both, column):
    """The index in the bucket answers as the one in the folder."""
    _, local, remote = both
    asked = ["--text", "a bell ringing", "--in", column, "--json"]

    expected = json.loads(echolens("lookup", local, *asked).stdout)
    found = json.loads(echolens("lookup", remote, *asked).stdout)
    assert [hit["key"] for hit in expected] == [hit["key"] for hit in found]


def test_a_report_is_written_there(both):
    """Into the bucket, and its run is recorded there."""
    _, _, remote = both
    echolens("report", remote)
    runs = [
        json.loads(Root.from_url(remote).read(f"runs/{run}/run.json"))
        for run in Root.from_url(remote).list_names("runs")
    ]

    assert ["0001.html"] == Root.from_url(remote).list_names("reports", ".html")
    assert {"build", "report"} <= {run["verb"] for run in runs}


def test_a_second_build_changes_no_object(both):
    """What is there is found."""
    file, _, remote = both
    before = objects(remote)
    echolens("build", file, f"root={remote}")

    assert before == objects(remote)


@pytest.mark.usefixtures("one_ray")
def test_a_task_is_trained_there(both):
    """Its pictures are streamed from the bucket; checkpoint and model lie in it."""
    _, _, remote = both
    small = ("recipe.batch=8", "recipe.epochs=2", "target=clip_image", "picture=jpg")
    (card,) = json.loads(echolens("train", remote, "--preset", "linear_probe", "--json", *small).stdout)
    (run,) = [name for name in Root.from_url(remote).list_names("runs") if name.startswith("train-")]

    assert {"card.json", "weights.safetensors"} == set(
        Root.from_url(remote).list_names("models/linear_probe")
    )
    assert card["steps"] == json.loads(Root.from_url(remote).read(f"runs/{run}/0/curves.json"))["step"] > 2
    assert Root.from_url(remote).exists(f"runs/{run}/0/checkpoint.pt")


def test_refresh_verify_and_clean_work_there(both):
    """Links are asked for again and a version is published; the older one goes, and every byte is whole."""
    file, _, remote = both
    job_here("refresh", file, f"root={remote}", "--retry", "transient", "--publish")
    cleaned = echolens("clean", remote, "--keep", "1", "--yes")

    assert 2 == status(remote)["version"]
    assert "versions/0001.json" in cleaned.stdout
    assert ["0002.json"] == Root.from_url(remote).list_names("versions", ".json")
    assert "is whole" in echolens("status", remote, "--verify").stdout
