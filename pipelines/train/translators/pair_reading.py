"""Reads the pairs of a version into a table: those of its rows, and those that are mined.

Shapes: N pairs, I dimensions of the source, O of the target.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import ConfigError
from pipelines.store.counts import as_integers
from pipelines.store.shards import Shard, get_vectors_marker
from pipelines.store.split_groups import SplitGroups, read_groups
from pipelines.store.splits import TEST, TRAIN, VALIDATION, hash_text
from pipelines.store.vectors import VectorReader, has_direction
from pipelines.train.mined_targets import TargetBank, open_bank
from pipelines.train.translators.mean_shift import find_shift, move_units
from pipelines.train.translators.pair_sink import PairSink
from pipelines.train.translators.pairs import PairTable, drop_leaked
from schemas.candidate import format_shard, parse_key
from schemas.families import get_modality, has_column
from schemas.mining import MinedPairs
from schemas.space import Space
from schemas.training import PairSource, SplitSettings
from schemas.vectors import decode_spaces


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
        ConfigError: no row has both columns, or nothing can be mined.
        SpaceError: two shards, or two members of the mix, are in different spaces, or targets would be moved
            to a column of another space.
    """
    sink = PairSink(scratch)
    groups = read_groups(vectors.root, vectors.shards, shard_rows, split)
    for pairs, parts in _list_members(mix):
        if pairs.mining is None:
            shift_O = find_shift(vectors, pairs, groups)
            reading: _RealPairs = _RealPairs(vectors, shard_rows, groups, pairs, sink, parts, shift_O)
        else:
            bank = open_bank(vectors, groups, pairs.target, pairs.mining, split.leak_cosine)
            reading = _MinedPairs(vectors, shard_rows, groups, pairs, sink, parts, None, bank)
        for shard in vectors.shards:
            reading.read_shard(shard)
        reading.finish()
    if not sink.count:
        directions = " + ".join(pairs.direction for pairs in mix)
        raise ConfigError(
            f"{vectors.root.url} has no pair {directions} ({dict(sink.dropped) or 'no such rows'}); "
            "name columns and sources that the dataset has"
        )
    table = sink.make_table(groups.counts)
    drop_leaked(table, split.leak_cosine)
    return table


_ALL, _HELD = (TRAIN, VALIDATION, TEST), (VALIDATION, TEST)


def _list_members(mix: Sequence[PairSource]) -> Iterator[tuple[PairSource, tuple[int, ...]]]:
    """Yield the members of a mix with the parts that they are read of, and what mined ones are scored on."""
    scored = {(pairs.source, pairs.target) for pairs in mix if not (pairs.mining or pairs.shift_to)}
    for pairs in mix:
        if pairs.mining is None:
            yield pairs, _ALL
            continue
        yield pairs, (TRAIN,)
        if (ends := (pairs.source, pairs.target)) not in scored:
            scored.add(ends)
            yield PairSource.model_validate({"from": pairs.source, "to": pairs.target}), _HELD


@dataclass(frozen=True, eq=False)
class _RealPairs:
    """Pairs of rows that have both columns."""

    vectors: VectorReader
    shard_rows: int
    groups: SplitGroups
    pairs: PairSource
    sink: PairSink
    parts: tuple[int, ...]
    shift_O: np.ndarray | None

    def read_shard(self, shard: Shard) -> None:
        """Add the pairs of a shard."""
        pairs = self.pairs
        if not (has_column(shard.kind, pairs.source) and has_column(shard.kind, pairs.target)):
            return
        columns = (pairs.source, pairs.target)
        table = self._read_rows(shard, columns, columns)
        if table is None:
            return
        source_NI, target_NO = (_read_vectors(table, column) for column in columns)
        usable = self._find_usable(source_NI, target_NO)
        targets_nO = target_NO[usable]
        if self.shift_O is not None and len(targets_nO):
            targets_nO = move_units(targets_nO, self.shift_O)
        self._add(as_integers(table["key"])[usable], source_NI[usable], targets_nO)

    def finish(self) -> None:
        """Do nothing more."""

    def _read_rows(self, shard: Shard, columns: tuple[str, str], read: tuple[str, ...]) -> pa.Table | None:
        """Return the rows of the parts that have both columns; None if the shard has none of these."""
        pairs, vectors = self.pairs, self.vectors
        with vectors.root.open_parquet(get_vectors_marker(vectors.set_name, shard)) as file:
            spaces = decode_spaces(file.schema_arrow)
            if not spaces.keys() >= set(columns):
                return None
            target_space = self._find_target_space() or spaces[pairs.target]
            self.sink.check_spaces(pairs, spaces[pairs.source], target_space)
            there = dict.fromkeys(name for name in read if name in spaces)
            table = file.read(columns=["key", "source", *there])
        if pairs.sources:
            table = table.filter(pc.is_in(table["source"], pa.array(pairs.sources)))
        if len(vectors.removed):
            table = table.filter(pa.array(~np.isin(as_integers(table["key"]), vectors.removed)))
        if self.parts != _ALL:
            part_N = self.groups.part_N[self.groups.find_rows(as_integers(table["key"]))]
            table = table.filter(pa.array(np.isin(part_N, self.parts)))
        valid = pc.and_(*(pc.is_valid(table[column]) for column in columns))
        self.sink.dropped["null"] += pc.sum(pc.invert(valid)).as_py() or 0
        return table.filter(valid)

    def _find_target_space(self) -> Space | None:
        return None

    def _find_usable(self, *sides: np.ndarray) -> np.ndarray:
        usable = np.array([has_direction(side) for side in sides]).all(0)
        self.sink.dropped["not_finite"] += int((~usable).sum())
        return np.asarray(usable)

    def _add(self, keys_N: np.ndarray, source_NI: np.ndarray, target_NO: np.ndarray) -> None:
        if not len(keys_N):
            return
        number = parse_key(int(keys_N[0]), self.shard_rows)[0]
        rows = [parse_key(int(key), self.shard_rows)[1] for key in keys_N]
        candidates = self.vectors.root.read_table(
            f"candidates/{format_shard(number)}.parquet", columns=["label", "licence"]
        ).take(rows)
        for line in candidates["licence"].value_counts().to_pylist():
            self.sink.licences[line["values"]] += line["counts"]
        places = self.groups.find_rows(keys_N)
        columns = {
            "part_N": self.groups.part_N[places],
            "labels_N": _hash_labels(candidates["label"]),
            "groups_N": self.groups.groups_N[places],
            "direction_N": self.sink.mark_directions(self.pairs, len(places)),
            "is_text_N": np.full(len(places), get_modality(self.pairs.target) == "text"),
        }
        self.sink.add(source_NI, target_NO, columns)


@dataclass(frozen=True, eq=False)
class _MinedPairs(_RealPairs):
    """Pairs of rows that are trained on and lack the target, with those of their neighbours by caption."""

    bank: TargetBank
    scores: list[np.ndarray] = field(default_factory=list)
    too_far: list[int] = field(default_factory=list)

    def read_shard(self, shard: Shard) -> None:
        """Add the pairs of a shard."""
        pairs = self.pairs
        assert pairs.mined_by
        columns = (pairs.source, pairs.mined_by)
        if not all(has_column(shard.kind, column) for column in columns):
            return
        table = self._read_rows(shard, columns, (*columns, pairs.target))
        if table is None:
            return
        if pairs.target in table.column_names:
            table = table.filter(table[pairs.target].is_null())
        source_NI, captions_ND = (_read_vectors(table, column) for column in columns)
        usable = self._find_usable(source_NI, captions_ND)
        keys_N = as_integers(table["key"])[usable]
        is_near_N, target_NO, scores_N = self.bank.mine(keys_N, captions_ND[usable])
        self.scores.append(scores_N)
        self.too_far.append(int((~is_near_N).sum()))
        self._add(keys_N[is_near_N], source_NI[usable][is_near_N], target_NO)

    def finish(self) -> None:
        """Add what was mined, and the licences of the targets."""
        scores = np.concatenate([np.empty(0), *self.scores])
        self.sink.mined.append(
            MinedPairs(
                pairs=len(scores),
                score=round(float(scores.mean()), 4) if len(scores) else 0.0,
                too_far=sum(self.too_far),
                bank=len(self.bank.keys_B),
                held_back=self.bank.held_back,
            )
        )
        numbers = {parse_key(int(key), self.shard_rows)[0] for key in self.bank.keys_B}
        for number in sorted(numbers):
            name = f"candidates/{format_shard(number)}.parquet"
            licences = self.vectors.root.read_table(name, columns=["licence"])["licence"].unique()
            self.sink.licences.update(dict.fromkeys(licences.to_pylist(), 0))

    def _find_target_space(self) -> Space | None:
        return self.bank.space


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
