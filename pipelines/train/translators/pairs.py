"""Training pairs from the vectors of a version: read once, split by the URL of their media, drawn in batches.

Shapes: N pairs, I dimensions of the source, O of the target.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import ConfigError, SpaceError
from pipelines.store.counts import as_integers
from pipelines.store.shards import Shard, get_vectors_marker
from pipelines.store.splits import TEST, TRAIN, choose_part, hash_text
from pipelines.store.vectors import VectorReader, has_direction
from schemas.candidate import parse_key
from schemas.families import has_column
from schemas.space import Space
from schemas.training import PairSource, SplitSettings
from schemas.vectors import decode_spaces

# Validation pairs at most: the standard error of a mean cosine is then below 0.002.
VALIDATION_ROWS = 10_000
# Rows of a block: 1 MB of float16 vectors, read at once and shuffled together with 63 other blocks.
_BLOCK = 1024
_BLOCKS_MIXED = 64


@dataclass
class PairTable:
    """All pairs of a data set.

    Attributes:
        source_space: of `source_NI`.
        target_space: of `target_NO`.
        source_NI: float16, in memory or mapped from a file.
        target_NO: likewise.
        part_N: TRAIN, VALIDATION or TEST, uint8; 255 of dropped pairs.
        labels_N: hash of the row's label (its caption where the list has no label), uint64; 0 outside
            the test part.
        licences: licence, as the lists say -> pairs.
        dropped: reason -> unusable pairs.
    """

    source_space: Space
    target_space: Space
    source_NI: np.ndarray
    target_NO: np.ndarray
    part_N: np.ndarray
    labels_N: np.ndarray
    licences: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def dims(self) -> tuple[int, int]:
        """The dimensions of sources and targets."""
        return self.source_space.dims, self.target_space.dims

    def find_rows(self, part: int) -> np.ndarray:
        """Return the row numbers of a part, int64."""
        return np.flatnonzero(self.part_N == part)

    def get_pairs(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs of rows, float32 `[n, I]` and `[n, O]`."""
        return self.source_NI[rows].astype(np.float32), self.target_NO[rows].astype(np.float32)


def read_pairs(
    vectors: VectorReader,
    shard_rows: int,
    mix: Sequence[PairSource],
    split: SplitSettings,
    scratch: Path | None = None,
) -> PairTable:
    """Return the pairs of a mix, split and checked for leaks.

    Args:
        vectors: of a version.
        shard_rows: of its dataset.
        mix: which columns of which lists.
        split: what is held out.
        scratch: a folder for the vectors; they are kept in memory if None.

    Raises:
        ConfigError: no row has both columns.
        SpaceError: two shards, or two members of the mix, are in different spaces.
    """
    sink = _Sink(scratch)
    for pairs in mix:
        for shard in vectors.shards:
            if has_column(shard.kind, pairs.source) and has_column(shard.kind, pairs.target):
                _read_shard(vectors, shard_rows, pairs, split, shard, sink)
    if not sink.count:
        directions = " + ".join(f"{pairs.source} -> {pairs.target}" for pairs in mix)
        raise ConfigError(
            f"{vectors.root.url} has no pair {directions} ({dict(sink.dropped) or 'no such rows'}); "
            "name columns and sources that the dataset has"
        )
    table = sink.make_table()
    _drop_leaked(table, split.leak_cosine)
    return table


def _read_shard(  # noqa: PLR0913, PLR0917
    vectors: VectorReader, shard_rows: int, pairs: PairSource, split: SplitSettings, shard: Shard, sink: _Sink
) -> None:
    with vectors.root.open_parquet(get_vectors_marker(vectors.set_name, shard)) as file:
        spaces = decode_spaces(file.schema_arrow)
        if not {pairs.source, pairs.target} <= spaces.keys():
            return
        sink.check_spaces(pairs, spaces[pairs.source], spaces[pairs.target])
        table = file.read(columns=["key", "source", pairs.source, pairs.target])
    if pairs.sources:
        table = table.filter(pc.is_in(table["source"], pa.array(pairs.sources)))
    if len(vectors.removed):
        table = table.filter(pa.array(~np.isin(as_integers(table["key"]), vectors.removed)))
    valid = pc.and_(pc.is_valid(table[pairs.source]), pc.is_valid(table[pairs.target]))
    sink.dropped["null"] += pc.sum(pc.invert(valid)).as_py() or 0
    table = table.filter(valid)
    source_NI, target_NO = _read_vectors(table, pairs.source), _read_vectors(table, pairs.target)
    usable = np.array([has_direction(source_NI), has_direction(target_NO)]).all(0)
    sink.dropped["not_finite"] += int((~usable).sum())
    if not usable.any():
        return
    rows = [parse_key(int(key), shard_rows)[1] for key in as_integers(table["key"])[usable]]
    candidates = vectors.root.read_table(
        f"candidates/{shard.name}.parquet", columns=["url", "label", "caption", "licence"]
    ).take(rows)
    part_N = np.array([choose_part(url, split) for url in candidates["url"].to_pylist()], dtype=np.uint8)
    labels_N = np.zeros(len(part_N), dtype=np.uint64)
    tested = np.flatnonzero(part_N == TEST)
    labels = pc.coalesce(candidates["label"], candidates["caption"]).take(pa.array(tested)).to_pylist()
    labels_N[tested] = [hash_text(label) for label in labels]
    for line in candidates["licence"].value_counts().to_pylist():
        sink.licences[line["values"]] += line["counts"]
    sink.add(source_NI[usable], target_NO[usable], part_N, labels_N)


def _read_vectors(table: pa.Table, column: str) -> np.ndarray:
    flat = table[column].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    vectors: np.ndarray = flat.reshape(table.num_rows, table.schema.field(column).type.list_size)
    return vectors


class _Sink:
    """Collects the pairs of all shards, in memory or in two files."""

    def __init__(self, scratch: Path | None) -> None:
        self.count = 0
        self.dropped: Counter[str] = Counter()
        self.licences: Counter[str] = Counter()
        self._scratch = scratch
        self._spaces: tuple[Space, Space] | None = None
        self._chunks: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        self._files: list[BinaryIO] = []
        if scratch:
            self._files = [(scratch / name).open("wb") for name in ("source.f16", "target.f16")]
        self._parts: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []

    def check_spaces(self, pairs: PairSource, source: Space, target: Space) -> None:
        """Check that all shards and all members of a mix are in the same two spaces."""
        self._spaces = self._spaces or (source, target)
        for column, space, first in zip(
            (pairs.source, pairs.target), (source, target), self._spaces, strict=True
        ):
            if space != first:
                raise SpaceError(
                    f"{column} is in {space} here and the pairs before it in {first} "
                    f"({space.describe_differences(first)}); mix pairs of the same two spaces"
                )

    def add(
        self, source_NI: np.ndarray, target_NO: np.ndarray, part_N: np.ndarray, labels_N: np.ndarray
    ) -> None:
        for side, vectors in enumerate((source_NI, target_NO)):
            if self._files:
                self._files[side].write(np.ascontiguousarray(vectors, np.float16).tobytes())
            else:
                self._chunks[side].append(vectors.astype(np.float16))
        self._parts.append(part_N)
        self._labels.append(labels_N)
        self.count += len(part_N)

    def make_table(self) -> PairTable:
        assert self._spaces is not None
        for file in self._files:
            file.close()
        source_NI, target_NO = (
            np.memmap(self._files[side].name, np.float16, "r").reshape(self.count, space.dims)
            if self._files
            else np.concatenate(self._chunks[side])
            for side, space in enumerate(self._spaces)
        )
        return PairTable(
            *self._spaces,
            source_NI,
            target_NO,
            part_N=np.concatenate(self._parts),
            labels_N=np.concatenate(self._labels),
            licences=self.licences,
            dropped=self.dropped,
        )


# Combinations of training and held-out pairs up to which every cosine is computed: 20 s on two cores.
_MAX_COSINES = 2_000_000_000


def _drop_leaked(table: PairTable, leak_cosine: float) -> None:
    """Drop held-out pairs whose source is nearly a training source: the same picture at another URL."""
    train, held = table.find_rows(TRAIN), np.flatnonzero(table.part_N != TRAIN)
    if not len(train) or not len(held):
        return
    if len(train) * len(held) > _MAX_COSINES:
        leaked = np.isin(_hash_rows(table.source_NI, held), _hash_rows(table.source_NI, train))
    else:
        import faiss

        index = faiss.IndexFlatIP(table.source_NI.shape[1])
        for start in range(0, len(train), 65_536):
            index.add(table.source_NI[train[start : start + 65_536]].astype(np.float32))
        cosines, _ = index.search(table.source_NI[held].astype(np.float32), 1)
        leaked = cosines[:, 0] >= leak_cosine
    kept = np.ones(len(table.part_N), dtype=bool)
    kept[held[leaked]] = False
    table.part_N = np.where(kept, table.part_N, np.uint8(255))
    table.dropped["leaked"] += int(leaked.sum())


def _hash_rows(vectors_NI: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return a hash of each row, uint64; 10 million rows hardly ever collide."""
    words = vectors_NI.shape[1] * vectors_NI.itemsize // 2
    odd = np.random.default_rng(0).integers(2**63, size=words, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    hashes_N = np.empty(len(rows), dtype=np.uint64)
    for start in range(0, len(rows), 16_384):
        chunk = np.ascontiguousarray(vectors_NI[rows[start : start + 16_384]]).view(np.uint16)
        hashes_N[start : start + 16_384] = chunk.astype(np.uint64) @ odd  # may overflow: modulo 2**64
    return hashes_N


def iterate_batches(
    rows: np.ndarray, batch: int, seed: int, epoch: int, *, mapped: bool
) -> Iterator[np.ndarray]:
    """Yield the rows of every full batch of an epoch, in an order that depends on seed and epoch alone.

    Args:
        rows: row numbers, ascending.
        batch: pairs a step. The incomplete last batch is left out; each epoch leaves out other rows.
        seed: of the order.
        epoch: from 0.
        mapped: whether the vectors are mapped from a file: then blocks of 1,024 neighbouring rows are
            shuffled 64 at a time, so that the file is read in long pieces.
    """
    rng = np.random.default_rng((seed, epoch))
    if not mapped:
        order = rows[rng.permutation(len(rows))]
        yield from (order[start : start + batch] for start in range(0, len(rows) - batch + 1, batch))
        return
    blocks = rng.permutation(-(-len(rows) // _BLOCK))
    rest = np.empty(0, dtype=rows.dtype)
    for start in range(0, len(blocks), _BLOCKS_MIXED):
        mixed = [rows[n * _BLOCK : (n + 1) * _BLOCK] for n in blocks[start : start + _BLOCKS_MIXED]]
        drawn = np.concatenate([rest, rng.permutation(np.concatenate(mixed))])
        whole = len(drawn) // batch * batch
        yield from (drawn[first : first + batch] for first in range(0, whole, batch))
        rest = drawn[whole:]
