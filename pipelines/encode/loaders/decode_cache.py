"""Towers of one modality take the same media: what was decoded for one of them is there for the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_here = threading.local()


@contextmanager
def share_decoded() -> Iterator[None]:
    """Inside the block, in this thread, an item is decoded once; at its end what was made is let go."""
    _here.made = {}
    try:
        yield
    finally:
        del _here.made


def decode_once(item: bytes, how: Hashable, make: Callable[[bytes], T]) -> T:
    """Return `make(item)`, or what an earlier call made of the same bytes inside a `share_decoded` block.

    Args:
        item: of the row, which holds it for as long as the block lasts: it is known by its identity.
        how: what tells one way of decoding from another.
        make: decodes; whoever gets the result leaves it as it is.
    """
    made: dict[Any, Any] | None = getattr(_here, "made", None)
    if made is None:
        return make(item)
    key = (id(item), how)
    if key not in made:
        made[key] = make(item)
    result: T = made[key]
    return result
