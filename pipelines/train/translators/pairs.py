"""Training pairs from the vectors of a version: read once, split by groups of near copies.

Shapes: N pairs, I dimensions of the source, O of the target.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import ConfigError, SpaceError
from pipelines.store.counts import as_integers
from pipelines.store.shards import Shard, get_vectors_marker
from pipelines.store.split_groups import SplitGroups, read_groups
from pipelines.store.splits import TEST, TRAIN, VALIDATION, hash_text
from pipelines.store.vectors import VectorReader, has_direction
from pipelines.train.translators.mean_shift import find_shift, move_units
from schemas.candidate import parse_key
from schemas.families import has_column
from schemas.space import Space
from schemas.split_hashes import GroupCounts
from schemas.training import PairSource, SplitSettings
from schemas.vectors import decode_spaces

# Validation pairs at most: the standard error of a mean cosine is then below 0.002.
VALIDATION_ROWS = 10_000


@dataclass
class PairTable:
    """All pairs of a data set.

    Attributes:
        source_space: of `source_NI`.
        target_space: of `target_NO`.
        source_NI: float16, in memory or mapped from a file.
        target_NO: likewise.
        part_N: TRAIN, VALIDATION or TEST, uint8; 255 of dropped pairs.
        labels_N: hash of the row's label, uint64; 0 where the list has none.
        groups_N: group of near copies, int64; every pair is one of its own if empty.
        directions: `from -> to` of the kinds of pairs of a mix.
        direction_N: which of them a pair is of, uint8; all are of the first if empty.
        licences: licence, as the lists say -> pairs.
        dropped: reason -> unusable pairs.
        counts: of the groups of all rows; None if they were not read from a version.
        leak_rule: how held-out pairs were compared with those trained on, beyond their groups.
    """

    source_space: Space
    target_space: Space
    source_NI: np.ndarray
    target_NO: np.ndarray
    part_N: np.ndarray
    labels_N: np.ndarray
    licences: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    groups_N: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    directions: tuple[str, ...] = ("",)
    direction_N: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    counts: GroupCounts | None = None
    leak_rule: str = "none"

    def __post_init__(self) -> None:
        if not len(self.groups_N):
            self.groups_N = np.arange(len(self.part_N))
        if not len(self.direction_N):
            self.direction_N = np.zeros(len(self.part_N), np.uint8)

    @property
    def dims(self) -> tuple[int, int]:
        """The dimensions of sources and targets."""
        return self.source_space.dims, self.target_space.dims

    def find_rows(self, part: int) -> np.ndarray:
        """Return the row numbers of a part, int64."""
        return np.flatnonzero(self.part_N == part)

    def sample_rows(self, part: int, most: int) -> np.ndarray:
        """Return the row numbers of a part, int64, ascending; of more than `most` a seeded sample.

        Args:
            part: TRAIN, VALIDATION or TEST.
            most: rows at most. Lists have an order: their first rows do not stand for all.
        """
        rows = self.find_rows(part)
        if len(rows) <= most:
            return rows
        return np.sort(np.random.default_rng(part).choice(rows, most, replace=False))

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
        SpaceError: two shards, or two members of the mix, are in different spaces, or targets would be moved
            to a column of another space.
    """
    sink = _Sink(scratch)
    groups = read_groups(vectors.root, vectors.shards, shard_rows, split)
    for pairs in mix:
        shift_O = find_shift(vectors, pairs, groups)
        for shard in vectors.shards:
            if has_column(shard.kind, pairs.source) and has_column(shard.kind, pairs.target):
                _read_shard(vectors, shard_rows, pairs, groups, shard, sink, shift_O)
    if not sink.count:
        directions = " + ".join(pairs.direction for pairs in mix)
        raise ConfigError(
            f"{vectors.root.url} has no pair {directions} ({dict(sink.dropped) or 'no such rows'}); "
            "name columns and sources that the dataset has"
        )
    table = sink.make_table(groups.counts)
    drop_leaked(table, split.leak_cosine)
    return table


def _read_shard(  # noqa: PLR0913, PLR0917
    vectors: VectorReader,
    shard_rows: int,
    pairs: PairSource,
    groups: SplitGroups,
    shard: Shard,
    sink: _Sink,
    shift_O: np.ndarray | None,
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
    keys_N = as_integers(table["key"])[usable]
    rows = [parse_key(int(key), shard_rows)[1] for key in keys_N]
    candidates = vectors.root.read_table(
        f"candidates/{shard.name}.parquet", columns=["label", "licence"]
    ).take(rows)
    for line in candidates["licence"].value_counts().to_pylist():
        sink.licences[line["values"]] += line["counts"]
    places = groups.find_rows(keys_N)
    sink.add(
        source_NI[usable],
        target_NO[usable] if shift_O is None else move_units(target_NO[usable], shift_O),
        {
            "part_N": groups.part_N[places],
            "labels_N": _hash_labels(candidates["label"]),
            "groups_N": groups.groups_N[places],
            "direction_N": sink.number_directions(pairs, len(places)),
        },
    )


def _hash_labels(labels: pa.ChunkedArray) -> np.ndarray:
    """Return the hash of each label, uint64; 0 of a null. A list has few of them."""
    coded = labels.combine_chunks().dictionary_encode()
    hashes = np.array([*map(hash_text, coded.dictionary.to_pylist()), 0], np.uint64)
    places: np.ndarray = coded.indices.fill_null(len(hashes) - 1).to_numpy(zero_copy_only=False)
    return np.asarray(hashes[places])


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
        self._columns: list[dict[str, np.ndarray]] = []
        self._directions: list[str] = []

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

    def number_directions(self, pairs: PairSource, count: int) -> np.ndarray:
        """Return the number of the kind of these pairs, once for each."""
        if (direction := pairs.direction) not in self._directions:
            self._directions.append(direction)
        return np.full(count, self._directions.index(direction), np.uint8)

    def add(self, source_NI: np.ndarray, target_NO: np.ndarray, columns: dict[str, np.ndarray]) -> None:
        """Add pairs, with what else a table has of each."""
        for side, vectors in enumerate((source_NI, target_NO)):
            if self._files:
                self._files[side].write(np.ascontiguousarray(vectors, np.float16).tobytes())
            else:
                self._chunks[side].append(vectors.astype(np.float16))
        self._columns.append(columns)
        self.count += len(source_NI)

    def _join(self, name: str) -> np.ndarray:
        return np.concatenate([each[name] for each in self._columns])

    def make_table(self, counts: GroupCounts) -> PairTable:
        """Return the table of all pairs; `counts` is of the groups of the version."""
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
            part_N=self._join("part_N"),
            labels_N=self._join("labels_N"),
            groups_N=self._join("groups_N"),
            direction_N=self._join("direction_N"),
            directions=tuple(self._directions),
            licences=self.licences,
            dropped=self.dropped,
            counts=counts,
        )


# Combinations of training and held-out pairs up to which every cosine is computed: 20 s on two cores.
_MAX_COSINES = 2_000_000_000
_DROPPED = 255


def drop_leaked(table: PairTable, leak_cosine: float) -> None:
    """Drop held-out pairs whose source is nearly one that they are not to know, in another group.

    Those of the test part are compared with the others, those of validation with what is trained on.

    Args:
        table: whose parts change, and which then names the rule.
        leak_cosine: from which two sources are the same.
    """
    leaked = np.zeros(len(table.part_N), dtype=bool)
    rules = set()
    for part, others in ((VALIDATION, (TRAIN,)), (TEST, (TRAIN, VALIDATION))):
        known, held = np.flatnonzero(np.isin(table.part_N, others)), table.find_rows(part)
        if not len(known) or not len(held):
            continue
        if len(known) * len(held) > _MAX_COSINES:
            rules.add("equal sources")
            leaked[held] = np.isin(_hash_rows(table.source_NI, held), _hash_rows(table.source_NI, known))
        else:
            rules.add(f"cosine of sources from {leak_cosine:g}")
            leaked[held] = _find_nearest_cosines(table.source_NI, held, known) >= leak_cosine
    table.part_N = np.where(leaked, np.uint8(_DROPPED), table.part_N)
    table.dropped["leaked"] += int(leaked.sum())
    table.leak_rule = ", ".join(sorted(rules)) or "none"


def _find_nearest_cosines(vectors_NI: np.ndarray, held: np.ndarray, known: np.ndarray) -> np.ndarray:
    import faiss

    index = faiss.IndexFlatIP(vectors_NI.shape[1])
    for start in range(0, len(known), 65_536):
        index.add(vectors_NI[known[start : start + 65_536]].astype(np.float32))
    cosines: np.ndarray = index.search(vectors_NI[held].astype(np.float32), 1)[0][:, 0]
    return cosines


def _hash_rows(vectors_NI: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return a hash of each row, uint64; 10 million rows hardly ever collide."""
    words = vectors_NI.shape[1] * vectors_NI.itemsize // 2
    odd = np.random.default_rng(0).integers(2**63, size=words, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    hashes_N = np.empty(len(rows), dtype=np.uint64)
    for start in range(0, len(rows), 16_384):
        chunk = np.ascontiguousarray(vectors_NI[rows[start : start + 16_384]]).view(np.uint16)
        hashes_N[start : start + 16_384] = chunk.astype(np.uint64) @ odd  # may overflow: modulo 2**64
    return hashes_N
