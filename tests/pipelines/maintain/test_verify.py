"""Damage is found, named and repaired."""

import pytest

from pipelines.maintain.publish import publish
from pipelines.maintain.verify import find_damage, find_rewritten, quarantine, read_all_versions
from pipelines.store import plans, versions
from pipelines.store.counts import compute_digest
from tests.by_hand import damage, pictures
from tests.commands import echolens


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
def test_a_damaged_shard_is_found_named_and_made_again(own_versions, path, how):
    """The same bytes come back, and no version has to change."""
    root = own_versions.at()
    whole = compute_digest(root, ["main"])
    damage(root, path, how)
    found = find_damage(root, read_all_versions(root), compare_hashes=True)
    ended = echolens("status", root.url, "--verify", check=False)
    again = quarantine(root, found)
    for shard in plans.list_shards(root):
        own_versions.through(own_versions.dataset(), root, shard)

    assert [path] == [one.path for one in found]
    assert 1 == ended.returncode
    assert path in ended.stdout
    assert "echolens build --verify" in ended.stdout
    assert whole == compute_digest(root, ["main"])
    assert not find_rewritten(root, versions.read_version(root), again)
    assert [] == find_damage(root, read_all_versions(root), compare_hashes=True)


def test_sizes_alone_tell_what_is_truncated_or_missing(own_versions):
    """One listing a folder, without reading a file; bytes that are other in place take `--verify`."""
    root = own_versions.at()
    damage(root, "media/00000.parquet", "truncated")
    damage(root, "media/00001.tar", "flipped")
    damage(root, "indices/main/0002/clip_image.faiss", "missing")
    quick = {one.path: one.found for one in find_damage(root, read_all_versions(root))}

    assert {
        "media/00000.parquet": "size",
        "indices/main/0002/clip_image.faiss": "missing",
    } == quick


def test_a_missing_file_of_an_old_version_is_named_with_it(own_versions):
    """So is what to do about it."""
    root = own_versions.at()
    root.remove("versions/0001.tombstones.parquet")
    (found,) = find_damage(root, read_all_versions(root), compare_hashes=True)

    assert (1,) == found.versions
    assert "echolens clean" in str(found)


def test_media_that_come_back_other_make_a_next_version(own_versions):
    """A committed file never changes; one that was lost and is another by now is another version's."""
    root = own_versions.at()
    damage(root, "media/00001.tar", "missing")
    again = quarantine(root, find_damage(root, read_all_versions(root)))
    own_versions.answers = dict.fromkeys(pictures("abcdefghijklmn"), "dead/http_404")
    for shard in plans.list_shards(root):
        own_versions.through(own_versions.dataset(), root, shard)
    must = find_rewritten(root, versions.read_version(root), again)
    version = publish(root, own_versions.dataset(), again)

    assert must
    assert [] == find_damage(root, [version], compare_hashes=True)
    assert version.outcomes["dead"] == 4
