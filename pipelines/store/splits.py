"""Which rows are held out: by a hash of the URL of their media, for every task and in every version."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from pipelines.errors import StorageError
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from schemas.candidate import format_key, parse_key
from schemas.training import SplitSettings

TRAIN, VALIDATION, TEST = 0, 1, 2


def choose_part(url: str, split: SplitSettings) -> int:
    """Return the part of a URL: all rows of a video or picture share it, in every version."""
    share = hash_text(url) / 2**64
    if share < split.test:
        return TEST
    return VALIDATION if share < split.test + split.validation else TRAIN


def hash_text(text: str) -> int:
    """Return 64 bits of a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def find_parts(
    root: Root, shards: Sequence[Shard], shard_rows: int, keys_N: np.ndarray, split: SplitSettings
) -> np.ndarray:
    """Return the part of each row, uint8 [N].

    Args:
        root: of the dataset.
        shards: of a version, ascending.
        shard_rows: of the dataset.
        keys_N: int64, ascending.
        split: what is held out.

    Raises:
        StorageError: the candidates of a shard are missing or are fewer than its keys say.
    """
    part_N = np.empty(len(keys_N), dtype=np.uint8)
    found = 0
    for shard in shards:
        first = int(format_key(shard.number, 0, shard_rows))
        start, stop = np.searchsorted(keys_N, (first, first + shard.rows)).tolist()
        if start == stop:
            continue
        rows = [parse_key(int(key), shard_rows)[1] for key in keys_N[start:stop]]
        urls = _read_urls(root, shard)
        if max(rows) >= len(urls):
            raise StorageError(
                f"{root.url}/candidates/{shard.name}.parquet has {len(urls)} rows, and {shard.rows} are "
                "planned; put it back from a copy"
            )
        part_N[start:stop] = [choose_part(urls[row], split) for row in rows]
        found += stop - start
    if found != len(keys_N):
        raise StorageError(
            f"{len(keys_N) - found} of {len(keys_N)} keys are in no shard of {root.url}; "
            "give keys of the version that the shards are of"
        )
    return part_N


def _read_urls(root: Root, shard: Shard) -> list[str]:
    name = f"candidates/{shard.name}.parquet"
    try:
        urls: list[str] = root.read_table(name, columns=["url"])["url"].to_pylist()
    except FileNotFoundError as error:
        raise StorageError(f"{root.url} has no {name}; put it back from a copy") from error
    return urls
