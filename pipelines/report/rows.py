"""Rows of a version: evenly spaced samples, and what a page shows of a row, with its media embedded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from pipelines.report.formatting import format_link
from pipelines.report.media import make_sound_clip, make_thumbnail, read_members
from pipelines.report.norms import ColumnFill
from pipelines.report.published import PublishedVersion
from pipelines.store.shards import Shard, get_vectors_marker
from schemas.candidate import format_shard, parse_key
from schemas.families import Column

_COLUMNS = ["kind", "source", "caption", "url", "page_url", "attribution", "licence"]


@dataclass(frozen=True, slots=True)
class DisplayRow:
    """A row as a page shows it. Its texts and URLs are those of the list, so never to be trusted.

    Attributes:
        key: of the row.
        caption: of the row.
        source: kind of its list.
        attribution: as the list has it.
        licence: as the list has it, or `unknown`.
        link: URL of the page or the media, if it is safe to follow.
        thumbnail: a data: URI; None without a picture.
        sound: a data: URI; None without a sound.
    """

    key: str
    caption: str
    source: str
    attribution: str | None
    licence: str
    link: str | None
    thumbnail: str | None
    sound: str | None


def make_rows(published: PublishedVersion, keys: Collection[str]) -> dict[str, DisplayRow]:
    """Return the rows of these keys. Every shard that has one is opened once."""
    by_shard: dict[int, list[str]] = {}
    for key in sorted(set(keys)):
        by_shard.setdefault(parse_key(key, published.shard_rows)[0], []).append(key)
    rows: dict[str, DisplayRow] = {}
    for shard, of_shard in by_shard.items():
        table = published.root.read_table(f"candidates/{format_shard(shard)}.parquet", columns=_COLUMNS)
        records = table.take([parse_key(key, published.shard_rows)[1] for key in of_shard]).to_pylist()
        media = {} if records[0]["kind"] == "text" else read_members(published.root, shard, of_shard)
        for key, record in zip(of_shard, records, strict=True):
            rows[key] = DisplayRow(
                key=key,
                caption=record["caption"],
                source=record["source"],
                attribution=record["attribution"],
                licence=record["licence"],
                link=format_link(record["page_url"], record["url"]),
                thumbnail=make_thumbnail(media.get(key, {})),
                sound=make_sound_clip(media.get(key, {})),
            )
    return rows


def sample_rows(
    published: PublishedVersion, column: Column, fills: Sequence[ColumnFill], count: int
) -> list[str]:
    """Return the keys of up to `count` rows that have a vector, evenly spaced over these shards.

    The sample is deterministic.

    Args:
        published: the version; keys that no reader may see are left out.
        column: in which the rows have a vector.
        fills: the shards, with the number of vectors of each.
        count: of the sample.
    """
    starts = np.cumsum([0, *(fill.vectors for fill in fills)])
    total = int(starts[-1])
    size = min(count, total)
    positions = [(2 * number + 1) * total // (2 * size) for number in range(size)]
    sampled: list[str] = []
    for fill, start in zip(fills, starts, strict=False):
        nth = [position - int(start) for position in positions if start <= position < start + fill.vectors]
        keys = _read_keys(published, fill.shard, column) if nth else []
        sampled += [keys[min(position, len(keys) - 1)] for position in nth if keys]
    # If removed keys leave too few rows, two positions fall on the same row.
    return list(dict.fromkeys(sampled))


def _read_keys(published: PublishedVersion, shard: Shard, column: Column) -> list[str]:
    """Return the keys of the rows of a shard that have a vector and that a reader may see."""
    norm = f"{column}_norm"
    table = published.root.read_table(get_vectors_marker(published.version.set, shard), columns=["key", norm])
    removed = pc.is_in(table["key"], value_set=published.removed["key"].combine_chunks())
    keys: list[str] = table["key"].filter(pc.and_not(pc.is_valid(table[norm]), removed)).to_pylist()
    return keys
