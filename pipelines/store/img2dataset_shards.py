"""Shards of media/ that img2dataset has written: their pictures are kept, what it missed is fetched again.

    img2dataset --url_list ROOT/candidates --input_format parquet --output_folder ROOT/media ...

gives a shard the same keys as ours, but its table has no outcomes, only texts of exceptions.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from pipelines.store.library_files import make_file_url
from pipelines.store.root import Root
from schemas.candidate import format_shard

# Footers that are read in parallel: on an object store each is one request.
_THREADS = 16


def is_foreign(root: Root, number: int) -> bool:
    """Return whether the table of a committed shard was written by img2dataset."""
    try:
        with root.open_parquet(f"media/{format_shard(number)}.parquet") as table:
            return "outcome" not in table.schema_arrow.names
    except FileNotFoundError:
        return False


def drop_foreign(root: Root, numbers: Iterable[int]) -> frozenset[int]:
    """Return the committed shards that img2dataset did not write."""
    shards = sorted(numbers)
    with ThreadPoolExecutor(_THREADS) as threads:
        foreign = threads.map(lambda number: is_foreign(root, number), shards)
        return frozenset(number for number, is_other in zip(shards, foreign, strict=True) if not is_other)


def read_pictures(root: Root, number: int) -> dict[str, str]:
    """Return key -> URL in the tar of every picture that a foreign shard has."""
    table = root.read_table(f"media/{format_shard(number)}.parquet", columns=["key", "status"])
    url = make_file_url(root, f"media/{format_shard(number)}.tar")
    rows = zip(*(table[name].to_pylist() for name in ("key", "status")), strict=True)
    return {key: f"{url}#{key}.jpg" for key, status in rows if status == "success"}
