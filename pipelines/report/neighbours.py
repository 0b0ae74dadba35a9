"""Queries and their nearest neighbours: across pictures, sounds and captions, in the spaces they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.lookup.search import Lookup
from pipelines.report.norms import Places
from pipelines.report.published import Published
from pipelines.report.rows import Row, rows_of
from pipelines.report.samples import samples
from schemas.candidate import Kind
from schemas.query import Query
from schemas.vectors import Column

QUERIES = 4
HITS = 5


@dataclass(frozen=True, slots=True)
class Hit:
    """A row that was found, and the cosine of its vector and the query's."""

    row: Row
    score: float


@dataclass(frozen=True, slots=True)
class Question:
    """A query and its hits, the nearest first.

    Attributes:
        text: of the query; the caption of `row` where there is one.
        row: that the query was taken from; None for a text that a person asked. Never among the hits.
        hits: of the query.
    """

    text: str
    row: Row | None
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """One way across the dataset.

    Attributes:
        asks: what a query is.
        kind: of the rows that sample queries are taken from.
        column: whose vectors ask.
        into: the column that is searched.
    """

    asks: Literal["text", "picture", "sound"]
    kind: Kind
    column: Column
    into: Column


WAYS = (
    Way("text", "image", "clip_text", "clip_image"),
    Way("text", "clip", "clap_text", "clap_audio"),
    Way("picture", "image", "clip_image", "clip_text"),
    Way("sound", "clip", "clap_audio", "clap_text"),
)


@dataclass(frozen=True, slots=True)
class Panel:
    """The queries of one way."""

    way: Way
    questions: tuple[Question, ...]


def panels(published: Published, lookup: Lookup, places: Places, texts: Sequence[str]) -> list[Panel]:
    """Return the queries of every way that the version has indices for.

    Args:
        published: the version.
        lookup: of the same version.
        places: column -> the shards that hold its vectors.
        texts: to ask beside the sample queries, first.
    """
    found = []
    for way in WAYS:
        if {way.column, way.into} <= lookup.cards.keys():
            of_kind = [place for place in places[way.column] if place.shard.kind == way.kind]
            keys = samples(published, way.column, of_kind, QUERIES)
            found.append(_panel(published, lookup, way, texts if way.asks == "text" else (), keys))
    return [panel for panel in found if panel.questions]


def _panel(
    published: Published, lookup: Lookup, way: Way, texts: Sequence[str], keys: Sequence[str]
) -> Panel:
    queries = [Query(text=text, into=way.into, k=HITS) for text in texts]
    queries += [Query(key=key, of=way.column, into=way.into, k=HITS) for key in keys]
    asked = [(query.key, lookup.answer(query).hits) for query in queries]
    rows = rows_of(published, {*keys, *(hit.key for _, hits in asked for hit in hits)})
    words = [*texts, *(rows[key].caption for key in keys)]
    questions = [
        Question(text, rows[key] if key else None, tuple(Hit(rows[hit.key], hit.score) for hit in hits))
        for text, (key, hits) in zip(words, asked, strict=True)
    ]
    return Panel(way, tuple(questions))
