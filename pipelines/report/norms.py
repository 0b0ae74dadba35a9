"""Histograms of the raw norms of every vector column. No vector is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from pipelines.report.published import PublishedVersion
from pipelines.store.shards import Shard, get_vectors_marker
from schemas.families import Column, get_modality
from schemas.space import Space

BARS = 48
# Bins within a bar: the error of the median is at most a thousandth of the range, whatever the rows.
_BINS_PER_BAR = 20
_BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class ColumnFill:
    """The vectors of one column in one shard, from the footer of its table."""

    shard: Shard
    vectors: int
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class NormHistogram:
    """The norms of the vectors of a column as they left the net, before normalization.

    Attributes:
        column: of the table.
        frames: whether the vectors are means of several frames, whose norm has another meaning.
        space: of the column.
        vectors: how many.
        least: smallest norm.
        median: of the norms.
        most: largest norm.
        bars: vectors in each of `BARS` equal parts of [least, most].
    """

    column: Column
    frames: bool
    space: Space
    vectors: int
    least: float
    median: float
    most: float
    bars: tuple[int, ...]

    @property
    def tallest(self) -> int:
        """Vectors in the tallest bar."""
        return max(self.bars)

    @property
    def middle(self) -> float:
        """The position of the median, in bars from the left."""
        wide = self.most - self.least
        return BARS * (self.median - self.least) / wide if wide else BARS / 2


FillByColumn = Mapping[Column, Sequence[ColumnFill]]


def read_fills(published: PublishedVersion) -> FillByColumn:
    """Return the shards that hold vectors of each column, from the tables' footers alone."""
    by_column: dict[Column, list[ColumnFill]] = {column: [] for column in published.spaces}
    for shard in published.shards:
        with published.root.open_parquet(get_vectors_marker(published.version.set, shard)) as file:
            footer = file.metadata
        for column in published.spaces:
            if fill := _read_fill(footer, shard, column):
                by_column[column].append(fill)
    return {column: fills for column, fills in by_column.items() if fills}


def _read_fill(footer: pq.FileMetaData, shard: Shard, column: Column) -> ColumnFill | None:
    vectors, least, most = 0, np.inf, -np.inf
    for group in range(footer.num_row_groups):
        columns = footer.row_group(group)
        for number in range(columns.num_columns):
            chunk = columns.column(number)
            statistics = chunk.statistics  # None in a table without rows
            if chunk.path_in_schema == f"{column}_norm" and statistics and statistics.has_min_max:
                vectors += chunk.num_values - statistics.null_count
                least, most = min(least, statistics.min), max(most, statistics.max)
    return ColumnFill(shard, vectors, least, most) if vectors else None


def make_histograms(published: PublishedVersion, fills: FillByColumn) -> list[NormHistogram]:
    """Return the histograms of every column that has vectors, in the order of the columns."""
    return [
        _make_histogram(published, column, frames, group)
        for column, all_fills in fills.items()
        for frames, group in _split_frames(column, all_fills)
    ]


def _split_frames(column: Column, fills: Sequence[ColumnFill]) -> Iterator[tuple[bool, list[ColumnFill]]]:
    """Separate pictures from clips: a clip's norm is that of the mean of its frames, at most 1."""
    for frames in (False, True):
        group = [
            fill
            for fill in fills
            if (get_modality(column) == "image" and fill.shard.kind == "clip") is frames
        ]
        if group:
            yield frames, group


def _make_histogram(
    published: PublishedVersion, column: Column, frames: bool, fills: Sequence[ColumnFill]
) -> NormHistogram:
    least, most = min(fill.least for fill in fills), max(fill.most for fill in fills)
    counts = np.zeros(BARS * _BINS_PER_BAR, dtype=np.int64)
    for fill in fills:
        with published.root.open_parquet(get_vectors_marker(published.version.set, fill.shard)) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=[f"{column}_norm"]):
                values = batch.column(0).drop_null().to_numpy().astype(np.float64)
                counts += np.histogram(values, bins=len(counts), range=(least, most))[0]
    return NormHistogram(
        column=column,
        frames=frames,
        space=published.spaces[column],
        vectors=sum(fill.vectors for fill in fills),
        least=least,
        median=_find_median(counts, least, most),
        most=most,
        bars=tuple(counts.reshape(BARS, _BINS_PER_BAR).sum(axis=1).tolist()),
    )


def _find_median(counts: np.ndarray, least: float, most: float) -> float:
    """Return the centre of the bin in which half of all values is reached."""
    at = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    return least + (at + 0.5) / len(counts) * (most - least)
