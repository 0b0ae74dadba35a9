"""Versions over time: damage, readers, what may be removed, and media that must be gone."""

import hashlib
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.clean import clean, purge
from pipelines.errors import ConfigError, StorageError
from pipelines.lookup.search import Lookup
from pipelines.maintain.publish import publish
from pipelines.maintain.purge import plan_purge, rewrite_shards, write_plan
from pipelines.maintain.refresh import RefreshOptions
from pipelines.maintain.verify import find_damage, find_rewritten, quarantine, read_all_versions
from pipelines.store import plans, versions
from pipelines.store.counts import compute_digest
from schemas.dataset import Segment
from schemas.query import Query
from schemas.vectors import COLUMNS, decode_spaces, make_vectors_schema, mark_smaller_batches
from tests.by_hand import ByHand, outcomes, vector
from tests.commands import echolens

HOST = "http://127.0.0.1/"


def pictures(names: str) -> dict[str, str]:
    return {f"{HOST}{name}.jpg": f"a picture of {name}" for name in names}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Fourteen pictures in two shards and three captions; version 2 has one more picture."""
    world = ByHand(tmp_path_factory.mktemp("by-hand") / "world")
    world.lists(pictures("abcdefghijklmn"), texts=3)
    world.build()
    world.lists(pictures("abcdefghijklmno"), texts=3)
    world.refresh()
    return world


@pytest.fixture
def world(built, tmp_path):
    """A copy of it."""
    shutil.copytree(built.folder, tmp_path / "world")
    return ByHand(tmp_path / "world")


def damage(root, path, how):
    data = root.read(path)
    root.remove(path)
    if how == "flipped":
        root.write(path, data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    elif how == "truncated":
        root.write(path, data[: len(data) // 2])


@pytest.mark.parametrize(
    ("path", "how"),
    [
        pytest.param("media/00001.tar", "flipped", id="corrupted-tar"),
        pytest.param("media/00000.parquet", "truncated", id="truncated-parquet"),
        pytest.param("vectors/main/00003.tar", "missing", id="missing-vectors-tar"),
        pytest.param("vectors/main/00002.parquet", "truncated", id="truncated-vectors"),
        pytest.param("candidates/00001.parquet", "truncated", id="truncated-candidates"),
    ],
)
def test_a_damaged_shard_is_found_named_and_made_again(world, path, how):
    """The same bytes come back, and no version has to change."""
    root = world.at()
    whole = compute_digest(root, ["main"])
    damage(root, path, how)
    found = find_damage(root, read_all_versions(root), compare_hashes=True)
    ended = echolens("status", root.url, "--verify", check=False)
    again = quarantine(root, found)
    for shard in plans.list_shards(root):
        world.through(world.dataset(), root, shard)

    assert [path] == [one.path for one in found]
    assert 1 == ended.returncode
    assert path in ended.stdout
    assert "echolens build --verify" in ended.stdout
    assert whole == compute_digest(root, ["main"])
    assert not find_rewritten(root, versions.read_version(root), again)
    assert [] == find_damage(root, read_all_versions(root), compare_hashes=True)


def test_sizes_alone_tell_what_is_truncated_or_missing(world):
    """One listing a folder, without reading a file; bytes that are other in place take `--verify`."""
    root = world.at()
    damage(root, "media/00000.parquet", "truncated")
    damage(root, "media/00001.tar", "flipped")
    damage(root, "indices/main/0002/clip_image.faiss", "missing")
    quick = {one.path: one.found for one in find_damage(root, read_all_versions(root))}

    assert {
        "media/00000.parquet": "size",
        "indices/main/0002/clip_image.faiss": "missing",
    } == quick


def test_a_missing_file_of_an_old_version_is_named_with_it(world):
    """So is what to do about it."""
    root = world.at()
    root.remove("versions/0001.tombstones.parquet")
    (found,) = find_damage(root, read_all_versions(root), compare_hashes=True)

    assert (1,) == found.versions
    assert "echolens clean" in str(found)


def test_a_damaged_index_is_built_again_by_a_next_version(world):
    """It takes nothing over from the version before."""
    root = world.at()
    damage(root, "indices/main/0002/clip_image.faiss", "flipped")
    version = world.finish(world.dataset(), from_scratch=True)

    assert 3 == version.number
    assert [] == find_damage(root, [version], compare_hashes=True)


def test_media_that_come_back_other_make_a_next_version(world):
    """A committed file never changes; one that was lost and is another by now is another version's."""
    root = world.at()
    damage(root, "media/00001.tar", "missing")
    again = quarantine(root, find_damage(root, read_all_versions(root)))
    world.answers = dict.fromkeys(pictures("abcdefghijklmn"), "dead/http_404")
    for shard in plans.list_shards(root):
        world.through(world.dataset(), root, shard)
    must = find_rewritten(root, versions.read_version(root), again)
    version = publish(root, world.dataset(), again)

    assert must
    assert [] == find_damage(root, [version], compare_hashes=True)
    assert version.outcomes["dead"] == 4


def test_only_what_is_new_is_hashed_and_indexed(world):
    """A version takes over the lines of its shards, and an index of which nothing changed."""
    root = world.at()
    first, second = versions.read_version(root, 1), versions.read_version(root, 2)
    lines = [pq.read_table(root.get_path(f"versions/{number:04d}.parquet")).to_pylist() for number in (1, 2)]
    world.lists(pictures("abcdefghijklm"), texts=3)
    third, _ = world.refresh()

    assert lines[0] == [line for line in lines[1] if line["shard"] in {0, 1, 2}]
    assert {file.path for file in first.indices}.isdisjoint(file.path for file in second.indices)
    assert second.indices == third.indices


@pytest.mark.parametrize("column", ["clip_image", "clip_text", "clap_text"])
def test_an_extended_index_finds_what_a_new_one_finds(world, column):
    """Ids and the top 10 of fixed queries, without rows that left the lists."""
    world.lists(pictures("bcdefghijklmnopq"), texts=5)
    extended, _ = world.refresh()
    root, dataset = world.at(), world.dataset()
    queries = [vector(f"question {number}") for number in range(5)]

    def found(version):
        lookup = Lookup.open(root, dataset, version)
        assert lookup.cards[column].rows == version.vectors[column]
        asked = [Query(vector=tuple(query.tolist()), into=column) for query in queries]
        return [[hit.key for hit in answer.hits] for answer in lookup.answer_many(asked)]

    answers = found(extended)
    anew = world.finish(dataset, from_scratch=True)

    assert found(anew) == answers


def test_a_reader_of_a_version_reads_it_to_the_end(world):
    """While the next one is published and the first one is cleaned away."""
    root, dataset = world.at(), world.dataset()
    lookup = Lookup.open(root, dataset, versions.read_version(root, 2))
    query = tuple(vector("question").tolist())
    before = lookup.answer(Query(vector=query, into="clip_image", k=5))
    world.lists(pictures("cdefghijklmnop"), texts=3)
    world.refresh()
    clean(root, keep=2, yes=True)
    late = Lookup.open(root, dataset, versions.read_version(root, 2))

    assert [2, 3] == versions.list_numbers(root)
    assert before == lookup.answer(Query(vector=query, into="clip_image", k=5))
    assert before == late.answer(Query(vector=query, into="clip_image", k=5))
    assert lookup.answer(Query(vector=query, into="clip_text", k=5)).hits
    assert [] == find_damage(root, read_all_versions(root), compare_hashes=True)


def test_clean_says_what_would_go_and_then_removes_just_that(world):
    """Old versions, their indices and half-written files; nothing that a kept version names."""
    root = world.at()
    root.write("media/.tmp-0-00000.tar", b"half")
    root.write("generated/mine/prompts/.tmp-1-00000.parquet", b"half")
    root.write("generated/mine/00000.tar", b"a person's")
    root.write("generated/pictures.0123.tar", b"a file beside the folders")
    root.write("translators/lease.json", b"of a training that was killed")
    root.write("media/00009.tar", b"of no plan")
    before = {path for path in (world.folder / "data").rglob("*") if path.is_file()}
    said = clean(root, keep=1, yes=False)
    untouched = {path for path in (world.folder / "data").rglob("*") if path.is_file()}
    clean(root, keep=1, yes=True)
    after = {path for path in (world.folder / "data").rglob("*") if path.is_file()}

    assert before == untouched
    assert {world.folder / "data" / one.path for one in said} == before - after
    said_of = {one.path for one in said}
    assert {"media/.tmp-0-00000.tar", "media/00009.tar", "versions/0001.json"} <= said_of
    assert ["generated/mine/prompts/.tmp-1-00000.parquet"] == [
        path for path in said_of if path.startswith("generated/")
    ]
    assert [] == find_damage(root, read_all_versions(root), compare_hashes=True)
    assert not clean(root, keep=1, yes=False)


def test_what_is_purged_is_in_no_file(world):
    """Not in a tar, a table, an index or an old version; its neighbours stay, under other keys."""
    root, dataset = world.at(), world.dataset()
    table = root.read_table("media/00000.parquet").to_pylist()
    victim = table[3]
    before = outcomes(root)
    dry, _, _ = purge(dataset, [victim["key"]], yes=False)
    unchanged = versions.list_numbers(root)
    found, dropped, _ = purge(dataset, [victim["key"]], yes=True)
    version = versions.read_version(root)
    left = [path.read_bytes() for path in (world.folder / "data").rglob("*") if path.is_file()]
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


def test_what_vectors_stand_for_outlives_a_purge(world):
    """The part of a clip, its score and the size of the batches are said of the neighbours as before."""
    root, path = world.at(), "vectors/main/00000.parquet"
    table = root.read_table(path)
    spaces = decode_spaces(table.schema)
    schema = make_vectors_schema(spaces, Segment(mode="best"))
    schema = mark_smaller_batches(schema, {"clip_text": 2})
    rows = [row | {"segment_start_s": 1.5, "frame": 3} for row in table.to_pylist()]
    root.write_table(path, pa.Table.from_pylist(rows, schema=schema))
    purge(world.dataset(), [rows[0]["key"]], yes=True)
    (again,) = {shard.name for shard in plans.list_shards(root)} - {"00001", "00002", "00003"}
    after = root.read_table(f"vectors/main/{again}.parquet")

    assert schema == after.schema
    assert schema.metadata == after.schema.metadata
    assert {(1.5, 3)} == {(row["segment_start_s"], row["frame"]) for row in after.to_pylist()}


def test_what_is_purged_is_not_fetched_again(world):
    """Not by a refresh, and not by one that is told to try everything."""
    root, dataset = world.at(), world.dataset()
    key = root.read_table("media/00000.parquet")["key"][0].as_py()
    purge(dataset, [key], yes=True)
    _, changes = world.refresh(asked=RefreshOptions(retry=("filtered", "dead", "invalid")))

    assert not changes.any
    assert [] == world.asked


def test_media_of_equal_bytes_are_purged_together(world):
    """The copy under another link is as much the same picture."""
    world.answers[f"media of {HOST}z.jpg"] = f"{HOST}a.jpg"
    world.lists(pictures("abcdefghijklmnoz"), texts=3)
    world.refresh()
    root = world.at()
    rows = [row for shard in (0, 1) for row in root.read_table(f"media/0000{shard}.parquet").to_pylist()]
    key = next(row["key"] for row in rows if row["media_url"] == f"{HOST}a.jpg")
    found, _, _ = purge(world.dataset(), [key], yes=True)

    assert (2, 1) == (len(found.keys), found.duplicates)
    assert {"a picture of a", "a picture of z"} == {
        said for said, outcome in outcomes(root).items() if outcome == "filtered/purged"
    }


def test_a_key_that_is_none_is_refused(world):
    """Before anything is written."""
    with pytest.raises(ConfigError, match="'999999' is no key"):
        purge(world.dataset(), ["999999"], yes=True)


def test_a_purge_that_was_cut_off_is_finished(world):
    """From its plan on: the keys are the same no more, and `build` and `clean` leave none of the media."""
    root, dataset = world.at(), world.dataset()
    victim = root.read_table("media/00000.parquet").to_pylist()[3]
    write_plan(
        root, rewrite_shards(root, plan_purge(root, [victim["key"]], dataset.shard_rows), dataset.shard_rows)
    )
    with pytest.raises(StorageError, match="run `echolens build` on its file first"):
        purge(dataset, [victim["key"]], yes=True)
    world.finish(dataset)
    with pytest.raises(ConfigError, match="run `echolens clean --yes` if that purge was cut off"):
        purge(dataset, [victim["key"]], yes=True)
    clean(root, keep=3, yes=True)
    left = [path.read_bytes() for path in (world.folder / "data").rglob("*") if path.is_file()]

    assert [3] == versions.list_numbers(root)
    assert not any(hashlib.sha256(victim["media_url"].encode()).hexdigest().encode() in data for data in left)
    assert [] == find_damage(root, read_all_versions(root), compare_hashes=True)


def test_two_sets_have_versions_of_their_own(world):
    """The current version of a set is the highest that names it; candidates and media are shared."""
    other = world.finish(world.dataset("encode.set=other"))
    root = world.at()

    assert (3, "other") == (other.number, other.set)
    assert (2, 3) == (versions.find_current(root, "main").number, versions.find_current(root, "other").number)
    assert 2 == versions.find_unchanged(root, "main").number
    assert [] == clean(root, keep=2, yes=False)


def test_versions_are_compared(world):
    """`status --changes` counts what came and went."""
    said = echolens("status", world.at().url, "--changes", 1, 2).stdout

    assert "+1  candidates" in said
    assert "+1  vectors of clip_image" in said


def test_a_version_that_is_not_there_is_answered_with_those_that_are(built):
    """Whoever has one version learns how to come by another."""
    with pytest.raises(StorageError, match=r"has no version 9; name one of 1, 2, or run `echolens refresh`"):
        versions.read_version(built.at(), 9)


def test_a_damaged_manifest_is_named(world):
    """And not mistaken for no version at all."""
    root = world.at()
    root.write("versions/0002.json", b"{")
    with pytest.raises(StorageError, match=r"versions/0002\.json is damaged"):
        versions.read_version(root)
