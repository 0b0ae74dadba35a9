"""Pairs: nothing on both sides of a split, nothing unusable unseen, every batch full."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.errors import ConfigError, SpaceError
from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_vectors
from pipelines.store.splits import TEST, TRAIN, VALIDATION
from pipelines.store.vectors import VectorReader
from pipelines.train.translators.pair_batches import iterate_batches
from pipelines.train.translators.pair_reading import read_pairs
from pipelines.train.translators.pairs import PairTable, drop_leaked
from schemas.candidate import CANDIDATE, format_key
from schemas.training import PairSource, SplitSettings
from tests.pipelines.train.spaces import space

DIMS = {"clip_image": 16, "clip_text": 16, "clap_text": 12, "clap_audio": 12}
MIX = (PairSource.model_validate({"from": "clip_image", "to": "clap_text"}),)


@pytest.fixture
def stored(tmp_path):
    """Three shards of 100 pictures, ten behind each address; one row of each shard has no CLAP vector."""
    root = Root.from_url(str(tmp_path))
    rng = np.random.default_rng(0)
    spaces = {column: space(column[:4], dims) for column, dims in DIMS.items()}
    shards = []
    for number in range(3):
        shard = Shard(number, "image", "web", 100)
        urls = [f"http://host/{number * 10 + row // 10}.jpg" for row in range(100)]
        batch = {name: ["" for _ in range(100)] for name in ("id", "source", "reason")}
        batch |= {"kind": ["text"] * 100, "outcome": ["ok"] * 100}
        batch |= {"source": ["cc3m" if row % 2 else "wit" for row in range(100)], "key": []}
        batch["key"] = [format_key(number, row, 1000) for row in range(100)]
        for column in ("clip_image", "clip_text", "clap_text"):
            vectors = rng.standard_normal((100, DIMS[column]))
            units = list((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16))
            if column == "clap_text":
                units[7] = None
                units[8] = np.full(DIMS[column], np.nan, np.float16)
            batch[column] = units
            batch[f"{column}_norm"] = [1.0] * 100
        commit_vectors(root, "main", shard, spaces, [batch])
        rows = [
            {"url": url, "caption": f"caption {row}", "licence": "unknown", "id": "", "source": "wit"}
            | {"source_row": row, "kind": "image", "lane": "web"}
            for row, url in enumerate(urls)
        ]
        root.write_table(f"candidates/{shard.name}.parquet", pa.Table.from_pylist(rows, schema=CANDIDATE))
        shards.append(shard)
    return VectorReader(root, "main", shards, np.empty(0, dtype=np.int64))


def test_no_address_is_on_both_sides(stored):
    """Ten rows share an address; they are all trained on or all held out."""
    table = read_pairs(stored, 1000, MIX, SplitSettings(validation=0.2, test=0.2))
    blocks = np.array(
        [number * 10 + row // 10 for number in range(3) for row in range(100) if row not in (7, 8)]
    )

    assert all(len(set(table.part_N[blocks == block])) == 1 for block in range(30))
    assert {TRAIN, VALIDATION, TEST} == set(table.part_N)


def test_what_cannot_be_used_is_counted(stored):
    """A null and a vector of NaNs in each of three shards."""
    table = read_pairs(stored, 1000, MIX, SplitSettings())

    assert 3 * 98 == len(table.part_N)
    assert {"null": 3, "not_finite": 3, "leaked": 0} == dict(table.dropped)


def test_lists_can_be_chosen(stored):
    """Every other row is of CC3M; row 7 of each shard is one of them, and null."""
    pairs = (PairSource.model_validate({"from": "clip_image", "to": "clap_text", "sources": ["cc3m"]}),)

    assert 3 * 49 == len(read_pairs(stored, 1000, pairs, SplitSettings()).part_N)


def test_the_same_picture_under_another_address_is_no_test(stored):
    """A held-out pair whose source is trained on is dropped and counted."""
    table = read_pairs(stored, 1000, MIX, SplitSettings(validation=0.2, test=0.2, leak_cosine=1e-9))

    assert 0 < table.dropped["leaked"] == int((table.part_N == 255).sum())
    assert (
        table.dropped["leaked"] + sum(len(table.find_rows(part)) for part in (TRAIN, VALIDATION, TEST)) == 294
    )


def test_validation_is_compared_with_test():
    """A test pair whose source is one that the best epoch was chosen by is dropped, too."""
    rng = np.random.default_rng(0)
    sources = rng.standard_normal((40, 16))
    sources[35] = sources[25]
    sources /= np.linalg.norm(sources, axis=1, keepdims=True)
    part = np.repeat([TRAIN, VALIDATION, TEST], [20, 10, 10]).astype(np.uint8)
    halves = sources.astype(np.float16), sources[:, :12].astype(np.float16)
    table = PairTable(space("a", 16), space("b", 12), *halves, part, np.zeros(40, np.uint64))
    drop_leaked(table, 0.9999)

    assert [35] == np.flatnonzero(table.part_N == 255).tolist()
    assert 1 == table.dropped["leaked"]
    assert "cosine of sources from 0.9999" == table.leak_rule


def test_a_sample_is_not_the_first_rows():
    """Lists have an order, so ten of a hundred are drawn from all of them, always the same ten."""
    rows = np.zeros((100, 4), np.float16)
    table = PairTable(space("a", 4), space("b", 4), rows, rows, np.zeros(100, np.uint8), np.zeros(100))
    drawn = table.sample_rows(TRAIN, 10)

    assert 10 == len(set(drawn.tolist()))
    assert drawn.max() > 50
    assert drawn.tolist() == table.sample_rows(TRAIN, 10).tolist()
    assert 100 == len(table.sample_rows(TRAIN, 1000))


def test_pairs_know_their_group_kind_and_label(stored):
    """Ten rows an address are one group; a mix says which kind a pair is of; a caption is no label."""
    mix = (*MIX, PairSource.model_validate({"from": "clip_text", "to": "clap_text"}))
    table = read_pairs(stored, 1000, mix, SplitSettings())

    assert ("clip_image -> clap_text", "clip_text -> clap_text") == table.directions
    assert [294, 294] == np.bincount(table.direction_N).tolist()
    assert 30 == len(np.unique(table.groups_N))
    assert {0} == set(table.labels_N.tolist())
    assert (300, 30, 30) == (table.counts.rows, table.counts.groups, table.counts.addresses)


def test_spaces_are_never_mixed(stored):
    """A mix of pictures and of captions ends in one CLAP, but begins in two spaces if CLIP differs."""
    other = {column: space("othr", dims) for column, dims in DIMS.items()}
    shard = stored.shards[1]
    table = stored.root.read_table(f"vectors/main/{shard.name}.parquet").to_pydict()
    commit_vectors(stored.root, "main", shard, other, [table])

    with pytest.raises(SpaceError, match="mix pairs of the same two spaces"):
        read_pairs(stored, 1000, MIX, SplitSettings())


def test_a_column_that_nobody_has_is_an_error(stored):
    """Pictures have no sound."""
    pairs = (PairSource.model_validate({"from": "clip_image", "to": "clap_audio"}),)

    with pytest.raises(ConfigError, match="no pair clip_image -> clap_audio"):
        read_pairs(stored, 1000, pairs, SplitSettings())


def test_pairs_in_a_file_are_the_pairs_in_memory(stored, tmp_path):
    """Streaming changes where they lie and nothing else."""
    (tmp_path / "scratch").mkdir()
    here, there = (
        read_pairs(stored, 1000, MIX, SplitSettings()),
        read_pairs(stored, 1000, MIX, SplitSettings(), tmp_path / "scratch"),
    )

    assert isinstance(there.source_NI, np.memmap)
    for one, other in zip(
        here.get_pairs(here.find_rows(TRAIN)), there.get_pairs(there.find_rows(TRAIN)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mapped", [False, True])
def test_batches_are_full_and_every_epoch_is_another_order(mapped):
    """No row twice in an epoch; what is left over is less than a batch; seed and epoch decide all."""
    rows = np.arange(5, 100_005)
    first, again, second = (list(iterate_batches(rows, 64, 3, epoch, mapped=mapped)) for epoch in (0, 0, 1))
    drawn = np.concatenate(first)

    assert {64} == {len(batch) for batch in first}
    assert 100_000 // 64 == len(first)
    assert len(drawn) == len(np.unique(drawn))
    assert np.array_equal(drawn, np.concatenate(again))
    assert not np.array_equal(drawn, np.concatenate(second))
    # Neighbours in the file do not stay neighbours in a batch.
    assert np.mean([np.ptp(batch) for batch in first]) > 30_000
