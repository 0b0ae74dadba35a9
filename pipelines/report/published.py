"""A published version, as the parts of a report read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import pyarrow as pa

from pipelines.store import versions
from pipelines.store.counts import Overlay
from pipelines.store.dataset_file import read_spaces
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from schemas.families import Column
from schemas.space import Space
from schemas.version import Version


@dataclass(frozen=True)
class PublishedVersion:
    """The current version of a dataset.

    Attributes:
        root: of the dataset.
        shard_rows: of the dataset.
        version: the manifest.
        shards: of the version, by number.
        removed: keys that no reader may see, of tombstones and superseded rows: one column, `key`.
        overlay: outcomes that replace those in the tables of its shards.
        spaces: of every column that its set of vectors can have.
    """

    root: Root
    shard_rows: int
    version: Version
    shards: list[Shard]
    removed: pa.Table
    overlay: Overlay
    spaces: dict[Column, Space]

    @classmethod
    def read(cls, root: Root, shard_rows: int, set_name: str | None = None) -> Self:
        """Return the current version of a root, or of one of its sets of vectors.

        Raises:
            StorageError: there is none yet.
        """
        version = versions.read_version(root) if set_name is None else versions.read_current(root, set_name)
        return cls(
            root=root,
            shard_rows=shard_rows,
            version=version,
            shards=versions.read_shards(root, version),
            removed=versions.read_removed(root, version.number),
            overlay=versions.read_overlay(root, version.number),
            spaces=read_spaces(root, version.set),
        )

    @property
    def folder_name(self) -> str:
        """The last part of the root's URL; a page may be shared, and the rest of the path is private."""
        return self.root.url.partition("?")[0].rstrip("/").rpartition("/")[2].rpartition("@")[2]
