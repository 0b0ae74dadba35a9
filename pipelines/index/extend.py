"""The index of the previous version and the rows that changed since -> the index of a version."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.index.build import build_index, draw_queries, tune_nprobe, update_truths, use_all_cores
from pipelines.index.factory import choose_factory
from pipelines.index.files import commit_index, make_index_path, read_index
from pipelines.index.train import count_lists, measure_imbalance
from pipelines.store.counts import as_integers
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from pipelines.store.vectors import VectorReader
from schemas.dataset import Index
from schemas.families import Column
from schemas.index_card import IndexCard

# Share of an index's rows that may be gone: every search steps over them.
_MOST_GONE = 0.2

# How much longer a search may take because new rows crowd into few of the lists.
_MOST_IMBALANCE = 1.5

# By which factor nprobe may grow since the training before the lists count as outdated.
_MOST_LISTS = 4


def extend_index(  # noqa: PLR0913, PLR0917 - what a version is made of
    root: Root,
    set_name: str,
    column: Column,
    shards: Sequence[Shard],
    tombstones: pa.Table,
    config: Index,
    number: int,
    previous: str | None,
) -> str | None:
    """Commit the index of a column for a version, and return its path, without its suffix.

    - No row is left: there is no index, and None is returned.
    - No new rows: the index of the previous version is used, and searches step over the keys that are gone.
    - New rows: a copy of that index with the rows added, if it finds them as well as is wanted.
    - A fifth of its rows are gone, the rows want another kind of index, new rows crowd into few of its
      lists, or recall is too low unless many more lists are searched: it is rebuilt.

    Args:
        root: of the dataset.
        set_name: of the vectors.
        column: of them.
        shards: of the version.
        tombstones: a table with the keys that no reader may see.
        config: the dataset's settings for indices.
        number: of the version.
        previous: path of the previous version's index; None if it has none.

    Raises:
        ConfigError: the memory is too small for any kind of index.
        StorageError: a key has two vectors.
        SpaceError: shards are in different spaces.
    """
    reader = VectorReader(root, set_name, shards, as_integers(tombstones["key"]))
    if not len(reader.read_keys(column)[1]):
        return None
    path = make_index_path(set_name, number, column)
    if previous and (kept := _update(reader, column, config, previous, path)):
        return kept
    build_index(root, set_name, column, shards, tombstones, config, number)
    return path


def _update(reader: VectorReader, column: Column, config: Index, previous: str, path: str) -> str | None:
    """Return the path of an index made from the previous one, or None if one must be built anew."""
    started = time.monotonic()
    stored = read_index(reader.root, previous)
    if not stored:
        return None
    index, card = stored
    changes = _compare(reader, column, index, card, config)
    if not changes or changes.allow_reuse(card, config):
        return previous if changes else None
    with use_all_cores():
        extended = _add_rows(reader, column, index, card, changes, config)
    if not extended or (extended.falls_short and not card.falls_short):
        return None
    timed = {"rows": changes.rows, "build_s": round(time.monotonic() - started, 3)}
    commit_index(reader.root, path, index, extended.model_copy(update=timed))
    return path


@dataclass(frozen=True, slots=True)
class _Changes:
    """How the rows of a version differ from those of an index.

    Attributes:
        rows: of the version that have a vector.
        new: keys that the index lacks, int64.
        gone: keys that only the index has, int64.
    """

    rows: int
    new: np.ndarray
    gone: np.ndarray

    def allow_reuse(self, card: IndexCard, config: Index) -> bool:
        """Return whether the index serves the version as it is."""
        return not len(self.new) and (card.falls_short or card.recall >= config.recall)


def _compare(
    reader: VectorReader, column: Column, index: Any, card: IndexCard, config: Index
) -> _Changes | None:
    """Return what changed, or None if the index is of the wrong kind by now, or mostly gone."""
    space, keys = reader.read_keys(column)
    held = _read_keys(index)
    changes = _Changes(len(keys), np.setdiff1d(keys, held), np.setdiff1d(held, keys))
    # A repeated key is refused by the build that follows.
    if space != card.space or len(np.unique(keys)) != len(keys):
        return None
    same_kind = choose_factory(len(keys), card.space.dims, config.memory).factory == card.factory
    return changes if same_kind and len(changes.gone) <= _MOST_GONE * len(held) else None


def _add_rows(  # noqa: PLR0913, PLR0917
    reader: VectorReader, column: Column, index: Any, card: IndexCard, changes: _Changes, config: Index
) -> IndexCard | None:
    """Add the vectors of the new keys to an index; return its card, or None if its lists are outdated."""
    truths = draw_queries(reader, column)
    for keys, vectors_ND in update_truths(reader.read_blocks(column), truths):
        is_new = np.isin(keys, changes.new)
        if is_new.any():
            index.add_with_ids(np.ascontiguousarray(vectors_ND[is_new]), keys[is_new])
    lists = count_lists(index)
    tuned = tune_nprobe(index, lists, truths, config.recall, card.nprobe or 1, changes.gone)
    if lists:
        before, after = card.trained_imbalance or 1.0, measure_imbalance(index) or 1.0
        more_lists = (tuned.nprobe or 1) / (card.trained_nprobe or card.nprobe or 1)
        if after > _MOST_IMBALANCE * before or more_lists > _MOST_LISTS:
            return None
    return card.model_copy(update={**tuned.as_card_fields(truths), "recall_wanted": config.recall})


def _read_keys(index: Any) -> np.ndarray:
    """Return the keys of all rows in an index, int64 [N]."""
    import faiss

    inverted = faiss.try_extract_index_ivf(index)
    if inverted is None:
        keys: np.ndarray = faiss.vector_to_array(index.id_map)
        return keys
    lists: Any = inverted.invlists
    parts = [np.empty(0, dtype=np.int64)]
    for number in range(inverted.nlist):
        size = lists.list_size(number)
        if size:
            parts.append(faiss.rev_swig_ptr(lists.get_ids(number), size).copy())
    return np.concatenate(parts)
