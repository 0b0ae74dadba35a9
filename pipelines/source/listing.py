"""The interface between a list and the plan: a stream of batches, and the SQL that makes rows of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipelines.errors import ListError
from schemas.dataset import Source


@dataclass(frozen=True)
class Listing:
    """A list that exists and has the format of its kind.

    Attributes:
        schema: of the batches.
        read_batches: opens the list; yields all of it, in order, a batch at a time.
        sql: a SELECT over `records`, which are the batches, to columns of `database.ROW`. A column that it
            leaves out is null. A row with a `fault` is a reject, one that is `ruled_out` is filtered.
        values: the parameters of the SQL.
    """

    schema: pa.Schema
    read_batches: Callable[[], Iterator[pa.RecordBatch]]
    sql: str
    values: Mapping[str, Any] = field(default_factory=dict)


# How the first record of each kind looks.
_FORMATS = (
    ("wit", re.compile(r"language\tpage_url\timage_url\t")),
    ("audiocaps", re.compile(r"audiocap_id,youtube_id,start_time,caption$")),
    ("vggsound", re.compile(r"[\w-]{11},\d+,.+,(train|test)$")),
    ("cc12m", re.compile(r"https?://[^\t]+\t[^\t]+$")),
    ("cc3m", re.compile(r"[^\t]+\thttps?://[^\t]+$")),
)


def make_format_error(source: Source, head: Sequence[str], expected: str) -> ListError:
    """Return the error for a list of another format than its kind's, with a guess of its kind.

    Args:
        source: from the dataset's file.
        head: the first readable records.
        expected: how a list of this kind begins, as the end of a sentence.
    """
    advice = f"give a {source.kind} list"
    for kind, pattern in _FORMATS:
        if kind != source.kind and pattern.match(head[0]):
            advice = f"it looks like a {kind} list, so say `kind: {kind}`"
    begins = head[0] if len(head[0]) <= 100 else f"{head[0][:100]}..."
    return ListError(
        f"list {source.list} begins with {begins!r}, but a {source.kind} list {expected}; {advice}"
    )
