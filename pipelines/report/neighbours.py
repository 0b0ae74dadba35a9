"""Sample queries and their nearest neighbours, across pictures, sounds and captions that share a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from pipelines.lookup.search import Lookup
from pipelines.report.norms import FillByColumn
from pipelines.report.published import PublishedVersion
from pipelines.report.rows import DisplayRow, make_rows, sample_rows
from schemas.candidate import Kind
from schemas.families import COLUMNS, Column, Modality, get_modality, sort_columns
from schemas.index_card import IndexCard
from schemas.query import Query

QUERIES = 4
HITS = 5


@dataclass(frozen=True, slots=True)
class NeighbourRow:
    """A hit, with the cosine of its vector and the query's."""

    row: DisplayRow
    score: float


@dataclass(frozen=True, slots=True)
class SampleQuery:
    """A query and its hits, the nearest first.

    Attributes:
        text: of the query; the caption of `row` where there is one.
        row: that the query was taken from, never among the hits; None for a text of a person.
        hits: of the query.
    """

    text: str
    row: DisplayRow | None
    hits: tuple[NeighbourRow, ...]


@dataclass(frozen=True, slots=True)
class QueryDirection:
    """A direction of search.

    Attributes:
        asks: the modality of a query.
        kind: of the rows that sample queries are taken from.
        column: of the query vectors.
        into: the column that is searched.
    """

    asks: Literal["text", "picture", "sound"]
    kind: Kind
    column: Column
    into: Column

    @property
    def finds_captions(self) -> bool:
        """Whether the hits are captions alone: what a picture finds among texts."""
        return self.asks == "picture" and get_modality(self.into) == "text"


WAYS = (
    QueryDirection("text", "image", "clip_text", "clip_image"),
    QueryDirection("text", "clip", "clap_text", "clap_audio"),
    QueryDirection("picture", "image", "clip_image", "clip_text"),
    QueryDirection("sound", "clip", "clap_audio", "clap_text"),
)
_ASKS: Mapping[Modality, Literal["text", "picture", "sound"]] = {
    "text": "text",
    "image": "picture",
    "audio": "sound",
}


def list_directions(cards: Mapping[Column, IndexCard]) -> list[QueryDirection]:
    """Return the directions of search among indexed columns.

    Of CLIP and CLAP these are `WAYS`; of every other column, all from one modality to another.
    """
    directions = [way for way in WAYS if {way.column, way.into} <= cards.keys()]
    for column, into in permutations(sort_columns(cards), 2):
        modality, found = get_modality(column), get_modality(into)
        known = column in COLUMNS and into in COLUMNS
        if known or modality == found or not cards[column].space.is_comparable(cards[into].space):
            continue
        kind: Kind = "clip" if "audio" in (modality, found) and modality != "image" else "image"
        directions.append(QueryDirection(_ASKS[modality], kind, column, into))
    return directions


@dataclass(frozen=True, slots=True)
class NeighbourPanel:
    """The queries of one direction."""

    way: QueryDirection
    queries: tuple[SampleQuery, ...]


def make_panels(
    published: PublishedVersion, lookup: Lookup, fills: FillByColumn, texts: Sequence[str]
) -> list[NeighbourPanel]:
    """Return the queries of every direction that the version has indices for.

    Args:
        published: the version.
        lookup: of the same version.
        fills: column -> the shards that hold its vectors.
        texts: to search for before the sample queries.
    """
    panels = []
    for way in list_directions(lookup.cards):
        of_kind = [fill for fill in fills[way.column] if fill.shard.kind == way.kind]
        keys = sample_rows(published, way.column, of_kind, QUERIES)
        panels.append(_make_panel(published, lookup, way, texts if way.asks == "text" else (), keys))
    return [panel for panel in panels if panel.queries]


def _make_panel(
    published: PublishedVersion,
    lookup: Lookup,
    way: QueryDirection,
    texts: Sequence[str],
    keys: Sequence[str],
) -> NeighbourPanel:
    queries = [Query(text=text, into=way.into, k=HITS) for text in texts]
    queries += [Query(key=key, of=way.column, into=way.into, k=HITS) for key in keys]
    answers = [(query.key, lookup.answer(query).hits) for query in queries]
    rows = make_rows(published, {*keys, *(hit.key for _, hits in answers for hit in hits)})
    words = [*texts, *(rows[key].caption for key in keys)]
    samples = [
        SampleQuery(
            text, rows[key] if key else None, tuple(NeighbourRow(rows[hit.key], hit.score) for hit in hits)
        )
        for text, (key, hits) in zip(words, answers, strict=True)
    ]
    return NeighbourPanel(way, tuple(samples))
