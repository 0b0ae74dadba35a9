import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.demo import write_dataset
from pipelines.miniature.server import serving
from tests.commands import ROWS, SEED, command, digest, echolens, requests, status
from tests.in_process import job_here
from tests.ports import free_port

pytestmark = pytest.mark.usefixtures("one_ray")

# What the lists and the server plant among 600 rows, counted by hand from what each of them should become:
# 270 rows of WIT, 120 of CC3M, 120 of CC12M, 48 of AudioCaps and 42 of VGGSound.
REJECTS, DUPLICATES = 5 + 4 + 4 + 5 + 3, 4 + 2 + 2 + 3 + 1
FUNNEL = {
    "ok": 273,
    "dead/http_404": 5 + 7 + 8 + 3,
    "dead/http_410": 2 + 2,
    "dead/no_such_host": 4 + 4,
    "blocked/http_401": 1,
    "blocked/http_403": 4 + 4 + 1,
    "blocked/http_429": 2 + 1,
    "blocked/http_451": 1,
    "blocked/private_address": 2 + 1,
    "blocked/robots_noai": 2 + 1,
    "transient/connection_refused": 1 + 1,
    "transient/connection_reset": 1 + 1,
    "transient/http_5xx": 1 + 2 + 2 + 1,
    "transient/timeout": 1 + 1 + 1,
    "transient/tls": 1,
    "invalid/bad_url": 1,
    "invalid/empty": 1 + 1 + 1,
    "invalid/html": 2 + 1 + 1,
    "invalid/no_audio": 1,
    "invalid/redirect_loop": 1 + 1,
    "invalid/too_many_bytes": 2,
    "invalid/too_many_pixels": 2 + 1,
    "invalid/truncated": 1 + 1 + 2 + 1,
    "invalid/undecodable": 2,
    "filtered/duplicate_media": 2 + 1 + 2 + 1,
    "filtered/language": 27 + 25 + 21 + 18 + 16 + 14 + 13 + 13 + 11 + 10,
    "filtered/language_detected": 3,
    "filtered/no_caption": 4,
    "filtered/silent": 1,
    "filtered/split": 6,
    "filtered/too_short": 1,
    # WIT is asked for thumbnails of 250 px, and those of its stretched pictures are 41 px high.
    "filtered/too_small": 3 + 2 + 2 + 2,
    "filtered/too_stretched": 2 + 2,
}


def test_the_funnel_is_what_was_planted(built):
    """Every fault of the world ends in its own outcome, and in no other."""
    assert status(built.root)["reasons"] == FUNNEL


def test_no_row_is_lost(built):
    """rows_read = candidates + rejects + duplicates, and every candidate has one outcome."""
    numbers = status(built.root)

    assert numbers["rows_read"] == ROWS
    assert numbers["rows_read"] == numbers["candidates"] + numbers["rejects"] + numbers["duplicates"]
    assert numbers["candidates"] == sum(numbers["outcomes"].values()) == sum(numbers["reasons"].values())
    assert numbers["pending"] == 0


def test_every_candidate_has_one_place(built):
    """A candidate is in exactly one shard or was ruled out by its list; keys are unique."""
    shards = [pq.read_table(path) for path in sorted((built.root / "candidates").glob("*.parquet"))]
    filtered = pq.read_table(built.root / "plan" / "filtered.parquet")
    ids = pa.concat_tables([table.select(["id"]) for table in [*shards, filtered]])["id"].to_pylist()

    assert status(built.root)["candidates"] == len(ids) == len(set(ids))


def test_vectors_are_of_the_samples(built):
    """Each column has a vector of every ok row of its kinds, before duplicates are found."""
    numbers = status(built.root)
    samples = numbers["outcomes"]["ok"] + numbers["reasons"].get("filtered/duplicate_media", 0)

    assert samples == numbers["vectors"]["clip_text"] == numbers["vectors"]["clap_text"]
    assert numbers["vectors"]["clap_audio"] < numbers["vectors"]["clip_image"] < samples


def stored(root):
    """Every file and its time of change, but for the records of jobs."""
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if "runs" not in path.parts}


def test_a_rerun_asks_for_nothing(built):
    """A finished build is found: no request, no encoding, not another byte."""
    files = stored(built.root)
    again = command("build", built.file, "fetch.workers=3", "contact=somebody@example.org")

    # Tests of other workers ask the same server meanwhile, as others.
    assert requests(built.base_url, "somebody@example.org") == 0
    assert requests(built.base_url, "Echolens/") > 0
    assert files == stored(built.root)
    assert built.output == again.stdout


@pytest.mark.slow
def test_lost_vectors_are_made_again_from_the_media(built, tmp_path):
    """Encoding reads what was committed: the same vectors come back, and nothing is asked for."""
    copy = tmp_path / "copy"
    shutil.copytree(built.root, copy)
    shutil.rmtree(copy / "versions")
    for path in sorted((copy / "vectors" / "main").glob("*"))[:6]:
        path.unlink()
    before = requests(built.base_url)
    echolens("build", built.file, f"root={copy}")

    assert before == requests(built.base_url)
    assert digest(built.root) == digest(copy)


@pytest.mark.slow
def test_a_byte_that_changed_is_said_and_mended(built, tmp_path):
    """Only `--verify` reads the bytes; it says what it found, and the same version is whole again."""
    copy = tmp_path / "copy"
    shutil.copytree(built.root, copy)
    broken = copy / "vectors" / "main" / "00001.parquet"
    data = bytearray(broken.read_bytes())
    data[len(data) // 2] ^= 1
    broken.write_bytes(data)
    ended = echolens("build", built.file, f"root={copy}", "--verify")

    assert (
        "build: files damaged or missing: 1 (vectors/main/00001.parquet); shards made again: 1,"
        in ended.stderr
    )
    assert digest(built.root) == digest(copy)
    assert 1 == status(copy)["version"]


@pytest.mark.slow
def test_nothing_arrived_is_no_dataset(built, tmp_path):
    """Where every host is out of reach nothing is published, and the sentence says why."""
    overrides = (f"root={tmp_path / 'root'}", "fetch.allow_private_hosts=false", "contact=me@example.org")
    ended = echolens("build", built.file, *overrides, check=False)

    assert 1 == ended.returncode
    assert "pictures and clips arrived" in ended.stderr.splitlines()[-1]
    assert not list((tmp_path / "root").glob("versions/*.json"))


@pytest.mark.slow
def test_the_order_of_arrival_does_not_matter(tmp_path):
    """Two workers of Ray and this process alone give the same dataset; a rerun needs no server at all.

    So a test may begin with a dataset that was built without Ray.
    """
    made, port = [], free_port()
    for number, run in enumerate((job_here, echolens)):
        with serving(SEED, 200, port=port) as base_url:
            file = write_dataset(tmp_path / str(number), base_url, 200, SEED)
            first = run("build", file, "fetch.workers=2").stdout
        # The first line says where it lies.
        made.append((digest(file.with_name("data")), first.splitlines()[1:]))
        # The server is gone by now; a finished build does not miss it.
        assert first == echolens("build", file).stdout

    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        pytest.param("shard_rows=100", "shard_rows of .* is 200 for good", id="shard-rows"),
        pytest.param("fetch.image_size=128", "fetch.image_size of .* is 256 for good", id="image-size"),
        pytest.param(
            "filter.min_side_px=10", "filter of .* differ from those it was planned with", id="filter"
        ),
        pytest.param(
            "encode.clap=null", "set 'main' of .* holds clap vectors of .* no encoder", id="encoder"
        ),
        pytest.param("sources.0.list=nothing.tsv", "sources of .* differ", id="sources"),
    ],
)
def test_what_is_pinned_cannot_change(built, override, sentence):
    """Another answer to what a root can never change is refused, and names what it was."""
    ended = echolens("build", built.file, override, check=False)

    assert ended.returncode == 1
    assert 1 == len(ended.stderr.strip().splitlines())
    assert re.search(sentence, ended.stderr)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        pytest.param("sources.0.list=lists/nothing.tsv.gz", "nothing.tsv.gz", id="missing-list"),
        pytest.param("sources.1.list=lists/cc12m.tsv", "columns", id="swapped-columns"),
        pytest.param("sources.0.list=lists/vggsound.csv", "vggsound.csv", id="another-format"),
        pytest.param("root=s3://", "root s3://", id="unreachable-root"),
        pytest.param("root=miniature.yaml/below", "is a file", id="root-in-a-file"),
        pytest.param("encode.clip.weights=nowhere", "nowhere", id="missing-weights"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(built, tmp_path, override, sentence):
    """One sentence, exit code 1, and nothing is written."""
    home = tmp_path / "home"
    shutil.copytree(built.file.parent, home, ignore=shutil.ignore_patterns("data"))
    overrides = [override, "encode.clip={}"] if override.startswith("encode") else [override]
    ended = echolens("build", home / built.file.name, *reversed(overrides), check=False)

    assert ended.returncode == 1
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
    assert sentence in ended.stderr
    assert not (home / "data").exists()
