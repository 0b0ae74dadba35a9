"""One root, two sets of vectors: the second reads what is stored, and the first stays as it was."""

import json
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipelines.store.root import Root
from schemas.vectors import decode_spaces
from tests.commands import Built, echolens, requests, status
from tests.pipelines.random_weights import save_clip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def both(built, tmp_path_factory, one_ray_a_module):
    """Encode a copy of the built world again: another CLIP, the same CLAP, and twice as many workers."""
    folder = tmp_path_factory.mktemp("sets")
    weights = save_clip(folder / "tiny")
    shutil.copytree(built.root, folder / "root")
    asked = requests(built.base_url)
    overrides = [
        f"root={folder / 'root'}", "encode.set=other", "encode.workers=2", "encode.clip={}",
        f"encode.clip.model=local-dir:{weights}", "encode.clip.weights=''",
    ]  # fmt: skip
    ended = echolens("build", built.file, *overrides)
    assert asked == requests(built.base_url)
    return Built(built.file, folder / "root", built.base_url, ended.stdout)


def vectors(root, set_name: str) -> pa.Table:
    paths = sorted((root / "vectors" / set_name).glob("*.parquet"))
    return pa.concat_tables([pq.read_table(path) for path in paths]).sort_by("key")


def files(root, *patterns: str) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for pattern in patterns
        for path in sorted(root.glob(pattern))
        if path.is_file()
    }


def test_the_first_set_stays_as_it_was(built, both):
    """Media, vectors, indices and versions that were there are the same bytes; nothing was asked for."""
    there = ("candidates/*", "media/*", "vectors/main/*", "indices/main/**/*", "versions/0001*")

    assert files(built.root, *there) == files(both.root, *there)


def test_the_second_lands_beside_it(both):
    """Its own vectors, indices and version, in its own space, of the same keys."""
    main, other = (vectors(both.root, name) for name in ("main", "other"))
    version = json.loads((both.root / "versions" / "0002.json").read_text())

    assert main["key"] == other["key"]
    assert (512, 24) == tuple(decode_spaces(table.schema)["clip_image"].dims for table in (main, other))
    assert "other" == version["set"]
    assert all(entry["path"].startswith("indices/other/") for entry in version["indices"])


def test_two_workers_make_the_bits_of_one(both):
    """What both sets encode alike is equal to the last bit, whoever encoded which shard in which order."""
    main, other = (vectors(both.root, name) for name in ("main", "other"))

    for column in ("clap_text", "clap_audio"):
        assert main[column].null_count == other[column].null_count < len(main)
        assert main[column].combine_chunks().equals(other[column].combine_chunks())
        assert pc.all(pc.equal(main[f"{column}_norm"], other[f"{column}_norm"]).drop_null()).as_py()


@pytest.mark.parametrize(("asked", "set_name"), [((), "other"), (("--set", "main"), "main")])
def test_a_set_can_be_named(built, both, asked, set_name):
    """The newest build's set is asked by default, any other by its name."""
    numbers = json.loads(echolens("status", both.root, "--json", *asked).stdout)
    # The other set has weights from a folder of this machine.
    words = ("--text", "a red bell", "--json", "--trust-root", *asked)
    hits = json.loads(echolens("lookup", both.root, *words).stdout)
    echolens("report", both.root, *asked)

    assert {"main": 1, "other": 2}[set_name] == numbers["version"]
    assert status(built.root)["vectors"] == numbers["vectors"]
    assert 10 == len(hits)
    assert (both.root / "reports" / f"{numbers['version']:04d}.html").is_file()


def test_a_set_that_is_not_there(both):
    """The sentence names those that are."""
    ended = echolens("lookup", both.root, "--text", "a bell", "--set", "third", check=False)

    assert 1 == ended.returncode
    assert "has no set 'third' (it has: main, other)" in ended.stderr


def test_the_first_file_finds_its_own_version(both):
    """Building the first set again publishes nothing: its version is still there."""
    before = Root.from_url(str(both.root)).list_names("versions", ".json")
    echolens("build", both.file, f"root={both.root}")

    assert before == Root.from_url(str(both.root)).list_names("versions", ".json")
