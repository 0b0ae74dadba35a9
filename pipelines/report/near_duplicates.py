"""Near-duplicates: how many of a sample of rows have another row that is as good as the same."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.lookup.dedup import ALIKE
from pipelines.lookup.search import Lookup
from pipelines.report.norms import Places
from pipelines.report.published import PublishedVersion
from pipelines.report.samples import sample_rows
from schemas.candidate import Kind
from schemas.query import Query
from schemas.vectors import Column

_SAMPLED = 200
_COLUMNS: tuple[tuple[Column, Kind], ...] = (("clip_image", "image"), ("clap_audio", "clip"))


@dataclass(frozen=True, slots=True)
class DuplicateStats:
    """What a sample of one column says.

    Attributes:
        column: of the vectors.
        sampled: rows that were asked for.
        alike: of those, rows whose nearest other row has a cosine of at least `ALIKE`.
    """

    column: Column
    sampled: int
    alike: int


def find_near_duplicates(published: PublishedVersion, lookup: Lookup, places: Places) -> list[DuplicateStats]:
    """Return the near-duplicates among a sample of pictures and among one of sounds."""
    found = []
    for column, kind in _COLUMNS:
        if column in lookup.cards:
            of_kind = [place for place in places[column] if place.shard.kind == kind]
            keys = sample_rows(published, column, of_kind, _SAMPLED)
            nearest = [lookup.answer(Query(key=key, of=column, into=column, k=1)).hits for key in keys]
            alike = sum(bool(hits) and hits[0].score >= ALIKE for hits in nearest)
            found.append(DuplicateStats(column, len(keys), alike))
    return [one for one in found if one.sampled]
