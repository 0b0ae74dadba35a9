"""The raw norms of every vector column, as histograms. No vector is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from pipelines.report.published import PublishedVersion
from pipelines.store.shards import Shard, get_vectors_marker
from schemas.space import Space
from schemas.vectors import COLUMNS, Column

BARS = 48
# Thin bins inside a bar: the median is right to a thousandth of the range, whatever the number of rows.
_THIN = 20
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
    """How long the vectors of a column were when they left the net.

    Attributes:
        column: of the table.
        frames: whether these are vectors of several frames, whose norm has another meaning.
        space: of the column.
        vectors: how many.
        least: shortest norm.
        median: middle norm.
        most: longest norm.
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
        """Where the median lies, counted in bars from the left."""
        wide = self.most - self.least
        return BARS * (self.median - self.least) / wide if wide else BARS / 2


Places = Mapping[Column, Sequence[ColumnFill]]


def count_filled(published: PublishedVersion) -> Places:
    """Return, for every column that has vectors, the shards that hold them; only footers are read."""
    found: dict[Column, list[ColumnFill]] = {column: [] for column in COLUMNS}
    for shard in published.shards:
        with published.root.open_parquet(get_vectors_marker(published.version.set, shard)) as file:
            footer = file.metadata
        for column in COLUMNS:
            if there := _filled(footer, shard, column):
                found[column].append(there)
    return {column: places for column, places in found.items() if places}


def _filled(footer: pq.FileMetaData, shard: Shard, column: Column) -> ColumnFill | None:
    vectors, least, most = 0, np.inf, -np.inf
    for group in range(footer.num_row_groups):
        of = footer.row_group(group)
        for place in range(of.num_columns):
            chunk = of.column(place)
            about = chunk.statistics  # none of a table without rows
            if chunk.path_in_schema == f"{column}_norm" and about and about.has_min_max:
                vectors += chunk.num_values - about.null_count
                least, most = min(least, about.min), max(most, about.max)
    return ColumnFill(shard, vectors, least, most) if vectors else None


def make_histograms(published: PublishedVersion, places: Places) -> list[NormHistogram]:
    """Return the histograms of every column that has vectors, in the order of the columns."""
    return [
        _norms(published, column, frames, group)
        for column, everywhere in places.items()
        for frames, group in _alike(column, everywhere)
    ]


def _alike(column: Column, places: Sequence[ColumnFill]) -> Iterator[tuple[bool, list[ColumnFill]]]:
    """Part the pictures from the clips: a clip's norm is the length of the mean of its frames, at most 1."""
    for frames in (False, True):
        group = [
            place for place in places if (column == "clip_image" and place.shard.kind == "clip") is frames
        ]
        if group:
            yield frames, group


def _norms(
    published: PublishedVersion, column: Column, frames: bool, places: Sequence[ColumnFill]
) -> NormHistogram:
    least, most = min(place.least for place in places), max(place.most for place in places)
    counts = np.zeros(BARS * _THIN, dtype=np.int64)
    for place in places:
        with published.root.open_parquet(get_vectors_marker(published.version.set, place.shard)) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=[f"{column}_norm"]):
                values = batch.column(0).drop_null().to_numpy().astype(np.float64)
                counts += np.histogram(values, bins=len(counts), range=(least, most))[0]
    return NormHistogram(
        column=column,
        frames=frames,
        space=published.spaces[column],
        vectors=sum(place.vectors for place in places),
        least=least,
        median=_median(counts, least, most),
        most=most,
        bars=tuple(counts.reshape(BARS, _THIN).sum(axis=1).tolist()),
    )


def _median(counts: np.ndarray, least: float, most: float) -> float:
    """Return the middle of the thin bin in which half of all values is reached."""
    at = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    return least + (at + 0.5) / len(counts) * (most - least)
