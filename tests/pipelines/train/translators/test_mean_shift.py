"""Captions as targets, moved to where sounds are."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.errors import ConfigError, SpaceError
from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_vectors
from pipelines.store.split_groups import read_groups
from pipelines.store.splits import TRAIN
from pipelines.store.vectors import VectorReader
from pipelines.train.translators.pair_reading import read_pairs
from schemas.candidate import CANDIDATE, format_key
from schemas.training import PairSource, SplitSettings
from tests.pipelines.train.spaces import space

ROWS, SHARD_ROWS, DIMS = 200, 1000, 12
SPLIT = SplitSettings(validation=0.2, test=0.2)
PAIRS = {"from": "clip_image", "to": "clap_text"}
SHIFTED = PairSource.model_validate({**PAIRS, "shift_to": "clap_audio"})
COLUMNS = {"image": ("clip_image", "clap_text"), "clip": ("clap_audio",)}


def draw_units(rng, axis):
    """Return unit vectors around an axis, float16 [200, 12]."""
    drawn = rng.standard_normal((ROWS, DIMS)) + 5 * np.eye(DIMS)[axis]
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)


def write_dataset(folder, audio_space):
    """Return a shard of pictures with captions and one of sounds, and all vectors by column."""
    root, rng, shards, drawn = Root.from_url(str(folder)), np.random.default_rng(0), [], {}
    for number, (kind, columns) in enumerate(COLUMNS.items()):
        shard = Shard(number, kind, "web", ROWS)
        batch = {name: [""] * ROWS for name in ("id", "source", "reason")}
        batch |= {"kind": [kind] * ROWS, "outcome": ["ok"] * ROWS}
        batch["key"] = [format_key(number, row, SHARD_ROWS) for row in range(ROWS)]
        for column in columns:
            drawn[column] = draw_units(rng, len(drawn))
            batch |= {column: list(drawn[column]), f"{column}_norm": [1.0] * ROWS}
        spaces = {column: space(column[:4], DIMS) for column in columns}
        if "clap_audio" in spaces:
            spaces["clap_audio"] = audio_space
        commit_vectors(root, "main", shard, spaces, [batch])
        rows = [
            {"url": f"http://{kind}/{row}", "caption": "", "licence": "unknown", "id": "", "source": "wit"}
            | {"source_row": row, "kind": kind, "lane": "web"}
            for row in range(ROWS)
        ]
        root.write_table(f"candidates/{shard.name}.parquet", pa.Table.from_pylist(rows, schema=CANDIDATE))
        shards.append(shard)
    return VectorReader(root, "main", shards, np.empty(0, np.int64)), drawn


def test_targets_are_moved_by_the_difference_of_two_means(tmp_path):
    """Both are of rows that are trained on: held-out rows have no part in what is learned."""
    vectors, drawn = write_dataset(tmp_path, space("clap", DIMS))
    trained = read_groups(vectors.root, vectors.shards, SHARD_ROWS, SPLIT).part_N == TRAIN
    table = read_pairs(vectors, SHARD_ROWS, [SHIFTED], SPLIT)

    texts, sounds = (drawn[column].astype(np.float64) for column in ("clap_text", "clap_audio"))
    expected = texts - texts[trained[:ROWS]].mean(0) + sounds[trained[ROWS:]].mean(0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(table.target_NO, expected, atol=1e-3)
    assert ("clip_image -> clap_text at clap_audio",) == table.directions
    assert 0 < trained.sum() < 2 * ROWS
    centre = sounds.mean(0) / np.linalg.norm(sounds.mean(0))
    assert (texts @ centre).mean() < 0.5
    assert (table.target_NO.astype(np.float64) @ centre).mean() > 0.7


def test_means_of_two_spaces_are_not_compared(tmp_path):
    """Nor is there a mean of a column that nobody has."""
    vectors, _ = write_dataset(tmp_path, space("other", DIMS))
    missing = PairSource.model_validate({**PAIRS, "shift_to": "clap_image"})

    with pytest.raises(SpaceError, match="name a column of the same space"):
        read_pairs(vectors, SHARD_ROWS, [SHIFTED], SPLIT)
    with pytest.raises(ConfigError, match="has no clap_image of a row that is trained on"):
        read_pairs(vectors, SHARD_ROWS, [missing], SPLIT)


def test_a_column_is_not_moved_to_itself():
    """It is there already."""
    with pytest.raises(ValueError, match="are at their own mean"):
        PairSource.model_validate({**PAIRS, "shift_to": "clap_text"})
