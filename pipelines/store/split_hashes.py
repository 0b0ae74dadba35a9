"""media/NNNNN.tar -> splits/NNNNN.parquet: perceptual hashes of a shard's media, once for all trainings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.compute import cpu
from pipelines.errors import StorageError
from pipelines.stage import Batch, Stage, Work, count_rows
from pipelines.store.fingerprints import hash_picture, hash_sound
from pipelines.store.root import Root
from pipelines.store.shards import Shard, read_media, with_tables
from schemas.candidate import Kind
from schemas.split_hashes import RULE, SPLIT_HASHES

FOLDER = "splits"
# Members that are hashed: the picture, and the sound.
_MEMBERS: dict[Kind, tuple[str | None, str | None]] = {
    "image": ("jpg", None),
    "clip": ("0.jpg", "flac"),
    "text": (None, None),
}
_HASHES = tuple(name for name in SPLIT_HASHES.names if name != "key")
_BATCH_ROWS = 64


@dataclass(frozen=True)
class HashStage:
    """Hashes the media of rows; a row whose media say nothing, such as a black picture, gets none.

    Attributes:
        kind: of the rows.
    """

    kind: Kind
    name: str = "hash"

    @property
    def reads(self) -> frozenset[str]:
        """The media."""
        return frozenset(filter(None, _MEMBERS[self.kind]))

    @property
    def adds(self) -> frozenset[str]:
        """The hashes."""
        return frozenset(_HASHES)

    def open(self) -> Work:
        """Return the work, which decodes on all cores of its worker."""
        picture, sound = _MEMBERS[self.kind]

        def work(batch: Batch) -> Batch:
            hashes: Batch = {column: [None] * count_rows(batch) for column in _HASHES}
            with ThreadPoolExecutor(cpu.count_cpus()) as pool:
                if picture is not None:
                    both = pool.map(hash_picture, batch[picture])
                    hashes["picture"], hashes["middle"] = map(list, zip(*both, strict=True))
                if sound is not None:
                    hashes["sound"] = list(pool.map(hash_sound, batch[sound]))
            return batch | hashes

        return work


@dataclass(frozen=True)
class HashStep:
    """Hashes the stored media of a dataset, shard by shard.

    Attributes:
        root: of the dataset.
    """

    root: Root
    name: str = field(default="hash", init=False)

    def get_marker(self, shard: Shard) -> str:
        """Return the name of a shard's table."""
        return f"{FOLDER}/{shard.name}.parquet"

    def find_committed(self, shards: Collection[int]) -> frozenset[int]:
        """Return which of these shards are hashed."""
        return with_tables(self.root, FOLDER, shards)

    def is_done(self, shard: Shard) -> bool:
        """Return whether a shard is hashed, by the rule of today."""
        return read_hashes(self.root, shard) is not None

    def make_stages(self, shard: Shard) -> Sequence[Stage]:
        """Return the one stage."""
        return (HashStage(shard.kind),)

    def read(self, shard: Shard) -> Iterator[Batch]:
        """Yield the media of a shard.

        Raises:
            StorageError: the shard is damaged.
        """
        return read_media(self.root, shard, _BATCH_ROWS)

    def commit(self, shard: Shard, batches: Iterable[Batch], started: float) -> None:  # noqa: ARG002
        """Write the table."""
        tables = [
            pa.Table.from_pydict({name: batch[name] for name in SPLIT_HASHES.names}, SPLIT_HASHES)
            for batch in batches
        ]
        table = pa.concat_tables([SPLIT_HASHES.empty_table(), *tables])
        self.root.write_table(self.get_marker(shard), table)

    def count_outcomes(self, shard: Shard) -> Counter[str]:
        """Return how many rows of a shard have a hash."""
        table = read_hashes(self.root, shard)
        return Counter() if table is None else Counter(ok=table.num_rows)


def find_unhashed(root: Root, shards: Iterable[Shard]) -> list[Shard]:
    """Return the shards whose media are stored and not yet hashed, by the rule of today."""
    stored, hashed = frozenset(root.list_names("media")), frozenset(root.list_names(FOLDER))
    return [
        shard
        for shard in shards
        if any(_MEMBERS[shard.kind])
        and f"{shard.name}.tar" in stored
        and (f"{shard.name}.parquet" not in hashed or read_hashes(root, shard) is None)
    ]


def hash_shards(root: Root, shards: Iterable[Shard]) -> None:
    """Hash the shards that are not hashed yet, in this process.

    Raises:
        StorageError: the media of a shard are damaged.
    """
    step = HashStep(root)
    for shard in find_unhashed(root, shards):
        work = step.make_stages(shard)[0].open()
        step.commit(shard, map(work, step.read(shard)), 0.0)


def read_hashes(root: Root, shard: Shard) -> pa.Table | None:
    """Return the hashes of a shard; None if it has none, those of another rule, or no table of them."""
    name = f"{FOLDER}/{shard.name}.parquet"
    if not root.exists(name):
        return None
    try:
        table = root.read_table(name)
    except StorageError:
        return None  # damaged: it is written again
    is_rule = (table.schema.metadata or {}).get(b"rule") == RULE.encode()
    return table if is_rule and table.schema.equals(SPLIT_HASHES) and _is_whole(table) else None


def _is_whole(table: pa.Table) -> bool:
    """Return whether keys and hashes are that: a root may come from anybody."""
    patterns = {"key": r"^[0-9]{1,18}$", **dict.fromkeys(_HASHES, r"^[0-9a-f]{32}$")}
    found = (pc.all(pc.match_substring_regex(table[name], pattern)) for name, pattern in patterns.items())
    # Null is of a column without any value.
    return all(each.as_py() is not False for each in found)
