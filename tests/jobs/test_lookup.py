import io
import json
import tarfile

import pyarrow.parquet as pq
import pytest

from tests.conftest import echolens


def member(built, suffix):
    """A key and the bytes of one member of it, from the first tar that has such members."""
    for path in sorted((built.root / "media").glob("*.tar")):
        with tarfile.open(path) as tar:
            for info in tar:
                key, _, name = info.name.partition(".")
                if name == suffix:
                    return key, tar.extractfile(info).read()
    raise AssertionError(suffix)


def test_hits_are_objects_with_the_promised_keys(built):
    """`--json` prints a list whose objects say what was found and where it is from."""
    hits = json.loads(echolens("lookup", built.root, "--text", "a bell", "--k", "3", "--json").stdout)

    assert 3 == len(hits)
    assert {"key", "score", "caption", "url", "source"} <= set(hits[0])
    assert hits == sorted(hits, key=lambda hit: -hit["score"])


@pytest.mark.parametrize(
    ("option", "suffix", "column"),
    [
        pytest.param("--image", "jpg", "clip_image", id="picture"),
        pytest.param("--audio", "flac", "clap_audio", id="sound"),
    ],
)
def test_media_of_the_dataset_find_themselves(built, tmp_path, option, suffix, column):
    """The same bytes are encoded into the same vector, so a stored sample is its own nearest neighbour."""
    key, data = member(built, suffix)
    path = tmp_path / f"query.{suffix}"
    path.write_bytes(data)
    hits = json.loads(echolens("lookup", built.root, option, path, "--k", "1", "--json").stdout)
    explicit = echolens("lookup", built.root, option, path, "--in", column, "--k", "1", "--json").stdout

    assert key == hits[0]["key"]
    assert hits[0]["score"] == pytest.approx(1, abs=2e-3)
    assert hits == json.loads(explicit)


def test_duplicates_are_never_found(built):
    """Every key can be found but those of the tombstones."""
    gone = set(pq.read_table(built.root / "versions" / "0001.tombstones.parquet")["key"].to_pylist())
    hits = json.loads(echolens("lookup", built.root, "--text", "a thing", "--k", "10000", "--json").stdout)

    assert 6 == len(gone)
    assert not gone & {hit["key"] for hit in hits}
    assert 100 < len(hits)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(("--image", "{jpg}", "--in", "clap_audio"), "--via", id="another-space"),
        pytest.param(("--image", "{text}"), "picture", id="no-picture"),
        pytest.param(("--audio", "{text}"), "sound", id="no-sound"),
        pytest.param(("--image", "nothing.jpg"), "nothing.jpg is not a file", id="no-file"),
        pytest.param(("--text", " "), "the text is empty", id="no-text"),
        pytest.param(("--text", "a", "--k", "0"), "k", id="k-zero"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(built, tmp_path, arguments, sentence):
    """Exit code 1, one line, and what to do."""
    (tmp_path / "q.jpg").write_bytes(member(built, "jpg")[1])
    (tmp_path / "q.txt").write_text("no media")
    names = {"jpg": tmp_path / "q.jpg", "text": tmp_path / "q.txt"}
    ended = echolens("lookup", built.root, *(part.format(**names) for part in arguments), check=False)

    assert 1 == ended.returncode
    assert 1 == len(ended.stderr.strip().splitlines()), ended.stderr
    assert sentence in ended.stderr


def test_a_root_that_was_moved_is_still_itself(built, tmp_path):
    """Status and lookup work on a copy, wherever it lies."""
    import shutil

    copy = tmp_path / "elsewhere"
    shutil.copytree(built.root, copy)
    here = json.loads(echolens("status", built.root, "--json").stdout)
    there = json.loads(echolens("status", copy, "--json").stdout)

    assert here | {"root": ""} == there | {"root": ""}
    assert io.StringIO(echolens("lookup", copy, "--text", "a bell").stdout).readline()
