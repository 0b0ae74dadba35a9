"""Queries from the dataset itself: rows at even distances, the same ones every time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc

from pipelines.report.norms import ColumnFill
from pipelines.report.published import PublishedVersion
from pipelines.store.shards import Shard, get_vectors_marker
from schemas.vectors import Column


def sample_rows(
    published: PublishedVersion, column: Column, places: Sequence[ColumnFill], count: int
) -> list[str]:
    """Return the keys of up to `count` rows that have a vector, at even distances over these shards.

    Args:
        published: the version; what no reader may see is passed over.
        column: that the rows have a vector in.
        places: the shards, with how many vectors each has.
        count: how many.
    """
    starts = np.cumsum([0, *(place.vectors for place in places)])
    total = int(starts[-1])
    many = min(count, total)
    wanted = [(2 * number + 1) * total // (2 * many) for number in range(many)]
    found: list[str] = []
    for place, start in zip(places, starts, strict=False):
        nth = [position - int(start) for position in wanted if start <= position < start + place.vectors]
        keys = _keys(published, place.shard, column) if nth else []
        found += [keys[min(position, len(keys) - 1)] for position in nth if keys]
    # Where removed keys leave fewer rows than are asked for, one would come twice.
    return list(dict.fromkeys(found))


def _keys(published: PublishedVersion, shard: Shard, column: Column) -> list[str]:
    """Return the keys of the rows of a shard that have a vector and that a reader may see."""
    norm = f"{column}_norm"
    table = published.root.read_table(get_vectors_marker(published.version.set, shard), columns=["key", norm])
    gone = pc.is_in(table["key"], value_set=published.removed["key"].combine_chunks())
    keys: list[str] = table["key"].filter(pc.and_not(pc.is_valid(table[norm]), gone)).to_pylist()
    return keys
