"""Near-duplicates: the share of sampled rows that have another row with nearly the same vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.lookup.dedup import DUPLICATE_COSINE
from pipelines.lookup.search import Lookup
from pipelines.report.norms import FillByColumn
from pipelines.report.published import PublishedVersion
from pipelines.report.rows import sample_rows
from schemas.candidate import Kind
from schemas.families import Column, Modality, get_modality, sort_columns
from schemas.query import Query

_SAMPLED = 200
_KINDS: Mapping[Modality, Kind] = {"image": "image", "audio": "clip"}


@dataclass(frozen=True, slots=True)
class DuplicateStats:
    """The near-duplicates in a sample of one column.

    Attributes:
        column: of the vectors.
        sampled: rows of the sample.
        duplicates: of those, rows whose nearest other row has a cosine of at least `DUPLICATE_COSINE`.
    """

    column: Column
    sampled: int
    duplicates: int


def find_near_duplicates(
    published: PublishedVersion, lookup: Lookup, fills: FillByColumn
) -> list[DuplicateStats]:
    """Return the near-duplicates in a sample of pictures and in one of sounds."""
    stats = []
    for modality, kind in _KINDS.items():
        searched = (column for column in sort_columns(lookup.cards) if get_modality(column) == modality)
        if column := next(searched, None):
            of_kind = [fill for fill in fills[column] if fill.shard.kind == kind]
            keys = sample_rows(published, column, of_kind, _SAMPLED)
            nearest = [lookup.answer(Query(key=key, of=column, into=column, k=1)).hits for key in keys]
            duplicates = sum(bool(hits) and hits[0].score >= DUPLICATE_COSINE for hits in nearest)
            stats.append(DuplicateStats(column, len(keys), duplicates))
    return [each for each in stats if each.sampled]
