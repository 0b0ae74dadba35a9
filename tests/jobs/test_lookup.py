import io
import json
import tarfile

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.commands import echolens


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
    hits = json.loads(echolens("lookup", built.root, "--text", "a thing", "--k", "1000", "--json").stdout)

    assert 6 == len(gone)
    assert not gone & {hit["key"] for hit in hits}
    assert 100 < len(hits)


def asked(built, *arguments):
    return json.loads(echolens("lookup", built.root, *arguments, "--json").stdout)


def test_more_like_a_row_is_what_its_vector_finds(built, tmp_path):
    """By key or by vector, the same rows; and a row is no answer to itself."""
    first, *others = asked(built, "--text", "a bell", "--vectors", "--k", "30")
    np.save(tmp_path / "query.npy", np.array(first["vector"]))
    by_vector = asked(built, "--vector", tmp_path / "query.npy", "--k", "6")
    by_key = asked(built, "--key", first["key"], "--k", "5")

    assert first["key"] == by_vector[0]["key"]
    assert [hit["key"] for hit in by_vector[1:]] == [hit["key"] for hit in by_key]
    assert "vector" not in by_key[0]
    assert len(others) == 29


def test_only_what_was_asked_for_is_found(built):
    """Filters hold for every row, however many are wanted, and distinct rows are fewer."""
    every = asked(built, "--text", "a bell", "--k", "1000")
    wit = asked(built, "--text", "a bell", "--k", "1000", "--only-source", "wit", "--only-language", "en")
    large = asked(built, "--text", "a bell", "--k", "1000", "--only-min-side", "250")
    distinct = asked(built, "--text", "a bell", "--k", "1000", "--distinct")

    assert [hit for hit in every if hit["source"] == "wit" and hit["language"] == "en"] == wit
    assert 0 < len(wit) < len(every)
    assert 0 < len(large) < len(every)
    assert {hit["key"] for hit in large} < {hit["key"] for hit in every}
    assert 1 < len(distinct) < len(every)
    assert every[0] == distinct[0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(("--image", "{jpg}", "--in", "clap_audio"), "--via", id="another-space"),
        pytest.param(("--image", "{text}"), "picture", id="no-picture"),
        pytest.param(("--audio", "{text}"), "sound", id="no-sound"),
        pytest.param(("--image", "nothing.jpg"), "nothing.jpg is not a file", id="no-file"),
        pytest.param(("--text", " "), "the text is empty", id="no-text"),
        pytest.param(("--text", "a", "--k", "0"), "k: input should be greater than", id="k-zero"),
        pytest.param(("--text", "a", "--k", "1001"), "k: input should be less than", id="k-too-large"),
        pytest.param(("--key", "987654321"), "no row has the key '987654321'", id="no-such-key"),
        pytest.param(("--text", "a", "--only-source", "wut"), "no row has the source 'wut'", id="no-source"),
        pytest.param(("--text", "a", "--via", "over"), "no translator 'over'", id="no-translator"),
        pytest.param(("--vector", "{text}"), "holds no vector", id="no-vector"),
        pytest.param(("--vector", "{matrix}"), "shape (2, 2); save one vector", id="a-matrix"),
        pytest.param(("--vector", "{short}"), "shape (2,) ", id="another-length"),
        pytest.param(("--vector", "nothing.npy"), "nothing.npy is not a file", id="no-vector-file"),
        pytest.param(("--text", "a", "--vectors"), "add --json", id="vectors-for-people"),
        pytest.param(("--text", "a", "--of", "clip_text"), "give its --key", id="of-nothing"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(built, tmp_path, arguments, sentence):
    """Exit code 1, one line, and what to do."""
    (tmp_path / "q.jpg").write_bytes(member(built, "jpg")[1])
    (tmp_path / "q.txt").write_text("no media")
    np.save(tmp_path / "matrix.npy", np.ones((2, 2)))
    np.save(tmp_path / "short.npy", np.ones(2))
    names = {"jpg": tmp_path / "q.jpg", "text": tmp_path / "q.txt"}
    names |= {name: tmp_path / f"{name}.npy" for name in ("matrix", "short")}
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
