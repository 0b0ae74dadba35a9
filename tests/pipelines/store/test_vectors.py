"""Vectors are read back as they were committed, without those that are gone."""

import numpy as np
import pytest

from pipelines.errors import SpaceError, StorageError
from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_vectors
from pipelines.store.vectors import VectorReader
from schemas.candidate import format_key
from schemas.space import Space

ROWS, DIMS = 50, 4
SPACE = Space(
    encoder="test",
    weights_sha256="0" * 64,
    library="none 0",
    preprocessing="none",
    precision="fp32",
    batch_rows=1,
    dims=DIMS,
)
NONE = np.empty(0, dtype=np.int64)


@pytest.fixture
def commit(tmp_path):
    """Commit a shard of pictures whose vectors have their key as every coordinate; row 7 has none."""
    root = Root.from_url(str(tmp_path))

    def commit_shard(number, space=SPACE, columns=("clip_image",)):
        keys = [format_key(number, row, ROWS) for row in range(ROWS)]
        batch = dict.fromkeys(("id", "kind", "source", "outcome", "reason"), [""] * ROWS) | {"key": keys}
        for column in columns:
            batch[column] = [None if row == 7 else np.full(DIMS, int(key)) for row, key in enumerate(keys)]
            batch[f"{column}_norm"] = [None if row == 7 else 1.0 for row in range(ROWS)]
        shard = Shard(number, "image", "web", ROWS)
        commit_vectors(root, "main", shard, dict.fromkeys(columns, space), [batch])
        return shard

    def read(shards, removed=NONE):
        return VectorReader(root, "main", shards, removed)

    commit_shard.read = read
    return commit_shard


def test_vectors_are_read_without_the_removed(commit):
    """Keys and vectors agree; removed rows and rows without a vector are left out."""
    reader = commit.read([commit(0), commit(1)], removed=np.array([0, 149]))
    space, keys = reader.read_keys("clip_image")
    read = [*reader.read_vectors("clip_image")]

    expected = [n for n in (*range(50), *range(100, 150)) if n not in {0, 7, 107, 149}]
    assert SPACE == space
    assert expected == keys.tolist() == np.concatenate([keys for keys, _ in read]).tolist()
    assert expected == np.concatenate([vectors[:, 3] for _, vectors in read]).tolist()
    assert {np.dtype(np.float32)} == {vectors.dtype for _, vectors in read}


def test_blocks_are_the_vectors_joined(commit, monkeypatch):
    """Blocks of at least so many rows, the last one of what is left."""
    monkeypatch.setattr("pipelines.store.vectors._BLOCK_ROWS", 60)
    reader = commit.read([commit(number) for number in range(3)])

    assert [98, 49] == [len(keys) for keys, _ in reader.read_blocks("clip_image")]


def test_only_some_keys_are_read(commit):
    """A shard that has none of them is not opened: here its table is gone."""
    reader = commit.read([commit(0), commit(1)])
    reader.read_keys("clip_image")
    reader.root.remove("vectors/main/00001.parquet")
    ((keys, vectors),) = reader.read_vectors("clip_image", np.array([3, 7, 12]))

    assert ([3, 12], [3, 12]) == (keys.tolist(), vectors[:, 0].tolist())


def test_a_sample_is_drawn_by_its_seed(commit):
    """Of other keys than the excluded ones, unless too few are left."""
    reader = commit.read([commit(0), commit(1)])
    excluded = np.arange(50)
    keys, vectors = reader.sample("clip_image", 20, excluded, seed=3)
    again, _ = reader.sample("clip_image", 20, excluded, seed=3)
    every, _ = reader.sample("clip_image", 200, np.arange(140), seed=3)

    assert keys.tolist() == vectors[:, 0].tolist() == again.tolist()
    assert 20 == len(set(keys.tolist()))
    assert 100 <= keys.min()
    assert 98 == len(every)


def test_shards_of_two_spaces_are_never_mixed(commit):
    """And a shard that is missing is said to be, not left out."""
    shards = [commit(0), commit(1, SPACE.model_copy(update={"precision": "bf16"}))]
    with pytest.raises(SpaceError, match=r"clip_image of shard 00001 is in .*precision bf16, not fp32"):
        commit.read(shards).read_keys("clip_image")
    with pytest.raises(StorageError, match=r"has no vectors/main/00002\.parquet; run `echolens build`"):
        commit.read([Shard(2, "image", "web", ROWS)]).read_keys("clip_image")
    space, keys = commit.read(shards).read_keys("clip_text")
    assert (None, 0) == (space, len(keys))
