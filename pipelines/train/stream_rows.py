"""Which rows a media stream reads, and in which order: computed from tables, without opening a tar.

All usable rows of a version, in the order of their keys, are cut into lanes of equal length (but for one
row). So a lane has the rows of some neighbouring shards, and perhaps parts of the first and the last of them;
a single shard is cut into lanes as well as a thousand. The part of a shard that a lane has is a piece.

A lane is read without end. One pass over its rows is an epoch of the lane: it takes the pieces in an order
drawn for the epoch, and the rows of a piece in the order of the tar. This sequence is cut into blocks; the
rows of a block are held in memory and given in an order drawn for the block (a block shuffle). So every row
is given exactly once an epoch, and the row at any position follows from the seed alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from pipelines.errors import ConfigError, StorageError
from pipelines.store import versions
from pipelines.store.counts import as_integers
from pipelines.store.root import Root
from pipelines.store.shards import Shard, get_vectors_marker
from schemas.sample import MEMBERS
from schemas.version import Version

# Tables that are read at once: on an object store each is some requests.
_THREADS = 16


@dataclass(frozen=True)
class Piece:
    """The rows of a shard that a lane has.

    Attributes:
        shard: that they lie in.
        keys_N: int64, ascending.
        row_bytes: mean size of a sample in the shard's tar, with the members that are not read.
    """

    shard: Shard
    keys_N: np.ndarray
    row_bytes: int


@dataclass(frozen=True)
class RowRange:
    """Neighbouring rows of a piece: those from `start` to before `stop`."""

    piece: int
    start: int
    stop: int


@dataclass(frozen=True)
class Block:
    """Rows that are shuffled together.

    Attributes:
        epoch: of the lane, from 0.
        first: position of the block's first row in the epoch.
        ranges: its rows in the order in which they are read.
        order_N: position in the block -> which of the rows read is given there.
    """

    epoch: int
    first: int
    ranges: tuple[RowRange, ...]
    order_N: np.ndarray


@dataclass(frozen=True)
class LaneRows:
    """The rows of one lane, and their order.

    Attributes:
        number: of the lane.
        pieces: ascending.
        block_rows: rows that are shuffled together.
        shift: the first block of an epoch is so many rows shorter. Every lane has another shift, or all lanes
            would fill a block at the same step.
        seed: of the order.
    """

    number: int
    pieces: Sequence[Piece]
    block_rows: int
    shift: int
    seed: int

    @property
    def count(self) -> int:
        """The number of rows."""
        return sum(len(piece.keys_N) for piece in self.pieces)

    def find_block(self, position: int) -> Block:
        """Return the block that holds a position of the endless sequence."""
        count = self.count
        epoch, offset = divmod(position, count)
        number = (offset + self.shift) // self.block_rows
        first = max(0, number * self.block_rows - self.shift)
        last = min(count, (number + 1) * self.block_rows - self.shift)
        # A trailing 0 would not change the seed: these numbers begin at 1.
        rng = np.random.default_rng((self.seed, self.number, epoch, number + 1))
        ranges = tuple(self._cut_ranges(epoch, first, last))
        return Block(epoch, first, ranges, rng.permutation(last - first))

    def _cut_ranges(self, epoch: int, first: int, last: int) -> list[RowRange]:
        order = np.random.default_rng((self.seed, self.number, epoch)).permutation(len(self.pieces))
        ranges, begin = [], 0
        for piece in order.tolist():
            rows = len(self.pieces[piece].keys_N)
            start, stop = max(0, first - begin), min(rows, last - begin)
            if start < stop:
                ranges.append(RowRange(piece, start, stop))
            begin += rows
        return ranges


def read_usable_rows(
    root: Root, version: Version, members: Sequence[str], keys: np.ndarray | None
) -> list[Piece]:
    """Return the rows of a version whose media can be read, one piece a shard, ascending.

    Args:
        root: of the dataset.
        version: of it. Rows that it does not show are left out.
        members: that every row must have.
        keys: int64; rows of other keys are left out. If None, those that could not be encoded are left out:
            most often, their media cannot be decoded.

    Raises:
        ConfigError: no kind of rows has these members.
        StorageError: a shard has no table.
    """
    kinds = [kind for kind, names in MEMBERS.items() if members and set(members) <= set(names)]
    if not kinds:
        known = "; ".join(f"{kind}: {' '.join(names)}" for kind, names in MEMBERS.items())
        raise ConfigError(
            f"no kind of rows has the members {' and '.join(members) or 'none'}; name members of one kind "
            f"({known})"
        )
    shards = [shard for shard in versions.read_shards(root, version) if shard.kind in kinds]
    set_name = version.set if keys is None else None
    with ThreadPoolExecutor(_THREADS) as threads:
        found = list(threads.map(lambda shard: _read_keys(root, shard, set_name), shards))
    keys_N = np.concatenate([np.empty(0, np.int64), *found])
    usable_N = np.ones(len(keys_N), dtype=bool)
    if keys is not None:
        usable_N &= np.isin(keys_N, keys)
    usable_N &= ~np.isin(keys_N, as_integers(versions.read_removed(root, version.number)["key"]))
    sizes, pieces, begin = _read_sizes(root, version), [], 0
    for shard, own in zip(shards, found, strict=True):
        if (usable := usable_N[begin : begin + len(own)]).any():
            size = sizes.get(f"media/{shard.name}.tar", 0)
            pieces.append(Piece(shard, own[usable], max(1, size // len(own))))
        begin += len(own)
    return pieces


def _read_keys(root: Root, shard: Shard, set_name: str | None) -> np.ndarray:
    """Return the keys of the samples in a shard's tar, int64 [N]; of those that a set encoded, if given."""
    keys = _read_ok_keys(root, f"media/{shard.name}.parquet")
    if set_name is None:
        return keys
    return keys[np.isin(keys, _read_ok_keys(root, get_vectors_marker(set_name, shard)))]


def _read_ok_keys(root: Root, name: str) -> np.ndarray:
    try:
        table = root.read_table(name, columns=["key", "outcome"])
    except FileNotFoundError as error:
        raise StorageError(
            f"{root.url} has no {name}; run `echolens build` on it to its end first"
        ) from error
    return as_integers(table.filter(pc.equal(table["outcome"], "ok"))["key"])


def _read_sizes(root: Root, version: Version) -> dict[str, int]:
    """Return path -> bytes of the files of a version's shards."""
    table = root.read_table(f"versions/{version.number:04d}.parquet", columns=["path", "bytes"])
    return dict(zip(table["path"].to_pylist(), table["bytes"].to_pylist(), strict=True))


def cut_lanes(pieces: Sequence[Piece], lanes: int, block_rows: int, seed: int) -> list[LaneRows]:
    """Cut the usable rows into lanes whose lengths differ by one row at most.

    Args:
        pieces: one a shard, ascending.
        lanes: their number; at most that of the rows.
        block_rows: rows that a lane shuffles together.
        seed: of the order.
    """
    ends = np.cumsum([len(piece.keys_N) for piece in pieces])
    count = int(ends[-1]) if len(ends) else 0
    cut = []
    for lane in range(lanes):
        first, last = count * lane // lanes, count * (lane + 1) // lanes
        own = []
        for piece, end in zip(pieces, ends.tolist(), strict=True):
            begin = end - len(piece.keys_N)
            if (keys := piece.keys_N[max(0, first - begin) : max(0, last - begin)]).size:
                own.append(Piece(piece.shard, keys, piece.row_bytes))
        cut.append(LaneRows(lane, own, block_rows, block_rows * lane // lanes, seed))
    return cut
