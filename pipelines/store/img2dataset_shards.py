"""Shards of media/ that img2dataset has filled: their pictures are taken over, what it missed is asked again.

    img2dataset --url_list ROOT/candidates --input_format parquet --output_folder ROOT/media ...

gives a shard the keys that we would, but its table has no outcome: an exception's text is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipelines.store.root import Root
from schemas.candidate import format_shard

# Footers that are read at once: on an object store each is a request of its own.
_AT_ONCE = 16


def is_foreign(root: Root, number: int) -> bool:
    """Return whether a shard whose marker is there has a table that is not ours."""
    try:
        with root.open_parquet(f"media/{format_shard(number)}.parquet") as table:
            return "outcome" not in table.schema_arrow.names
    except FileNotFoundError:
        return False


def drop_foreign(root: Root, numbers: Iterable[int]) -> frozenset[int]:
    """Return those of the committed shards that are ours."""
    asked = sorted(numbers)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        foreign = threads.map(lambda number: is_foreign(root, number), asked)
        return frozenset(number for number, other in zip(asked, foreign, strict=True) if not other)


def read_pictures(root: Root, number: int) -> dict[str, str]:
    """Return the key of every picture that a foreign shard has, and the URL of the picture in its tar."""
    table = root.read_table(f"media/{format_shard(number)}.parquet", columns=["key", "status"])
    tar = root.get_path(f"media/{format_shard(number)}.tar")
    place = Path(tar).absolute().as_uri() if root.is_local else str(root.fs.unstrip_protocol(tar))
    rows = zip(*(table[name].to_pylist() for name in ("key", "status")), strict=True)
    return {key: f"{place}#{key}.jpg" for key, status in rows if status == "success"}
