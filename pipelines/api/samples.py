"""The rows of a version for a torch DataLoader: media, caption, vectors and outcome, joined by key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from pipelines.errors import ConfigError
from pipelines.store import versions
from pipelines.store.counts import as_integers
from pipelines.store.root import Root
from pipelines.store.shards import Shard, read_media, read_texts
from pipelines.store.vectors import VectorReader
from schemas.candidate import KINDS, Kind
from schemas.families import Column, has_column
from schemas.sample import FRAMES
from schemas.version import Version

Sample = dict[str, Any]
# Rows whose media are in memory at once; shuffled rows come from one such block.
_BATCH_ROWS = 256


class SampleStream(IterableDataset[Sample]):
    """The rows of a kind that arrived and that the version shows, each once.

    Shards are dealt to the ranks of `torch.distributed`, if it runs, and to the workers of the DataLoader. A
    sample has `key`, `caption`, `outcome`, `jpg` (bytes; of a clip `frames`, four of them, and `flac`), and
    each column as float16 `[D]`.

    Args:
        root: of the dataset.
        version: of the root.
        shard_rows: of the dataset.
        kind: of the rows.
        columns: whose vectors each sample has; a row that lacks one is left out.
        seed: of the order.
        shuffle: whether shards, and the rows of each block of a shard, come in random order.

    Raises:
        ConfigError: there is no such kind, or its rows have no vectors in a column.
    """

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        root: Root,
        version: Version,
        shard_rows: int,
        kind: Kind,
        columns: tuple[Column, ...] = (),
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ConfigError(f"there is no kind {str(kind)[:40]!r} of rows; name one of {', '.join(KINDS)}")
        if missing := [column for column in columns if not has_column(kind, column)]:
            raise ConfigError(f"rows of kind {kind} have no {missing[0]}; leave it out, or take another kind")
        self._root, self._set_name, self._shard_rows = root, version.set, shard_rows
        self._kind, self._columns, self._seed, self._shuffle = kind, columns, seed, shuffle
        self._shards = [shard for shard in versions.read_shards(root, version) if shard.kind == kind]
        self._removed = as_integers(versions.read_removed(root, version.number)["key"])
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Take another order: each epoch has its own.

        Args:
            epoch: from 0.
        """
        self.epoch = epoch

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples of this rank and worker.

        Raises:
            StorageError: a shard is damaged.
        """
        rng = np.random.default_rng([self._seed, self.epoch])
        order = rng.permutation(len(self._shards)) if self._shuffle else np.arange(len(self._shards))
        part, parts = _find_part()
        for number in order[part::parts].tolist():
            shard = self._shards[number]
            yield from self._read_shard(shard, np.random.default_rng([self._seed, self.epoch, shard.number]))

    def _read_shard(self, shard: Shard, rng: np.random.Generator) -> Iterator[Sample]:
        vectors = {column: self._read_vectors(shard, column) for column in self._columns}
        removed = set(self._removed.tolist())
        batches = (
            read_texts(self._root, shard, self._shard_rows, _BATCH_ROWS)
            if self._kind == "text"
            else read_media(self._root, shard, _BATCH_ROWS)
        )
        for batch in batches:
            keys = [int(key) for key in batch["key"]]
            rows = [
                row
                for row, key in enumerate(keys)
                if key not in removed and all(key in own for own in vectors.values())
            ]
            for row in rng.permutation(rows).tolist() if self._shuffle else rows:
                sample = {name: batch[name][row] for name in ("key", "caption", "outcome")}
                yield (
                    sample
                    | self._get_media(batch, row)
                    | {column: torch.from_numpy(own[keys[row]]) for column, own in vectors.items()}
                )

    def _get_media(self, batch: dict[str, list[Any]], row: int) -> Sample:
        if self._kind == "clip":
            return {"frames": [batch[frame][row] for frame in FRAMES], "flac": batch["flac"][row]}
        return {"jpg": batch["jpg"][row]} if self._kind == "image" else {}

    def _read_vectors(self, shard: Shard, column: Column) -> dict[int, np.ndarray]:
        reader = VectorReader(self._root, self._set_name, [shard], self._removed)
        return {
            int(key): vector_D.astype(np.float16)
            for keys, vectors_ND in reader.read_vectors(column)
            for key, vector_D in zip(keys, vectors_ND, strict=True)
        }


def _find_part() -> tuple[int, int]:
    """Return which part of the shards this process reads, and how many parts there are."""
    rank, ranks = 0, 1
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    info = get_worker_info()
    worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
    return rank * workers + worker, ranks * workers
