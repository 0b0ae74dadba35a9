"""vectors/SET/*.parquet -> indices/SET/NNNN/COLUMN.faiss and its card."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.compute import cpu
from pipelines.errors import ConfigError, StorageError
from pipelines.index.factory import FactoryChoice, choose_factory
from pipelines.index.files import commit_index, make_index_path
from pipelines.index.neighbours import Neighbours
from pipelines.index.parts import fill_index
from pipelines.index.recall import ExactNeighbours, QuerySample, find_worst
from pipelines.index.train import measure_imbalance, train_index
from pipelines.store.atomic import TEMPORARY
from pipelines.store.counts import as_integers
from pipelines.store.library_files import get_local_path
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from pipelines.store.vectors import VectorReader
from schemas.dataset import Index
from schemas.families import Column
from schemas.index_card import IndexCard, SearchTrial

# Queries drawn from each column. The error of recall@10 is then about 0.01. Comparing them with all vectors
# takes an eighth of the time that adding the vectors to 2,048 lists takes.
_QUERIES = 128

# The fewest inverted lists searched.
_MIN_NPROBE = 4

# A difference in recall@10 that does not count: a tenth of the error above.
_RECALL_TOLERANCE = 0.001
_NO_KEYS = np.empty(0, dtype=np.int64)

_SEED = 0


def build_index(  # noqa: PLR0913, PLR0917 - what a version is made of
    root: Root,
    set_name: str,
    column: Column,
    shards: Sequence[Shard],
    tombstones: pa.Table,
    config: Index,
    number: int,
) -> IndexCard:
    """Build the index of a column over committed shards, and commit it and then its card.

    `falls_short` on the card says that the recall that `config` wants was not reached. The rows whose keys
    are in `tombstones` are left out.

    Raises:
        ConfigError: the column has no vectors, or the memory is too small for any kind of index.
        StorageError: a key has two vectors.
        SpaceError: shards are in different spaces.
    """
    started = time.monotonic()
    reader = VectorReader(root, set_name, shards, as_integers(tombstones["key"]))
    space, keys = reader.read_keys(column)
    if space is None or not len(keys):
        raise ConfigError(
            f"column {column} of set {set_name!r} in {root.url} has no vectors, so no index can be built; "
            "check its outcomes with `echolens status`"
        )
    _refuse_repeated(keys, column)
    choice = choose_factory(len(keys), space.dims, config.memory)
    path = make_index_path(set_name, number, column)
    with ExitStack() as folders, use_all_cores():
        truths = draw_queries(reader, column)
        empty = _train(reader, column, choice, space.dims, truths)
        make_scratch = partial(_make_scratch, root, folders)
        index = fill_index(empty, update_truths(reader.read_blocks(column), truths), len(keys), make_scratch)
        tuned = tune_nprobe(index, choice.lists, truths, config.recall)
        card = IndexCard(
            column=column,
            space=space,
            factory=choice.factory,
            rows=len(keys),
            build_s=round(time.monotonic() - started, 3),
            **tuned.as_card_fields(truths),
            recall_wanted=config.recall,
            trained_nprobe=tuned.nprobe,
            trained_imbalance=measure_imbalance(index),
            bytes=0,
            sha256="",
        )
        return commit_index(root, path, index, card)


def _train(
    reader: VectorReader,
    column: Column,
    choice: FactoryChoice,
    dims: int,
    truths: Mapping[Column, ExactNeighbours],
) -> Any:
    """Return an empty index trained on a sample that excludes all queries."""
    if not choice.training_rows:
        return train_index(np.empty((0, dims), dtype=np.float32), choice, dims)
    held_out = np.concatenate([truth.queries.ids for truth in truths.values()])
    return train_index(reader.sample(column, choice.training_rows, held_out, _SEED)[1], choice, dims)


def _make_scratch(root: Root, folders: ExitStack) -> Path:
    """Make a folder that goes with the stack: beside a local dataset, where there is room for an index."""
    folder = TemporaryDirectory(prefix=TEMPORARY, dir=get_local_path(root) if root.is_local else None)
    return Path(folders.enter_context(folder))


@contextmanager
def use_all_cores() -> Iterator[None]:
    """Let FAISS use all cores of this process; Ray limits the libraries of a task to one."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(cpu.count_cpus())
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def draw_queries(reader: VectorReader, column: Column) -> dict[Column, ExactNeighbours]:
    """Draw queries from every column that can ask this one; `update_truths` finds their neighbours."""
    return {asking: ExactNeighbours(queries) for asking, queries in _sample_queries(reader, column).items()}


def update_truths(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]], truths: Mapping[Column, ExactNeighbours]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the blocks of keys and vectors unchanged, each after the queries were compared with it."""
    for keys, vectors_ND in blocks:
        for truth in truths.values():
            truth.update(keys, vectors_ND)
        yield keys, vectors_ND


def _refuse_repeated(keys: np.ndarray, column: Column) -> None:
    unique, counts = np.unique(keys, return_counts=True)
    repeated = unique[counts > 1]
    if len(repeated):
        raise StorageError(
            f"key {repeated[0]} has {counts.max()} vectors in {column} ({len(repeated)} keys have more than "
            "one); a shard was listed twice or copied, take one of them away"
        )


def _sample_queries(reader: VectorReader, column: Column) -> dict[Column, QuerySample]:
    """Draw queries from every column whose vectors can be compared with this one's."""
    drawn: dict[Column, QuerySample] = {}
    spaces = reader.read_spaces()
    for asking, space in spaces.items():
        if space.is_comparable(spaces[column]):
            ids, vectors_ND = reader.sample(asking, _QUERIES, _NO_KEYS, _SEED)
            if len(ids):
                drawn[asking] = QuerySample(ids, vectors_ND, own=asking == column)
    return drawn


@dataclass(frozen=True, slots=True)
class TunedSearch:
    """The number of lists to search, and the recall that this gives.

    Attributes:
        recall_at: column of the queries -> k -> share of the true top k that is found.
        nprobe: inverted lists searched for each query; None where there are none.
        tried: the settings before it, whose recall was too low.
    """

    recall_at: dict[Column, dict[int, float]]
    nprobe: int | None
    tried: tuple[SearchTrial, ...]

    @property
    def recall(self) -> float:
        """Recall@10 of the column of queries that does worst."""
        return find_worst(self.recall_at.values())

    def as_card_fields(self, truths: Mapping[Column, ExactNeighbours]) -> dict[str, Any]:
        """Return the fields of an `IndexCard` that describe the search."""
        return {
            "recall_at": self.recall_at,
            "recall_queries": {asking: len(truth.queries.ids) for asking, truth in truths.items()},
            "nprobe": self.nprobe,
            "tried": self.tried,
        }


def tune_nprobe(  # noqa: PLR0913, PLR0917 - a search and its answers
    index: Any,
    lists: int,
    truths: Mapping[Column, ExactNeighbours],
    target: float,
    nprobe: int = _MIN_NPROBE,
    removed: np.ndarray = _NO_KEYS,
) -> TunedSearch:
    """Choose how many lists of an index are searched: doubled until the recall reaches the target.

    If it never does, the smallest number whose recall equals the best one.

    Args:
        index: of FAISS.
        lists: inverted lists of the index; 0 if it has none.
        truths: the queries and their true neighbours.
        target: recall@10 of the column of queries that does worst.
        nprobe: where to begin.
        removed: keys in the index that are gone, int64.
    """
    searched = min(nprobe, lists) if lists else None
    trials: list[TunedSearch] = []
    while True:
        neighbours = Neighbours(index, searched, removed)
        recall_at = {asking: truth.measure_recall(neighbours) for asking, truth in truths.items()}
        tried = tuple(SearchTrial(nprobe=trial.nprobe, recall=round(trial.recall, 4)) for trial in trials)
        trials.append(TunedSearch(recall_at, searched, tried))
        if searched is None or trials[-1].recall >= target:
            return trials[-1]
        if searched == lists:
            # What more lists do not add is lost to the index's compression: they would only take time.
            best = max(trial.recall for trial in trials)
            enough = next(trial for trial in trials if trial.recall >= best - _RECALL_TOLERANCE)
            return replace(enough, tried=tried)
        searched = min(2 * searched, lists)
