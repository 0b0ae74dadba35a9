"""A cache of decoded media for one row: several towers of one modality decode an item once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_thread = threading.local()


@contextmanager
def share_decoded() -> Iterator[None]:
    """Cache what is decoded in this thread until the end of the block."""
    _thread.decoded = {}
    try:
        yield
    finally:
        del _thread.decoded


def decode_once(item: bytes, how: Hashable, decode: Callable[[bytes], T]) -> T:
    """Return `decode(item)`, or the result of an earlier call for the item inside a `share_decoded` block.

    Args:
        item: of a row that holds it until the end of the block, since it is known by its identity.
        how: tells one way of decoding from another.
        decode: decodes; its result is shared and must not be modified.
    """
    cache: dict[Any, Any] | None = getattr(_thread, "decoded", None)
    if cache is None:
        return decode(item)
    key = (id(item), how)
    if key not in cache:
        cache[key] = decode(item)
    result: T = cache[key]
    return result
