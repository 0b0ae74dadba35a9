"""The files of a version, with sizes and hashes; known files of earlier versions are not hashed again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pipelines.store.counts import list_shard_files
from pipelines.store.dataset_file import has_windows
from pipelines.store.root import Root
from pipelines.store.shards import Shard, read_stats
from schemas.version import VERSION_SHARD, FileEntry


def make_entry(root: Root, path: str) -> FileEntry:
    """Return the entry of a file, with its size and sha256."""
    return FileEntry(path=path, bytes=root.get_size(path), sha256=root.compute_sha256(path))


def read_tried(root: Root, shard: Shard) -> datetime:
    """Return when the media of a committed shard were fetched; now for a text shard."""
    end_s = datetime.now(UTC).timestamp()
    if shard.kind != "text":
        end_s = read_stats(root, shard).end_time
    return datetime.fromtimestamp(int(end_s), UTC)


class ManifestBuilder:
    """Builds the shard table of a version.

    Args:
        root: of the dataset.
        set_name: of the vectors.
        earlier: numbers of versions whose entries are reused; later ones take precedence.
        rewritten: shards whose earlier entries are not reused.
    """

    def __init__(
        self, root: Root, set_name: str, earlier: Sequence[int] = (), rewritten: Collection[int] = ()
    ) -> None:
        self._root = root
        self._set_name = set_name
        self._has_windows = has_windows(root, set_name)
        self._known: dict[str, dict[str, Any]] = {}
        for number in earlier:
            for line in root.read_table(
                f"versions/{number:04d}.parquet", columns=VERSION_SHARD.names
            ).to_pylist():
                if line["shard"] not in rewritten:
                    self._known[line["path"]] = line

    def build_table(self, shards: Sequence[Shard]) -> pa.Table:
        """Return one row per file of each shard (VERSION_SHARD)."""
        rows = []
        for shard in shards:
            paths = list_shard_files(self._set_name, shard, self._has_windows)
            known = self._known.get(paths[0])
            columns = {
                "shard": shard.number,
                "kind": shard.kind,
                "lane": shard.lane,
                "rows": shard.rows,
                "tried": known["tried"] if known else read_tried(self._root, shard),
            }
            for path in paths:
                line = self._known.get(path)
                rows.append(
                    columns | (_select_entry(line) if line else make_entry(self._root, path).model_dump())
                )
        return pa.Table.from_pylist(rows, schema=VERSION_SHARD)


def _select_entry(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in ("path", "bytes", "sha256")}
