"""The index of the version before and what came since -> the index of a version."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.errors import StorageError
from pipelines.index.build import (
    build_index,
    commit,
    compute_truths,
    count_seen,
    make_index_path,
    tune,
    use_all_cores,
)
from pipelines.index.factory import choose_factory
from pipelines.index.train import get_lists, measure_imbalance
from pipelines.store.cache import fetch_cached
from pipelines.store.counts import as_integers
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from pipelines.store.vectors import VectorReader
from schemas.dataset import Index
from schemas.index_card import IndexCard
from schemas.vectors import Column

# Of the rows in an index: a search steps over each that is gone.
_MOST_GONE = 0.2

# How much longer a search of so many lists may take because new rows crowd into few of them.
_MOST_IMBALANCE = 1.5

# How many times as many lists may be searched to find as much as after the training.
_MOST_LISTS = 4


def extend_index(  # noqa: PLR0913, PLR0917 - what a version is made of
    root: Root,
    set_name: str,
    column: Column,
    shards: Sequence[Shard],
    tombstones: pa.Table,
    index: Index,
    number: int,
    before: str | None,
) -> str | None:
    """Commit the index of a column for a version, and return where it lies, without its suffix.

    - No row is left: there is no index, and None is returned.
    - Nothing came: it is the index of the version before, which steps over the keys that are gone.
    - Rows came: a copy of that index with the rows added, if it finds them as well as is wanted.
    - A fifth of its rows are gone, the rows want another kind of index, new rows crowd into few of its
      lists, or it finds too little unless many more lists are searched: it is built anew.

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
        ConfigError: the memory is too small for any kind of index.
        StorageError: a key has two vectors.
        SpaceError: shards are in different spaces.
    """
    stored = VectorReader(root, set_name, shards, as_integers(tombstones["key"]))
    if not len(stored.read_keys(column)[1]):
        return None
    path = make_index_path(set_name, number, column)
    if before and (kept := _brought_up(stored, column, index, before, path)):
        return kept
    build_index(root, set_name, column, shards, tombstones, index, number)
    return path


def _brought_up(stored: VectorReader, column: Column, index: Index, before: str, path: str) -> str | None:
    """Return where the index lies that follows from the one before, or None if none is to follow from it."""
    started = time.monotonic()
    found = _read(stored.root, before)
    if not found:
        return None
    built, card = found
    changed = _changed(stored, column, built, card, index)
    if not changed or changed.keeps(card, index):
        return before if changed else None
    with use_all_cores():
        extended = _extended(stored, column, built, card, changed, index)
    if not extended or (extended.falls_short and not card.falls_short):
        return None
    timed = {"rows": changed.rows, "build_s": round(time.monotonic() - started, 3)}
    commit(stored.root, path, built, extended.model_copy(update=timed))
    return path


@dataclass(frozen=True, slots=True)
class _Changed:
    """What a version has and an index not, and the other way round.

    Attributes:
        rows: that have a vector.
        new: keys that the index lacks, int64.
        gone: keys that only the index has, int64.
    """

    rows: int
    new: np.ndarray
    gone: np.ndarray

    def keeps(self, card: IndexCard, index: Index) -> bool:
        """Return whether the index is good for the version as it is."""
        return not len(self.new) and (card.falls_short or card.recall >= index.recall)


def _changed(
    stored: VectorReader, column: Column, built: Any, card: IndexCard, index: Index
) -> _Changed | None:
    """Return what changed, or None if an index is no longer the kind that the rows want, or mostly gone."""
    space, ids = stored.read_keys(column)
    held = _held(built)
    changed = _Changed(len(ids), np.setdiff1d(ids, held), np.setdiff1d(held, ids))
    # A key that came twice: a build says so.
    if space != card.space or len(np.unique(ids)) != len(ids):
        return None
    same_kind = choose_factory(len(ids), card.space.dims, index.memory).factory == card.factory
    return changed if same_kind and len(changed.gone) <= _MOST_GONE * len(held) else None


def _extended(  # noqa: PLR0913, PLR0917
    stored: VectorReader, column: Column, built: Any, card: IndexCard, changed: _Changed, index: Index
) -> IndexCard | None:
    """Add the vectors of the new keys to an index; return its card, or None if its lists have drifted."""
    truths = compute_truths(stored, column)
    for keys, vectors_ND in count_seen(stored.read_blocks(column), truths):
        added = np.isin(keys, changed.new)
        if added.any():
            built.add_with_ids(np.ascontiguousarray(vectors_ND[added]), keys[added])
    lists = get_lists(built)
    tuned = tune(built, lists, truths, index.recall, card.nprobe or 1, changed.gone)
    if lists:
        before, after = card.trained_imbalance or 1.0, measure_imbalance(built) or 1.0
        more_lists = (tuned.nprobe or 1) / (card.trained_nprobe or card.nprobe or 1)
        if after > _MOST_IMBALANCE * before or more_lists > _MOST_LISTS:
            return None
    return card.model_copy(update={**tuned.said(truths), "recall_wanted": index.recall})


def _read(root: Root, path: str) -> tuple[Any, IndexCard] | None:
    """Return an index in memory with its card, or None if either is damaged or not there."""
    import faiss

    try:
        card = IndexCard.model_validate_json(root.read(f"{path}.json"))
        name = f"{path}.faiss"
        if not root.is_local:
            return faiss.read_index(str(fetch_cached(root, name, card.sha256))), card
        if root.compute_sha256(name) != card.sha256:
            return None
        return faiss.read_index(root.get_path(name)), card
    except (FileNotFoundError, ValueError, RuntimeError, StorageError):
        return None


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
