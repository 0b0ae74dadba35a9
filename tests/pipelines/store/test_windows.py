"""Windows of sounds through the life of a dataset: a file of the shard like the others."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.errors import ConfigError, SpaceError, StorageError
from pipelines.maintain.clean import clean
from pipelines.maintain.purge import purge
from pipelines.maintain.verify import find_damage, quarantine, read_all_versions
from pipelines.store import dataset_file, plans, versions
from pipelines.store.counts import compute_digest
from pipelines.store.windows import WINDOWS, get_windows_file, read_windows, write_windows
from schemas.families import COLUMNS, get_family
from tests.by_hand import HOST, ByHand, damage, space

NAME = "vectors/main/00001.windows.parquet"


def build(folder, *overrides):
    """Return a dataset of a shard of pictures and one of clips."""
    world = ByHand(folder)
    world.lists({f"{HOST}{name}.jpg": f"picture {name}" for name in "abc"}, texts=6)
    file = folder / "by_hand.yaml"
    media = 'media: "http://127.0.0.1/{youtube_id}_{start_s}.mp4"'
    file.write_text(file.read_text().replace("take: text", media))
    world.build(*overrides)
    return world


@pytest.fixture
def kept(tmp_path):
    return build(tmp_path / "kept", "encode.windows=true")


def shards(world):
    return versions.read_shards(world.at(), versions.read_version(world.at()))


def test_a_version_names_them_and_the_digest_covers_them(kept):
    """Damage is found, named and mended by making the shard again."""
    root, (version,) = kept.at(), read_all_versions(kept.at())
    paths = root.read_table("versions/0001.parquet")["path"].to_pylist()
    whole = compute_digest(root, ["main"])
    assert [NAME] == [path for path in paths if "windows" in path]

    damage(root, NAME, "flipped")
    assert whole != compute_digest(root, ["main"])
    found = find_damage(root, [version], compare_hashes=True)
    assert ([NAME], frozenset({1})) == ([file.path for file in found], quarantine(root, found))
    dataset = kept.dataset("encode.windows=true")
    for shard in plans.list_shards(root):
        kept.through(dataset, root, shard)
    assert whole == compute_digest(root, ["main"])
    assert [] == find_damage(root, [version], compare_hashes=True)


def test_a_purge_takes_its_windows_out(kept):
    """Those of the other clips stay, under their new keys; `clean` finds nothing more to remove."""
    root, dataset = kept.at(), kept.dataset("encode.windows=true")
    _, before, starts, vectors = read_windows(root, "main", shards(kept))
    purge(dataset, [f"{before[0]:06d}"], yes=True)
    _, after, later, left = read_windows(root, "main", shards(kept))

    assert not root.exists(NAME)
    np.testing.assert_array_equal(before[2:] % 10, after % 10)
    np.testing.assert_array_equal(starts[2:], later)
    np.testing.assert_array_equal(vectors[2:], left)
    assert not set(before.tolist()) & set(after.tolist())
    assert [] == clean(root, keep=3, yes=False)
    assert [] == find_damage(root, read_all_versions(root), compare_hashes=True)


def test_without_them_nothing_is_written(tmp_path):
    """Nor does dataset.json say anything of them: it is what it was before there were any."""
    root = build(tmp_path / "plain").at()

    assert not [name for name in root.list_names("vectors/main") if "windows" in name]
    assert b"windows" not in root.read("dataset.json")


def test_a_set_keeps_what_it_began_with(kept, tmp_path):
    """Another choice needs another set."""
    plain = build(tmp_path / "plain")
    spaces = {column: space(get_family(column)) for column in COLUMNS}

    with pytest.raises(ConfigError, match="keeps no windows and some were asked for; give another"):
        dataset_file.check_spaces(plain.at(), plain.dataset("encode.windows=true"), spaces)
    with pytest.raises(ConfigError, match="keeps windows of sounds and none were asked for"):
        dataset_file.check_spaces(kept.at(), kept.dataset(), spaces)
    other = plain.dataset("encode.windows=true", "encode.set=other")
    dataset_file.check_spaces(plain.at(), other, spaces)
    dataset_file.pin(plain.at(), other, spaces)
    assert (False, True) == tuple(dataset_file.has_windows(plain.at(), name) for name in ("main", "other"))


def test_windows_are_read_by_key_and_time(kept, tmp_path):
    """Two a clip, as unit vectors of a stated space; unknown starts are NaN; a set without any says so."""
    root, clips = kept.at(), shards(kept)
    found, keys, starts, vectors = read_windows(root, "main", clips)

    assert found == space("clap")
    assert (np.diff(keys) >= 0).all()
    assert [0, 5] * 6 == starts.tolist()
    assert (12, np.float16, np.int64) == (len(vectors), vectors.dtype, keys.dtype)
    assert np.linalg.norm(vectors.astype(np.float32), axis=1) == pytest.approx(1, abs=2e-3)
    plain = build(tmp_path / "plain")
    with pytest.raises(StorageError, match="keeps no windows of sounds; build it again"):
        read_windows(plain.at(), "main", shards(plain))
    with pytest.raises(StorageError, match="has no clips in set 'main'"):
        read_windows(root, "main", clips[:1])


def test_windows_of_two_spaces_are_refused(kept):
    """They are not compared."""
    root, clips = kept.at(), shards(kept)
    (clip,) = (shard for shard in clips if shard.kind == "clip")
    other = type(clip)(7, "clip", "web", 1)
    one = {"key": ["00000070"], WINDOWS: [(np.array([np.nan], np.float32), np.eye(16, dtype=np.float16)[:1])]}
    write_windows(root, "main", other, "clap_audio", space("clip"), [one])

    assert np.isnan(read_windows(root, "main", [other])[2]).all()
    with pytest.raises(SpaceError, match="encode one of them again"):
        read_windows(root, "main", [clip, other])


def test_a_table_of_strangers_is_checked(kept):
    """A table of windows is one; its vectors are of the dimensions that it names."""
    root, (clip,) = kept.at(), [shard for shard in shards(kept) if shard.kind == "clip"]
    name = get_windows_file("main", clip)
    table = root.read_table(name)
    root.write_table(name, table.replace_schema_metadata({}))
    with pytest.raises(StorageError, match="is no table of windows"):
        read_windows(root, "main", [clip])
    wrong = pa.array([[0.0]] * table.num_rows, pa.list_(pa.float16(), 1))
    root.write_table(name, table.set_column(2, "vector", wrong))
    with pytest.raises(StorageError, match="its column 'vector' is lists of 1 halffloat, not lists of 16"):
        read_windows(root, "main", [clip])
