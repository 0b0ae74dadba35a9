"""Rows as a page shows them: caption, where they are from, and media small enough to lie inside it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pipelines.report.formatting import format_link
from pipelines.report.media import make_sound_clip, make_thumbnail, read_members
from pipelines.report.published import PublishedVersion
from schemas.candidate import format_shard, parse_key

_COLUMNS = ["kind", "source", "caption", "url", "page_url", "attribution", "licence"]


@dataclass(frozen=True, slots=True)
class DisplayRow:
    """One row. Texts and addresses are as the list has them, so never to be trusted.

    Attributes:
        key: of the row.
        caption: of the row.
        source: kind of its list.
        attribution: whom the list credits.
        licence: as the list says, or `unknown`.
        link: page or media on the web, if it can be followed safely.
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
    """Return the rows of these keys. Every shard that holds one is opened once."""
    by_shard: dict[int, list[str]] = {}
    for key in sorted(set(keys)):
        by_shard.setdefault(parse_key(key, published.shard_rows)[0], []).append(key)
    found: dict[str, DisplayRow] = {}
    for shard, there in by_shard.items():
        table = published.root.read_table(f"candidates/{format_shard(shard)}.parquet", columns=_COLUMNS)
        records = table.take([parse_key(key, published.shard_rows)[1] for key in there]).to_pylist()
        media = {} if records[0]["kind"] == "text" else read_members(published.root, shard, there)
        for key, record in zip(there, records, strict=True):
            found[key] = DisplayRow(
                key=key,
                caption=record["caption"],
                source=record["source"],
                attribution=record["attribution"],
                licence=record["licence"],
                link=format_link(record["page_url"], record["url"]),
                thumbnail=make_thumbnail(media.get(key, {})),
                sound=make_sound_clip(media.get(key, {})),
            )
    return found
