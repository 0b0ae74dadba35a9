"""The two steps of a build: candidates to committed media, committed media to committed vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.compute import timing
from pipelines.stage import Batch, Stage, check_chain
from pipelines.store import img2dataset_shards
from pipelines.store.counts import count_outcomes
from pipelines.store.root import Root
from pipelines.store.shards import (
    CANDIDATE_COLUMNS,
    Shard,
    commit_media,
    commit_vectors,
    get_media_marker,
    get_vectors_marker,
    make_media_columns,
    read_candidates,
    read_media,
    read_rows,
    read_stats,
    read_texts,
    with_tables,
)
from pipelines.store.windows import write_windows
from schemas.candidate import Kind
from schemas.families import Column
from schemas.segment import WHOLE, Segment
from schemas.space import Space

Chains = Mapping[Kind, Sequence[Stage]]


@dataclass(frozen=True)
class MediaStep:
    """candidates/NNNNN.parquet -> media/NNNNN.{tar,parquet} and its marker. A shard is one batch."""

    root: Root
    shard_rows: int
    chains: Chains
    name: str = "fetch"

    def __post_init__(self) -> None:
        for chain in self.chains.values():
            check_chain(chain, CANDIDATE_COLUMNS)

    def find_committed(self, shards: Collection[int]) -> frozenset[int]:
        """Return which of these shards have committed media; those of img2dataset are still to be converted.

        The table of each is opened, to see who wrote it, so pass only shards without vectors.
        """
        marked = (int(name[:-11]) for name in self.root.list_names("media", "_stats.json"))
        return img2dataset_shards.drop_foreign(self.root, frozenset(shards).intersection(marked))

    def is_done(self, shard: Shard) -> bool:
        """Return whether the media of a shard are committed, and not by img2dataset."""
        return self.root.exists(get_media_marker(shard)) and not img2dataset_shards.is_foreign(
            self.root, shard.number
        )

    def make_stages(self, shard: Shard) -> Sequence[Stage]:
        """Return the chain for a shard's kind."""
        return self.chains[shard.kind]

    def read(self, shard: Shard) -> Iterator[Batch]:
        """Yield all candidates of the shard at once: rows that name one URL are fetched once."""
        batch = read_candidates(self.root, shard, self.shard_rows)
        if shard.kind == "image" and self.root.exists(get_media_marker(shard)):
            urls = img2dataset_shards.read_pictures(self.root, shard.number)
            batch["stored_url"] = [urls.get(key) for key in batch["key"]]
        yield batch

    def commit(self, shard: Shard, batches: Iterable[Batch], started: float) -> None:
        """Write tar and table, then the marker."""
        for batch in batches:
            with timing.measure_time("write"):
                commit_media(self.root, shard, batch, started)

    def count_outcomes(self, shard: Shard) -> Counter[str]:
        """Return the outcomes of a committed shard."""
        return read_media_outcomes(self.root, shard)


@dataclass(frozen=True)
class VectorStep:
    """media/NNNNN.tar (texts: candidates) -> vectors/SET/NNNNN.{tar,parquet}, streamed batch by batch.

    With `windowed`, a column of sounds, clips have NNNNN.windows.parquet, too.
    """

    root: Root
    shard_rows: int
    chains: Chains
    set_name: str
    spaces: Mapping[Column, Space]
    batch_rows: int
    segment: Segment = WHOLE
    windowed: Column | None = None
    name: str = "encode"

    def __post_init__(self) -> None:
        for kind, chain in self.chains.items():
            check_chain(chain, CANDIDATE_COLUMNS if kind == "text" else make_media_columns(kind))

    def find_committed(self, shards: Collection[int]) -> frozenset[int]:
        """Return which of these shards have committed vectors."""
        return with_tables(self.root, f"vectors/{self.set_name}", shards)

    def is_done(self, shard: Shard) -> bool:
        """Return whether the vectors of a shard are committed."""
        return self.root.exists(get_vectors_marker(self.set_name, shard))

    def make_stages(self, shard: Shard) -> Sequence[Stage]:
        """Return the chain for a shard's kind."""
        return self.chains[shard.kind]

    def read(self, shard: Shard) -> Iterator[Batch]:
        """Yield the shard's samples from its tar, or a text shard's candidates."""
        if shard.kind == "text":
            return _time_reads(read_texts(self.root, shard, self.shard_rows, self.batch_rows))
        if not self.spaces:
            return _time_reads(read_rows(self.root, shard))
        return _time_reads(read_media(self.root, shard, self.batch_rows))

    def commit(self, shard: Shard, batches: Iterable[Batch], started: float) -> None:  # noqa: ARG002
        """Write windows, tar and table; the table is the marker."""
        encoded = list(batches)
        with timing.measure_time("write"):
            if self.windowed and shard.kind == "clip":
                space = self.spaces[self.windowed]
                write_windows(self.root, self.set_name, shard, self.windowed, space, encoded)
            commit_vectors(self.root, self.set_name, shard, self.spaces, encoded, self.segment)

    def count_outcomes(self, shard: Shard) -> Counter[str]:
        """Return the outcomes of a committed shard: of its media, and for media that were ok, of encoding."""
        table = self.root.read_table(get_vectors_marker(self.set_name, shard), columns=["outcome", "reason"])
        found = count_outcomes(table)
        if shard.kind != "text":
            before = read_media_outcomes(self.root, shard)
            del before["ok"]
            found += before
        return found


def _time_reads(batches: Iterator[Batch]) -> Iterator[Batch]:
    while True:
        with timing.measure_time("read"):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def read_media_outcomes(root: Root, shard: Shard) -> Counter[str]:
    """Return the outcomes of a shard's media by `outcome/reason`, from its marker."""
    statuses = Counter(read_stats(root, shard).status_dict)
    if "success" in statuses:
        statuses["ok"] = statuses.pop("success")
    return statuses
