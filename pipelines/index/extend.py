"""The index of the version before and what came since -> the index of a version."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.index.build import build_index, commit, index_path, truths_of, tune
from pipelines.index.factory import choose
from pipelines.index.stored import Stored, keys_of
from pipelines.shards import Shard
from pipelines.storage import Root
from schemas.dataset import Index
from schemas.index_card import IndexCard
from schemas.vectors import Column

# Of the rows in an index: a search steps over each that is gone.
_MOST_GONE = 0.2


def extend_index(  # noqa: PLR0913, PLR0917 - what a version is made of
    root: Root,
    set_name: str,
    column: Column,
    shards: Sequence[Shard],
    tombstones: pa.Table,
    index: Index,
    number: int,
    before: str | None,
) -> str:
    """Commit the index of a column for a version, and return where it lies, without its suffix.

    - Nothing came: it is the index of the version before, which steps over the keys that are gone.
    - Rows came: a copy of that index with the rows added, if it finds them as well as is wanted.
    - A fifth of its rows are gone, the rows want another kind of index, or the recall is too low: it is
      built anew.

    Args:
        root: of the dataset.
        set_name: of the vectors.
        column: of them.
        shards: of the version.
        tombstones: a table with the keys that no reader may see.
        index: what is wanted of it.
        number: of the version.
        before: where the index of the version before lies; None if it has none.

    Raises:
        ConfigError: the column has no vectors, or the memory is too small for any kind of index.
        StorageError: a key has two vectors.
        SpaceError: shards are in different spaces.
    """
    started = time.monotonic()
    path = index_path(set_name, number, column)
    stored = Stored(root, set_name, shards, keys_of(tombstones))
    found = _read(root, before) if before else None
    if before and found and _fits(stored, column, found, index):
        built, card = found
        _, ids = stored.keys(column)
        held = _held(built)
        new, gone = np.setdiff1d(ids, held), np.setdiff1d(held, ids)
        if not len(new):
            return before
        extended = _extended(stored, column, built, card, new, gone, index)
        if not extended.falls_short or card.falls_short:
            timed = {"rows": len(ids), "build_s": round(time.monotonic() - started, 3)}
            commit(root, path, built, extended.model_copy(update=timed))
            return path
    build_index(root, set_name, column, shards, tombstones, index, number)
    return path


def _fits(stored: Stored, column: Column, found: tuple[Any, IndexCard], index: Index) -> bool:
    """Return whether an index is still the kind that the rows want, and mostly of rows that are there."""
    built, card = found
    space, ids = stored.keys(column)
    held = _held(built)
    gone = len(np.setdiff1d(held, ids))
    same_kind = choose(len(ids), card.space.dims, index.memory).factory == card.factory
    return space == card.space and same_kind and gone <= _MOST_GONE * len(held)


def _extended(  # noqa: PLR0913, PLR0917
    stored: Stored,
    column: Column,
    built: Any,
    card: IndexCard,
    new: np.ndarray,
    gone: np.ndarray,
    index: Index,
) -> IndexCard:
    """Add the vectors of the new keys to an index and return its card."""
    truths = truths_of(stored, column)
    for keys, vectors_ND in stored.vectors(column):
        added = np.isin(keys, new)
        if added.any():
            built.add_with_ids(np.ascontiguousarray(vectors_ND[added]), keys[added])
        for truth in truths.values():
            truth.see(keys, vectors_ND)
    tuned = tune(built, _lists(built), truths, index.recall, card.nprobe or 1, gone)
    return card.model_copy(
        update={
            "recall_at": tuned.recall_at,
            "recall_queries": {asking: len(truth.questions.ids) for asking, truth in truths.items()},
            "recall_wanted": index.recall,
            "nprobe": tuned.nprobe,
        }
    )


def _read(root: Root, path: str) -> tuple[Any, IndexCard] | None:
    """Return an index in memory with its card, or None if either is damaged or not there."""
    import faiss

    try:
        card = IndexCard.model_validate_json(root.read(f"{path}.json"))
        data = root.read(f"{path}.faiss")
        if hashlib.sha256(data).hexdigest() != card.sha256:
            return None
        return faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8)), card
    except (FileNotFoundError, ValueError, RuntimeError):
        return None


def _lists(built: Any) -> int:
    import faiss

    inverted = faiss.try_extract_index_ivf(built)
    return int(inverted.nlist) if inverted is not None else 0


def _held(built: Any) -> np.ndarray:
    """Return the keys of all rows in an index, int64 [N]."""
    import faiss

    inverted = faiss.try_extract_index_ivf(built)
    if inverted is None:
        keys: np.ndarray = faiss.vector_to_array(built.id_map)
        return keys
    lists: Any = inverted.invlists
    parts = [np.empty(0, dtype=np.int64)]
    for number in range(inverted.nlist):
        size = lists.list_size(number)
        if size:
            parts.append(faiss.rev_swig_ptr(lists.get_ids(number), size).copy())
    return np.concatenate(parts)
