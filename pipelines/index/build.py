"""vectors/SET/*.parquet -> indices/SET/NNNN/COLUMN.faiss and its card."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.errors import ConfigError, StorageError
from pipelines.index.factory import Setting, choose
from pipelines.index.neighbours import Neighbours
from pipelines.index.recall import Questions, Truth, worst
from pipelines.index.stored import Stored, keys_of
from pipelines.shards import Shard
from pipelines.storage import Root
from schemas.dataset import Index
from schemas.index_card import IndexCard
from schemas.vectors import COLUMNS, Column, family_of

# Of each column that asks: recall@10 is then known to about 0.01.
_QUESTIONS = 256

# Inverted lists that are searched at least.
_NPROBE = 4
_NONE = np.empty(0, dtype=np.int64)

_SEED = 0


def index_path(set_name: str, number: int, column: Column) -> str:
    """Return the path of an index below the root, without its suffix (.faiss, .json)."""
    return f"indices/{set_name}/{number:04d}/{column}"


def build_index(  # noqa: PLR0913, PLR0917 - what a version is made of
    root: Root,
    set_name: str,
    column: Column,
    shards: Sequence[Shard],
    tombstones: pa.Table,
    index: Index,
    number: int,
) -> IndexCard:
    """Build the index of a column over committed shards, and commit it and then its card.

    The rows of `tombstones` are left out. `falls_short` on the card says that the recall that `index`
    wants was not reached.

    Raises:
        ConfigError: the column has no vectors, or the memory is too small for any kind of index.
        StorageError: a key has two vectors.
        SpaceError: shards are in different spaces.
    """
    started = time.monotonic()
    stored = Stored(root, set_name, shards, keys_of(tombstones))
    space, ids = stored.keys(column)
    if space is None or not len(ids):
        raise ConfigError(
            f"column {column} of set {set_name!r} in {root.url} has no vectors, so no index can be built; "
            "check its outcomes with `echolens status`"
        )
    _refuse_repeated(ids, column)
    setting = choose(len(ids), space.dims, index.memory)
    truths = truths_of(stored, column)
    built = _filled(stored, column, setting, space.dims, truths)
    tuned = tune(built, setting.lists, truths, index.recall)
    card = IndexCard(
        column=column,
        space=space,
        factory=setting.factory,
        rows=len(ids),
        build_s=round(time.monotonic() - started, 3),
        recall_at=tuned.recall_at,
        recall_queries={asking: len(truth.questions.ids) for asking, truth in truths.items()},
        recall_wanted=index.recall,
        nprobe=tuned.nprobe,
        bytes=0,
        sha256="",
    )
    return commit(root, index_path(set_name, number, column), built, card)


def truths_of(stored: Stored, column: Column) -> dict[Column, Truth]:
    """Return the questions of every column that can ask this one; they know no answers yet."""
    return {asking: Truth(questions) for asking, questions in _questions(stored, column).items()}


def _refuse_repeated(ids: np.ndarray, column: Column) -> None:
    found, counts = np.unique(ids, return_counts=True)
    repeated = found[counts > 1]
    if len(repeated):
        raise StorageError(
            f"key {repeated[0]} has {counts.max()} vectors in {column} ({len(repeated)} keys have more than "
            "one); a shard was listed twice or copied, take one of them away"
        )


def _questions(stored: Stored, column: Column) -> dict[Column, Questions]:
    """Draw questions from every column whose vectors lie in the same space."""
    drawn: dict[Column, Questions] = {}
    for asking in COLUMNS:
        if family_of(asking) == family_of(column):
            ids, vectors_ND = _sample(stored, asking, _QUESTIONS)
            if len(ids):
                drawn[asking] = Questions(ids, vectors_ND, own=asking == column)
    return drawn


def _sample(stored: Stored, column: Column, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys and vectors of rows drawn with a fixed seed, in the order they are stored in."""
    rows = len(stored.keys(column)[1])
    chosen = np.zeros(rows, dtype=bool)
    chosen[np.random.default_rng(_SEED).choice(rows, min(count, rows), replace=False)] = True
    ids = [np.empty(0, dtype=np.int64)]
    vectors: list[np.ndarray] = []
    seen = 0
    for keys, vectors_ND in stored.vectors(column):
        here = chosen[seen : seen + len(keys)]
        ids.append(keys[here])
        vectors.append(vectors_ND[here])
        seen += len(keys)
    return np.concatenate(ids), np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32)


def _filled(stored: Stored, column: Column, setting: Setting, dims: int, truths: dict[Column, Truth]) -> Any:
    """Train an index and stream the shards into it; the questions see the same stream."""
    import faiss

    factory = setting.factory if setting.lists else f"IDMap2,{setting.factory}"
    built = faiss.index_factory(dims, factory, faiss.METRIC_INNER_PRODUCT)
    if setting.training_rows:
        built.train(_sample(stored, column, setting.training_rows)[1])
    for keys, vectors_ND in stored.vectors(column):
        built.add_with_ids(vectors_ND, keys)
        for truth in truths.values():
            truth.see(keys, vectors_ND)
    return built


@dataclass(frozen=True, slots=True)
class Tuned:
    """How an index is searched, and how well that finds what is there.

    Attributes:
        recall_at: column of the questions -> k -> share of the true top k that is found.
        nprobe: inverted lists searched a query; None where there are none.
    """

    recall_at: dict[Column, dict[int, float]]
    nprobe: int | None


def tune(  # noqa: PLR0913, PLR0917 - a search and its answers
    built: Any,
    lists: int,
    truths: Mapping[Column, Truth],
    wanted: float,
    nprobe: int = _NPROBE,
    removed: np.ndarray = _NONE,
) -> Tuned:
    """Return how many lists of an index are to be searched: doubled until the recall is enough.

    Args:
        built: the index.
        lists: that it has; 0 if it has none.
        truths: the questions and their true answers.
        wanted: recall@10 of the questions that do worst.
        nprobe: where to begin.
        removed: keys in the index that are gone, int64.
    """
    searched = min(nprobe, lists) if lists else None
    while True:
        neighbours = Neighbours(built, searched, removed)
        recall_at = {asking: truth.recall(neighbours) for asking, truth in truths.items()}
        if searched is None or searched == lists or worst(recall_at.values()) >= wanted:
            return Tuned(recall_at, searched)
        searched = min(2 * searched, lists)


def commit(root: Root, path: str, built: Any, card: IndexCard) -> IndexCard:
    """Write an index, then its card, which says how large it is."""
    import faiss

    with root.writing(f"{path}.faiss") as scratch:
        faiss.write_index(built, str(scratch))
        with scratch.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = scratch.stat().st_size
    whole = card.model_copy(update={"bytes": size, "sha256": sha256})
    root.write_json(f"{path}.json", whole.model_dump(mode="json"))
    return whole
