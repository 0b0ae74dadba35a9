"""Vectors are found by their keys, in memory or in a mapped file."""

import numpy as np
import pytest

from pipelines.errors import ConfigError
from pipelines.store.keyed_vectors import read_keyed_vectors
from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_vectors
from pipelines.store.vectors import VectorReader
from schemas.candidate import format_key
from schemas.space import Space

ROWS, DIMS = 20, 8
SPACE = Space(
    encoder="test",
    weights_sha256="0" * 64,
    library="none 0",
    preprocessing="none",
    precision="fp32",
    batch_rows=1,
    dims=DIMS,
)
NONE, NOT_FINITE, REMOVED = 3, 4, 105


def draw(key):
    """Return the unit vector of a key."""
    drawn = np.random.default_rng(key).standard_normal(DIMS)
    return (drawn / np.linalg.norm(drawn)).astype(np.float16)


@pytest.fixture
def reader(tmp_path):
    """Two shards; a row without a vector, one of NaNs and one that is removed."""
    root = Root.from_url(str(tmp_path / "root"))
    shards = [Shard(number, "image", "web", ROWS) for number in range(2)]
    for shard in shards:
        keys = [format_key(shard.number, row, ROWS) for row in range(ROWS)]
        batch = dict.fromkeys(("id", "kind", "source", "outcome", "reason"), [""] * ROWS) | {"key": keys}
        batch["clip_image"] = [draw(int(key)) for key in keys]
        batch["clip_image_norm"] = [1.0] * ROWS
        if shard.number == 0:
            batch["clip_image"][NONE] = None
            batch["clip_image"][NOT_FINITE] = np.full(DIMS, np.nan, np.float16)
        commit_vectors(root, "main", shard, {"clip_image": SPACE}, [batch])
    return VectorReader(root, "main", shards, np.array([REMOVED]))


@pytest.mark.parametrize("mapped", [False, True])
def test_vectors_are_those_of_their_keys(reader, tmp_path, mapped):
    """In any order and as often as asked; only rows whose vector has a direction have one."""
    (tmp_path / "scratch").mkdir()
    vectors = read_keyed_vectors(reader, "clip_image", scratch=tmp_path / "scratch" if mapped else None)
    keys = np.array([119, 0, 7, 7])
    found = vectors.get_vectors(keys)

    assert {*range(20), *range(100, 120)} - {NONE, NOT_FINITE, REMOVED} == set(vectors.keys_N.tolist())
    assert np.stack([draw(key) for key in keys]).tolist() == found.tolist()
    assert (np.float16, np.float32) == (vectors.vectors_ND.dtype, found.dtype)
    assert SPACE == vectors.space
    assert mapped == isinstance(vectors.vectors_ND, np.memmap)


def test_only_chosen_rows_are_read(reader):
    """Rows of other keys take no memory, and have no vector."""
    vectors = read_keyed_vectors(reader, "clip_image", keys=np.array([2, NONE, 101]))

    assert [2, 101] == vectors.keys_N.tolist()
    with pytest.raises(ConfigError, match="2 of 3 keys have no vector, the first is 0"):
        vectors.get_vectors(np.array([2, 0, 119]))


def test_a_column_without_vectors_is_refused(reader):
    """Of these rows, or of any."""
    with pytest.raises(ConfigError, match="has no vector clap_audio of these rows"):
        read_keyed_vectors(reader, "clap_audio")
    with pytest.raises(ConfigError, match="has no vector clip_image of these rows"):
        read_keyed_vectors(reader, "clip_image", keys=np.array([NONE]))
