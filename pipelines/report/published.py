"""A published version: what the parts of a report are read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import pyarrow as pa

from pipelines import versions
from pipelines.pin import spaces_of
from pipelines.shards import Shard
from pipelines.storage import Root
from schemas.candidate import KINDS, Kind
from schemas.space import Space
from schemas.vectors import COLUMNS, Column, family_of
from schemas.version import Version


@dataclass(frozen=True)
class Published:
    """The current version of a dataset.

    Attributes:
        root: where it lies.
        shard_rows: of the dataset.
        version: the manifest.
        shards: that it names, in the order of their numbers.
        tombstones: keys that no reader may see (TOMBSTONE).
        spaces: of every column that its set of vectors can have.
    """

    root: Root
    shard_rows: int
    version: Version
    shards: list[Shard]
    tombstones: pa.Table
    spaces: dict[Column, Space]

    @classmethod
    def read(cls, root: Root, shard_rows: int) -> Self:
        """Return the current version of a root.

        Raises:
            StorageError: there is none yet.
        """
        version = versions.read(root)
        families = spaces_of(root, version.set)
        return cls(
            root=root,
            shard_rows=shard_rows,
            version=version,
            shards=_shards(root, version),
            tombstones=versions.tombstones(root, version.number),
            spaces={
                column: families[family_of(column)] for column in COLUMNS if family_of(column) in families
            },
        )

    @property
    def place(self) -> str:
        """The last part of where it lies; a page may be shared, and the rest is nobody's business."""
        return self.root.url.partition("?")[0].rstrip("/").rpartition("/")[2].rpartition("@")[2]


def _shards(root: Root, version: Version) -> list[Shard]:
    columns = ["shard", "kind", "lane", "rows"]
    table = root.read_table(f"versions/{version.number:04d}.parquet", columns=columns)
    kinds: dict[str, Kind] = {kind: kind for kind in KINDS}
    lines = table.group_by(columns).aggregate([]).sort_by("shard").to_pylist()
    return [Shard(line["shard"], kinds[line["kind"]], line["lane"], line["rows"]) for line in lines]
