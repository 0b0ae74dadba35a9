"""A stream of media for a task: samples of a version's tars, in batches that do not depend on the workers.

The rows lie in a fixed number of lanes (pipelines/train/stream_rows.py). The batch of a step is the lanes'
next rows, in the order of the lanes; a worker reads its share of the lanes, so the workers' parts, joined in
the order of their ranks, are the batch of a single worker. The position of a step is computed, so a stream
opens at any step, and reads at most one block a lane that was read before.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

import numpy as np

from pipelines.compute.cpu import count_cpus
from pipelines.errors import ConfigError, MediaError, StorageError
from pipelines.store import versions
from pipelines.store.media_members import iterate_members
from pipelines.store.root import Root
from pipelines.train.distributed import WorkerGroup
from pipelines.train.stream_rows import Block, LaneRows, cut_lanes, read_usable_rows

T = TypeVar("T")

# Steps that are read and decoded before they are asked for.
_AHEAD_STEPS = 2


@dataclass(frozen=True, slots=True)
class MediaSample:
    """One row of a batch, before it is decoded.

    Attributes:
        key: as an integer.
        epoch: of its lane, from 0. Seed, key and epoch seed what is drawn for the row, such as a crop.
        tar: that it lies in, below the root.
        media: name of a member -> its bytes.
    """

    key: int
    epoch: int
    tar: str
    media: dict[str, bytes]


@dataclass(frozen=True, eq=False)
class MediaStream:
    """Which rows are streamed, and in which order. Picklable; `open` reads the tables.

    Attributes:
        root: of the dataset.
        version: its number.
        members: of a sample, such as `jpg`, or `0.jpg` and `flac`. All rows are of a kind that has them all.
        batch: rows a step, over all workers.
        keys: int64, the rows to take of those that the version shows. If None, all that could be encoded.
        lanes: each gives `batch / lanes` rows a step. Another number gives other batches.
        buffer: rows that a lane shuffles together.
        buffer_bytes: of a lane. Where `buffer` samples are larger than that, fewer are shuffled together; by
            the mean size of the samples of a shard.
        seed: of the order.
    """

    root: Root
    version: int
    members: tuple[str, ...]
    batch: int
    keys: np.ndarray | None = field(default=None, repr=False)
    lanes: int = 8
    buffer: int = 256
    buffer_bytes: int = 32 * 2**20
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.lanes, self.batch, self.buffer, self.buffer_bytes) < 1 or self.batch % self.lanes:
            raise ConfigError(
                f"a batch of {self.batch} cannot be divided among {self.lanes} lanes with buffers of "
                f"{self.buffer} rows and {self.buffer_bytes} bytes; all are at least 1, and the batch is a "
                "multiple of the lanes"
            )

    def read_lanes(self) -> list[LaneRows]:
        """Return the rows of every lane.

        Raises:
            ConfigError: the version has fewer usable rows than there are lanes.
            StorageError: a table is missing or damaged.
        """
        version = versions.read_version(self.root, self.version)
        pieces = read_usable_rows(self.root, version, self.members, self.keys)
        count = sum(len(piece.keys_N) for piece in pieces)
        if count < self.lanes:
            raise ConfigError(
                f"version {self.version} of {self.root.url} has {count} usable rows with "
                f"{' and '.join(self.members)}, fewer than the {self.lanes} lanes; take more rows, "
                "or fewer lanes"
            )
        row_bytes = max(piece.row_bytes for piece in pieces)
        block_rows = max(1, min(self.buffer, self.buffer_bytes // row_bytes))
        return cut_lanes(pieces, self.lanes, block_rows, self.seed)

    def open(self, decode: Callable[[MediaSample], T], group: WorkerGroup | None = None) -> StreamReader[T]:
        """Return a reader of one worker's part of every batch.

        Args:
            decode: called for every sample, by several threads.
            group: the worker, which reads its share of the lanes; all lanes if None.

        Raises:
            ConfigError: the lanes cannot be divided among the workers, or there are fewer rows than lanes.
            StorageError: a table is missing or damaged.
        """
        group = group or WorkerGroup()
        if self.lanes % group.size:
            raise ConfigError(
                f"{self.lanes} lanes cannot be divided among {group.size} workers; "
                "take a number of workers that divides the lanes"
            )
        lanes = self.read_lanes()
        readers = [_LaneReader(self, lane) for lane in lanes[group.slice_batch(self.lanes)]]
        rows = self.batch // self.lanes
        steps_per_epoch = -(-max(lane.count for lane in lanes) // rows)
        # Reading from a disk is work for one thread; from an object store it is waiting.
        threads = 1 if self.root.is_local else len(readers)
        return StreamReader(readers, rows, steps_per_epoch, decode, threads)


class _LaneReader:
    """Reads the rows of one lane, a block at a time; used by one thread at a time."""

    def __init__(self, stream: MediaStream, rows: LaneRows) -> None:
        self.rows_read = 0
        self.stopped = threading.Event()
        self._stream, self._rows, self._count = stream, rows, rows.count
        self._block: Block | None = None
        # What was read of the block and is not yet given: position among the rows read -> sample.
        self._samples: dict[int, MediaSample] = {}
        # An open tar: epoch, piece, the next row of the piece, and the samples from there on.
        self._tar: tuple[int, int, int, Generator[dict[str, bytes], None, None]] | None = None

    def read(self, step: int, count: int) -> list[MediaSample]:
        """Return the rows of a step."""
        return [self._read_row(position) for position in range(step * count, (step + 1) * count)]

    def close(self) -> None:
        """Close the tar."""
        if self._tar:
            self._tar[3].close()
        self._tar = None

    def _read_row(self, position: int) -> MediaSample:
        epoch, offset = divmod(position, self._count)
        block = self._block
        if block is None or block.epoch != epoch or not 0 <= offset - block.first < len(block.order_N):
            block = self._fill(self._rows.find_block(position))
        row = int(block.order_N[offset - block.first])
        if row not in self._samples:  # given before: the stream was moved back
            self._fill(block)
        return self._samples.pop(row)

    def _fill(self, block: Block) -> Block:
        # Emptied first, so that a lane never holds two blocks.
        self._samples, self._block = {}, None
        for rows in block.ranges:
            piece = self._rows.pieces[rows.piece]
            if not self._tar or self._tar[:3] != (block.epoch, rows.piece, rows.start):
                self.close()
                keys = piece.keys_N[rows.start :].tolist()
                media = iterate_members(self._stream.root, piece.shard, keys, self._stream.members)
                self._tar = (block.epoch, rows.piece, rows.start, media)
            tar = f"media/{piece.shard.name}.tar"
            for key in piece.keys_N[rows.start : rows.stop].tolist():
                self._samples[len(self._samples)] = MediaSample(key, block.epoch, tar, self._read_next())
        self._block = block
        return block

    def _read_next(self) -> dict[str, bytes]:
        assert self._tar is not None
        epoch, piece, row, media = self._tar
        # Lost if the read fails: what raised an error yields nothing more.
        self._tar = None
        if self.stopped.is_set():
            raise CancelledError
        read = next(media)
        self._tar = (epoch, piece, row + 1, media)
        self.rows_read += 1
        return read


class StreamReader(Generic[T]):
    """One worker's part of every batch, read and decoded ahead by threads. `MediaStream.open` makes one.

    Attributes:
        steps_per_epoch: after so many steps every row was given. A lane that is shorter by a row, or whose
            length is no multiple of its rows a step, goes on in its next epoch: no row is left out.
    """

    def __init__(
        self,
        lanes: list[_LaneReader],
        lane_rows: int,
        steps_per_epoch: int,
        decode: Callable[[MediaSample], T],
        threads: int,
    ) -> None:
        self.steps_per_epoch = steps_per_epoch
        self._lanes, self._lane_rows, self._decode_media = lanes, lane_rows, decode
        # Steps are read one after the other, since a tar is a sequence; the lanes of a step perhaps at once.
        self._steps = ThreadPoolExecutor(1, "steps")
        self._readers = ThreadPoolExecutor(threads, "lanes")
        self._decoders = ThreadPoolExecutor(count_cpus(), "decode")
        self._ahead: deque[tuple[int, Future[list[Future[T]]]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def rows_read(self) -> int:
        """Samples that were read from tars so far, those read again among them."""
        return sum(lane.rows_read for lane in self._lanes)

    def read_batch(self, step: int) -> list[T]:
        """Return this worker's part of a step's batch, as `decode` returned it.

        Steps are asked for one after the other; any other step moves the stream, which costs a block a lane.

        Args:
            step: from 0.

        Raises:
            StorageError: a tar is missing or damaged, lacks a sample of its table, or holds a sample that
                cannot be decoded.
            CancelledError: another thread has closed the stream.
        """
        if not self._ahead or self._ahead[0][0] != step:
            self._forget_ahead()
        while len(self._ahead) <= _AHEAD_STEPS:
            following = step + len(self._ahead)
            self._ahead.append((following, self._steps.submit(self._read_step, following)))
        _, samples = self._ahead.popleft()
        try:
            return [sample.result() for sample in samples.result()]
        except BaseException:
            self._forget_ahead()
            raise

    def close(self) -> None:
        """End the threads and close the tars."""
        for lane in self._lanes:
            lane.stopped.set()
        self._forget_ahead()
        for threads in (self._steps, self._readers, self._decoders):
            threads.shutdown(cancel_futures=True)
        for lane in self._lanes:
            lane.close()

    def _forget_ahead(self) -> None:
        for _, step in self._ahead:
            if not step.cancel() and step.done() and not step.exception():
                for sample in step.result():
                    sample.cancel()
        self._ahead.clear()

    def _read_step(self, step: int) -> list[Future[T]]:
        read = self._readers.map(lambda lane: lane.read(step, self._lane_rows), self._lanes)
        return [self._decoders.submit(self._decode, sample) for samples in read for sample in samples]

    def _decode(self, sample: MediaSample) -> T:
        try:
            return self._decode_media(sample)
        except (MediaError, OSError) as error:
            raise StorageError(
                f"the sample {sample.key} in {sample.tar} cannot be decoded ({error}); look for damage with "
                "`echolens status ROOT --verify`, or leave this key out"
            ) from error
        except Exception as error:
            error.add_note(f"while decoding {' and '.join(sample.media)} of key {sample.key}")
            raise
