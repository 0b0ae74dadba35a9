"""The outputs of ways, as judges and pages read them: real media, items of the gallery, captions, samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipelines.evaluate.evaluation_set import MediaSource, Part
from pipelines.generate.output import read_samples
from pipelines.generate.prompts import PromptTables
from pipelines.generate.step import get_folder
from pipelines.store.root import Root
from schemas.candidate import format_key, parse_key
from schemas.media import Medium


class MediaOutput(Protocol):
    """The files of a way, one a scored row. Picklable."""

    def read_files(self, rows: range) -> list[bytes | None]:
        """Return the files of some rows; None where a row has none."""
        ...


@dataclass(frozen=True)
class SetOutput:
    """Media of the set: those of the rows themselves, or of rows of the gallery.

    Attributes:
        media: of the set.
        part: of it.
        medium: of the files.
        picked: the row of the part for each scored row; the same row if None.
    """

    media: MediaSource
    part: Part
    medium: Medium
    picked: tuple[int, ...] | None = None

    def read_files(self, rows: range) -> list[bytes | None]:
        """Read them from the set."""
        numbers = list(rows) if self.picked is None else [self.picked[row] for row in rows]
        return list(self.media.read_media(self.part, self.medium, numbers))


@dataclass(frozen=True)
class NoOutput:
    """Nothing: the true media of rows that have none."""

    def read_files(self, rows: range) -> list[bytes | None]:
        """Return no file for any row."""
        return [None for _ in rows]


@dataclass(frozen=True)
class SampleOutput:
    """Samples that were generated: row n is the n-th prompt.

    Attributes:
        root: that they lie in.
        name: of them.
        shard_samples: prompts a shard.
    """

    root: Root
    name: str
    shard_samples: int

    def read_files(self, rows: range) -> list[bytes | None]:
        """Read the shards that have some of them."""
        keys = [self._make_key(row) for row in rows]
        numbers = sorted({parse_key(key, self.shard_samples)[0] for key in keys})
        tables = PromptTables(self.root, get_folder(self.name), self.shard_samples)
        shards = {shard.number: shard for shard in tables.read_shards() or []}
        wanted, found = set(keys), dict[str, bytes]()
        for number in numbers:
            for key, data in read_samples(self.root, self.name, shards[number]):
                if key in wanted:
                    found[key] = data
        return [found.get(key) for key in keys]

    def _make_key(self, row: int) -> str:
        return format_key(row // self.shard_samples, row % self.shard_samples, self.shard_samples)


def split_rows(count: int, size: int) -> Sequence[range]:
    """Return rows in consecutive parts of a size; the last one may be smaller."""
    return [range(start, min(start + size, count)) for start in range(0, count, size)]
