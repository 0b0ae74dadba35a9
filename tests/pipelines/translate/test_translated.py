import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from pipelines.errors import ConfigError, StorageError
from pipelines.run.runner import Runner
from pipelines.store.shards import Shard
from pipelines.translate.translated import TranslatedVectors, find_shards_with, find_translated, finish
from schemas.version import TOMBSTONE, VERSION_SHARD, Version

SHARD = Shard(3, "image", "web", 5)


@pytest.fixture
def version(root):
    """A version of the shard and one of texts; the row that would come last is gone."""
    tried = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
    lines = [
        {"shard": number, "kind": kind, "lane": "web", "rows": 5, "tried": tried}
        | {"path": "", "bytes": 0, "sha256": ""}
        for number, kind in ((3, "image"), (4, "text"))
    ]
    root.write_table("versions/0001.parquet", pa.Table.from_pylist(lines, VERSION_SHARD))
    gone = {"key": "00003003", "outcome": "dead", "reason": "http_404", "same_as": None}
    root.write_table("versions/0001.tombstones.parquet", pa.Table.from_pylist([gone], TOMBSTONE))
    return Version(
        number=1,
        name="toy",
        set="main",
        created="2026-11-21T00:00:00+00:00",
        shards=2,
        rows_read=10,
        rejects=0,
        duplicates=0,
        candidates=10,
        outcomes={"ok": 10},
        reasons={"ok": 10},
        vectors={"clip_image": 3, "clap_audio": 0},
        tables=[],
        indices=[],
    )


def test_shards_are_those_whose_kind_has_the_column(root, version):
    """A text has no picture; a column without any vector is refused with those that have some."""
    assert [SHARD] == find_shards_with(root, version, "clip_image")
    with pytest.raises(ConfigError, match="no vectors in clap_audio, only in clip_image; name another"):
        find_shards_with(root, version, "clap_audio")


def test_a_card_counts_what_readers_see(root, step, version):
    """Once all shards are translated; rows that are gone are not counted, and a damaged card is none."""
    Runner(step).run(SHARD)
    assert find_translated(step, version) is None

    card = finish(step, version, [SHARD])

    assert {"ok": 2, "failed/no_vector": 1, "failed/bug": 1} == card.outcomes
    assert card == find_translated(step, version)
    root.write(f"{step.folder}/0001.json", b"{}")
    assert find_translated(step, version) is None


def test_vectors_of_rows_that_are_gone_are_not_read(root, step, version, tmp_path):
    """Two rows were translated and one of them is gone; the files of numpy have the other."""
    with pytest.raises(ConfigError, match="'toy' was not applied to clip_image of version 1; run"):
        TranslatedVectors.open(root, "toy", version)
    Runner(step).run(SHARD)
    finish(step, version, [SHARD])
    translated = TranslatedVectors.open(root, "toy", version)

    ((keys, vectors_NO),) = translated.read_blocks()

    stored = root.read_table(step.get_marker(SHARD))["clap_text"].to_pylist()
    assert [3000] == keys.tolist()
    np.testing.assert_array_equal(np.array([stored[0]], np.float32), vectors_NO)
    assert 1 == translated.write_npy(tmp_path / "out")
    np.testing.assert_array_equal(vectors_NO.astype(np.float16), np.load(tmp_path / "out" / "vectors.npy"))


def test_a_table_that_is_missing_is_one_sentence(root, step, version, tmp_path):
    """Nothing is left of the files that were begun."""
    Runner(step).run(SHARD)
    finish(step, version, [SHARD])
    root.remove(step.get_marker(SHARD))

    with pytest.raises(StorageError, match=r"has no .*00003\.parquet; run `echolens translate` again"):
        TranslatedVectors.open(root, "toy", version).write_npy(tmp_path / "out" / "npy")

    assert [] == list((tmp_path / "out").iterdir())
