"""vectors/SET/*.parquet -> indices/SET/NNNN/COLUMN.faiss and its card."""

from __future__ import annotations

import hashlib
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
from pipelines.index.neighbours import Neighbours
from pipelines.index.parts import fill_index
from pipelines.index.recall import ExactNeighbours, QuerySample, find_worst
from pipelines.index.train import measure_imbalance, train_index
from pipelines.store.atomic import TEMPORARY
from pipelines.store.counts import as_integers
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from pipelines.store.vectors import VectorReader
from schemas.dataset import Index
from schemas.index_card import IndexCard, SearchTrial
from schemas.vectors import COLUMNS, Column, family_of

# Of each column that asks: recall@10 is then known to about 0.01. Comparing them with all vectors takes an
# eighth of the time that it takes to put these into 2,048 lists.
_QUESTIONS = 128

# Inverted lists that are searched at least.
_NPROBE = 4

# Of recall@10: a tenth of what so many questions can tell.
_NO_GAIN = 0.001
_NONE = np.empty(0, dtype=np.int64)

_SEED = 0


def make_index_path(set_name: str, number: int, column: Column) -> str:
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
    stored = VectorReader(root, set_name, shards, as_integers(tombstones["key"]))
    space, ids = stored.read_keys(column)
    if space is None or not len(ids):
        raise ConfigError(
            f"column {column} of set {set_name!r} in {root.url} has no vectors, so no index can be built; "
            "check its outcomes with `echolens status`"
        )
    _refuse_repeated(ids, column)
    setting = choose_factory(len(ids), space.dims, index.memory)
    path = make_index_path(set_name, number, column)
    with ExitStack() as folders, use_all_cores():
        truths = compute_truths(stored, column)
        empty = _trained(stored, column, setting, space.dims, truths)
        scratch = partial(_scratch, root, folders)
        built = fill_index(empty, count_seen(stored.read_blocks(column), truths), len(ids), scratch)
        tuned = tune(built, setting.lists, truths, index.recall)
        card = IndexCard(
            column=column,
            space=space,
            factory=setting.factory,
            rows=len(ids),
            build_s=round(time.monotonic() - started, 3),
            **tuned.said(truths),
            recall_wanted=index.recall,
            trained_nprobe=tuned.nprobe,
            trained_imbalance=measure_imbalance(built),
            bytes=0,
            sha256="",
        )
        return commit(root, path, built, card)


def _trained(
    stored: VectorReader,
    column: Column,
    setting: FactoryChoice,
    dims: int,
    truths: Mapping[Column, ExactNeighbours],
) -> Any:
    """Return an empty index that has seen a sample; none of the questions is in it."""
    if not setting.training_rows:
        return train_index(np.empty((0, dims), dtype=np.float32), setting, dims)
    asked = np.concatenate([truth.questions.ids for truth in truths.values()])
    return train_index(stored.sample(column, setting.training_rows, asked, _SEED)[1], setting, dims)


def _scratch(root: Root, folders: ExitStack) -> Path:
    """Return a folder that goes with the stack: beside the dataset, where there is room for an index."""
    folder = TemporaryDirectory(prefix=TEMPORARY, dir=root.get_path("") if root.is_local else None)
    return Path(folders.enter_context(folder))


@contextmanager
def use_all_cores() -> Iterator[None]:
    """Let FAISS compute with all cores that this process may use; Ray leaves a task's libraries one."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(cpu.count_cpus())
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def compute_truths(stored: VectorReader, column: Column) -> dict[Column, ExactNeighbours]:
    """Return the questions of every column that can ask this one; they know no answers yet."""
    return {asking: ExactNeighbours(questions) for asking, questions in _questions(stored, column).items()}


def count_seen(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]], truths: Mapping[Column, ExactNeighbours]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield keys and vectors on, once the questions have been compared with them."""
    for keys, vectors_ND in blocks:
        for truth in truths.values():
            truth.see(keys, vectors_ND)
        yield keys, vectors_ND


def _refuse_repeated(ids: np.ndarray, column: Column) -> None:
    found, counts = np.unique(ids, return_counts=True)
    repeated = found[counts > 1]
    if len(repeated):
        raise StorageError(
            f"key {repeated[0]} has {counts.max()} vectors in {column} ({len(repeated)} keys have more than "
            "one); a shard was listed twice or copied, take one of them away"
        )


def _questions(stored: VectorReader, column: Column) -> dict[Column, QuerySample]:
    """Draw questions from every column whose vectors lie in the same space."""
    drawn: dict[Column, QuerySample] = {}
    for asking in COLUMNS:
        if family_of(asking) == family_of(column):
            ids, vectors_ND = stored.sample(asking, _QUESTIONS, _NONE, _SEED)
            if len(ids):
                drawn[asking] = QuerySample(ids, vectors_ND, own=asking == column)
    return drawn


@dataclass(frozen=True, slots=True)
class TunedSearch:
    """How an index is searched, and how well that finds what is there.

    Attributes:
        recall_at: column of the questions -> k -> share of the true top k that is found.
        nprobe: inverted lists searched a query; None where there are none.
        tried: what was not enough.
    """

    recall_at: dict[Column, dict[int, float]]
    nprobe: int | None
    tried: tuple[SearchTrial, ...]

    @property
    def recall(self) -> float:
        """Recall@10 of the questions that do worst."""
        return find_worst(self.recall_at.values())

    def said(self, truths: Mapping[Column, ExactNeighbours]) -> dict[str, Any]:
        """Return what a card says of it."""
        asked = {asking: len(truth.questions.ids) for asking, truth in truths.items()}
        return {
            "recall_at": self.recall_at,
            "recall_queries": asked,
            "nprobe": self.nprobe,
            "tried": self.tried,
        }


def tune(  # noqa: PLR0913, PLR0917 - a search and its answers
    built: Any,
    lists: int,
    truths: Mapping[Column, ExactNeighbours],
    wanted: float,
    nprobe: int = _NPROBE,
    removed: np.ndarray = _NONE,
) -> TunedSearch:
    """Return how many lists of an index are to be searched: doubled until the recall is enough.

    If it never is, the fewest that find as much as all.

    Args:
        built: the index.
        lists: that it has; 0 if it has none.
        truths: the questions and their true answers.
        wanted: recall@10 of the questions that do worst.
        nprobe: where to begin.
        removed: keys in the index that are gone, int64.
    """
    searched = min(nprobe, lists) if lists else None
    found: list[TunedSearch] = []
    while True:
        neighbours = Neighbours(built, searched, removed)
        recall_at = {asking: truth.recall(neighbours) for asking, truth in truths.items()}
        tried = tuple(SearchTrial(nprobe=before.nprobe, recall=round(before.recall, 4)) for before in found)
        found.append(TunedSearch(recall_at, searched, tried))
        if searched is None or found[-1].recall >= wanted:
            return found[-1]
        if searched == lists:
            # What more lists do not add is lost in the kind of index: they would only take time.
            best = max(found, key=lambda one: one.recall)
            enough = next(one for one in found if one.recall >= best.recall - _NO_GAIN)
            return replace(enough, tried=tried)
        searched = min(2 * searched, lists)


def commit(root: Root, path: str, built: Any, card: IndexCard) -> IndexCard:
    """Write an index, then its card, which says how large it is."""
    import faiss

    with root.write_atomically(f"{path}.faiss") as scratch:
        faiss.write_index(built, str(scratch))
        with scratch.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = scratch.stat().st_size
    whole = card.model_copy(update={"bytes": size, "sha256": sha256})
    root.write_json(f"{path}.json", whole.model_dump(mode="json"))
    return whole
