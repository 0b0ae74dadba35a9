"""Media whose list says what their bytes hash to: other bytes are other media, not those of the caption."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from pipelines.fetch.worker import FetchRequest, FetchResult
from schemas.outcome import make_outcome

_ALGORITHMS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
_CHANGED = FetchResult(make_outcome("invalid", "changed"))


def read_unchanged(
    requests: Sequence[FetchRequest],
    source: bytes | Path,
    read: Callable[[Sequence[FetchRequest]], list[FetchResult]],
) -> list[FetchResult]:
    """Return the media of rows that share a URL, in their order; `invalid/changed` where the hash is another.

    Args:
        requests: of the rows.
        source: the bytes that arrived, or the file that they are in.
        read: makes media of them for the rows that it is given, at least one.
    """
    expected = {each.expected_hash for each in requests} - {None}
    found = {_compute_hash(source, name) for name in {_ALGORITHMS.get(len(each or "")) for each in expected}}
    same = [each for each in requests if each.expected_hash is None or each.expected_hash in found]
    if not expected or len(same) == len(requests):
        return read(requests)
    media = iter(read(same) if same else ())
    return [
        next(media) if each.expected_hash is None or each.expected_hash in found else _CHANGED
        for each in requests
    ]


def _compute_hash(source: bytes | Path, algorithm: str | None) -> str | None:
    """Return the hash in hex; None for a length that is that of no algorithm."""
    if algorithm is None:
        return None
    new = partial(hashlib.new, algorithm, usedforsecurity=False)
    if isinstance(source, bytes):
        return str(new(source).hexdigest())
    with source.open("rb") as file:
        return hashlib.file_digest(file, new).hexdigest()
