"""vectors/SET/*.parquet -> indices/SET/NNNN/COLUMN.faiss and its card."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
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
from schemas.version import FileEntry

# Of each column that asks: recall@10 is then known to about 0.01.
_QUESTIONS = 256

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
    truths = {asking: Truth(questions) for asking, questions in _questions(stored, column).items()}
    built = _filled(stored, column, setting, space.dims, truths)
    recall_at, nprobe = _tuned(built, setting, truths, index.recall)
    path = index_path(set_name, number, column)
    written = _commit(root, f"{path}.faiss", built)
    card = IndexCard(
        column=column,
        space=space,
        factory=setting.factory,
        rows=len(ids),
        build_s=round(time.monotonic() - started, 3),
        recall_at=recall_at,
        recall_queries={asking: len(truth.questions.ids) for asking, truth in truths.items()},
        recall_wanted=index.recall,
        nprobe=nprobe,
        bytes=written.bytes,
        sha256=written.sha256,
    )
    root.write_json(f"{path}.json", card.model_dump(mode="json"))
    return card


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


def _tuned(
    built: Any, setting: Setting, truths: dict[Column, Truth], wanted: float
) -> tuple[dict[Column, dict[int, float]], int | None]:
    """Return the recall of an index and how many lists are searched for it: doubled until it is enough."""
    nothing = np.empty(0, dtype=np.int64)
    nprobe = 4 if setting.lists else None
    while True:
        if nprobe is not None:
            nprobe = min(nprobe, setting.lists)
        neighbours = Neighbours(built, nprobe, nothing)
        recall_at = {asking: truth.recall(neighbours) for asking, truth in truths.items()}
        if nprobe is None or nprobe == setting.lists or worst(recall_at.values()) >= wanted:
            return recall_at, nprobe
        nprobe *= 2


def _commit(root: Root, path: str, built: Any) -> FileEntry:
    import faiss

    with root.writing(path) as scratch:
        faiss.write_index(built, str(scratch))
        with scratch.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return FileEntry(path=path, bytes=scratch.stat().st_size, sha256=sha256)
