"""Media that must be gone for good."""

import hashlib

import pyarrow as pa
import pytest

from pipelines.errors import ConfigError, StorageError
from pipelines.maintain.clean import clean
from pipelines.maintain.purge import plan_purge, purge, rewrite_shards, write_plan
from pipelines.maintain.refresh import RefreshOptions
from pipelines.maintain.verify import find_damage, read_all_versions
from pipelines.store import plans, versions
from schemas.families import COLUMNS
from schemas.segment import Segment
from schemas.vectors import decode_spaces, make_vectors_schema, mark_smaller_batches
from tests.by_hand import HOST, outcomes, pictures, vector


def test_what_is_purged_is_in_no_file(own_versions):
    """Not in a tar, a table, an index or an old version; its neighbours stay, under other keys."""
    root, dataset = own_versions.at(), own_versions.dataset()
    table = root.read_table("media/00000.parquet").to_pylist()
    victim = table[3]
    before = outcomes(root)
    dry, _, _ = purge(dataset, [victim["key"]], yes=False)
    unchanged = versions.list_numbers(root)
    found, dropped, _ = purge(dataset, [victim["key"]], yes=True)
    version = versions.read_version(root)
    left = [path.read_bytes() for path in (own_versions.folder / "data").rglob("*") if path.is_file()]
    vectors = [vector(f"{column} {victim['url']} {victim['caption']}").tobytes() for column in COLUMNS]
    sha256 = hashlib.sha256(victim["media_url"].encode()).hexdigest()

    assert [1, 2] == unchanged == dropped
    assert dry == found
    assert ((int(victim["key"]),), [0]) == (found.keys, [shard.number for shard in found.shards])
    assert not any(sha256.encode() in data for data in left)
    assert not any(stored in data for stored in vectors for data in left)
    assert before | {victim["caption"]: "filtered/purged"} == outcomes(root)
    assert version.candidates == sum(version.outcomes.values())
    assert [] == find_damage(root, read_all_versions(root), compare_hashes=True)
    assert not root.exists("media/00000.tar")


def test_what_vectors_stand_for_outlives_a_purge(own_versions):
    """The part of a clip, its score and the size of the batches are said of the neighbours as before."""
    root, path = own_versions.at(), "vectors/main/00000.parquet"
    table = root.read_table(path)
    spaces = decode_spaces(table.schema)
    schema = make_vectors_schema(spaces, Segment(mode="best"))
    schema = mark_smaller_batches(schema, {"clip_text": 2})
    rows = [row | {"segment_start_s": 1.5, "frame": 3} for row in table.to_pylist()]
    root.write_table(path, pa.Table.from_pylist(rows, schema=schema))
    purge(own_versions.dataset(), [rows[0]["key"]], yes=True)
    (again,) = {shard.name for shard in plans.list_shards(root)} - {"00001", "00002", "00003"}
    after = root.read_table(f"vectors/main/{again}.parquet")

    assert schema == after.schema
    assert schema.metadata == after.schema.metadata
    assert {(1.5, 3)} == {(row["segment_start_s"], row["frame"]) for row in after.to_pylist()}


def test_what_is_purged_is_not_fetched_again(own_versions):
    """Not by a refresh, and not by one that is told to try everything."""
    root, dataset = own_versions.at(), own_versions.dataset()
    key = root.read_table("media/00000.parquet")["key"][0].as_py()
    purge(dataset, [key], yes=True)
    _, changes = own_versions.refresh(options=RefreshOptions(retry=("filtered", "dead", "invalid")))

    assert not changes.any
    assert [] == own_versions.asked


def test_media_of_equal_bytes_are_purged_together(own_versions):
    """The copy under another link is as much the same picture."""
    own_versions.answers[f"media of {HOST}z.jpg"] = f"{HOST}a.jpg"
    own_versions.lists(pictures("abcdefghijklmnoz"), texts=3)
    own_versions.refresh()
    root = own_versions.at()
    rows = [row for shard in (0, 1) for row in root.read_table(f"media/0000{shard}.parquet").to_pylist()]
    key = next(row["key"] for row in rows if row["media_url"] == f"{HOST}a.jpg")
    found, _, _ = purge(own_versions.dataset(), [key], yes=True)

    assert (2, 1) == (len(found.keys), found.duplicates)
    assert {"a picture of a", "a picture of z"} == {
        said for said, outcome in outcomes(root).items() if outcome == "filtered/purged"
    }


def test_a_key_that_is_none_is_refused(own_versions):
    """Before anything is written."""
    with pytest.raises(ConfigError, match="'999999' is no key"):
        purge(own_versions.dataset(), ["999999"], yes=True)


def test_a_purge_that_was_cut_off_is_finished(own_versions):
    """From its plan on: the keys are the same no more, and `build` and `clean` leave none of the media."""
    root, dataset = own_versions.at(), own_versions.dataset()
    victim = root.read_table("media/00000.parquet").to_pylist()[3]
    write_plan(
        root, rewrite_shards(root, plan_purge(root, [victim["key"]], dataset.shard_rows), dataset.shard_rows)
    )
    with pytest.raises(StorageError, match="run `echolens build` on its file first"):
        purge(dataset, [victim["key"]], yes=True)
    own_versions.finish(dataset)
    with pytest.raises(ConfigError, match="run `echolens clean --yes` if that purge was cut off"):
        purge(dataset, [victim["key"]], yes=True)
    clean(root, keep=3, yes=True)
    left = [path.read_bytes() for path in (own_versions.folder / "data").rglob("*") if path.is_file()]

    assert [3] == versions.list_numbers(root)
    assert not any(hashlib.sha256(victim["media_url"].encode()).hexdigest().encode() in data for data in left)
    assert [] == find_damage(root, read_all_versions(root), compare_hashes=True)
