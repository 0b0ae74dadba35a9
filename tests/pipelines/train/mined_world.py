"""Pictures with captions, and clips with sounds: one vector a kind, and some noise."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_vectors
from pipelines.store.split_groups import SplitGroups, read_groups
from pipelines.store.splits import TEST, TRAIN
from pipelines.store.vectors import VectorReader
from schemas.candidate import CANDIDATE, format_key
from schemas.training import SplitSettings
from tests.pipelines.train.spaces import space

KINDS, DIMS, SHARD_ROWS = 8, 24, 1000
PICTURES, CLIPS = 240, 320
SPLIT = SplitSettings(validation=0.2, test=0.2)
COLUMNS = {"image": ("clip_image", "clap_text"), "clip": ("clip_image", "clap_text", "clap_audio")}


@dataclass(frozen=True)
class MinedWorld:
    """A dataset of a shard of pictures and one of clips.

    Attributes:
        vectors: of it.
        groups: of its rows.
        drawn: `kind of row, column` -> its vectors, float16.
        copies: a clip that is trained on and the held-out one whose sound it has, too; rows of the clips.
    """

    vectors: VectorReader
    groups: SplitGroups
    drawn: dict[tuple[str, str], np.ndarray]
    copies: tuple[int, int]

    def keys(self, kind: str) -> np.ndarray:
        """Return the keys of the pictures or the clips."""
        first = 0 if kind == "image" else int(format_key(1, 0, SHARD_ROWS))
        return first + np.arange(PICTURES if kind == "image" else CLIPS)

    def part(self, kind: str) -> np.ndarray:
        """Return the part of each row."""
        return self.groups.part_N[self.groups.find_rows(self.keys(kind))]


def unit(drawn: np.ndarray) -> np.ndarray:
    """Return vectors of length 1, float16."""
    return (drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)).astype(np.float16)


def write_world(folder) -> MinedWorld:
    """Write it. Row n is of kind n % 8; clips of a kind share their caption, pictures have their own."""
    root, rng = Root.from_url(str(folder)), np.random.default_rng(0)
    seen, said, heard = np.stack([np.linalg.qr(rng.standard_normal((DIMS, DIMS)))[0][:KINDS] for _ in "abc"])
    centres = {"clip_image": seen, "clap_text": said, "clap_audio": heard}
    drawn = {}
    for kind, count in (("image", PICTURES), ("clip", CLIPS)):
        for column in COLUMNS[kind]:
            noise = 0 if (kind, column) == ("clip", "clap_text") else 0.1
            rows = centres[column][np.arange(count) % KINDS]
            drawn[kind, column] = unit(rows + noise * rng.standard_normal((count, DIMS)))
    shards = [Shard(0, "image", "web", PICTURES), Shard(1, "clip", "web", CLIPS)]
    for shard in shards:
        root.write_table(f"candidates/{shard.name}.parquet", pa.Table.from_pylist(_list(shard), CANDIDATE))
    reader = VectorReader(root, "main", shards, np.empty(0, np.int64))
    world = MinedWorld(reader, _groups(root, shards), drawn, (0, 0))
    part = world.part("clip")
    copies = int(np.flatnonzero(part == TRAIN)[0]), int(np.flatnonzero(part == TEST)[0])
    drawn["clip", "clap_audio"][copies[0]] = drawn["clip", "clap_audio"][copies[1]]
    for shard in shards:
        batch = {name: [""] * shard.rows for name in ("id", "reason")}
        batch |= {"kind": [shard.kind] * shard.rows, "outcome": ["ok"] * shard.rows}
        batch["source"] = ["wit" if shard.kind == "image" else "vggsound"] * shard.rows
        batch["key"] = [format_key(shard.number, row, SHARD_ROWS) for row in range(shard.rows)]
        for column in COLUMNS[shard.kind]:
            batch |= {
                column: list(drawn[shard.kind, column]),
                f"{column}_norm": [1.0] * shard.rows,
            }
        spaces = {column: space(column[:4], DIMS) for column in COLUMNS["clip"]}
        commit_vectors(root, "main", shard, spaces, [batch])
    return MinedWorld(reader, world.groups, drawn, copies)


def _groups(root, shards):
    return read_groups(root, shards, SHARD_ROWS, SPLIT)


def _list(shard):
    # Sixteen clips a video: those of a held-out video are held out, too.
    return [
        {"url": f"http://{shard.kind}/{row // 16 if shard.kind == 'clip' else row}", "caption": "", "id": ""}
        | {"licence": f"licence of {shard.kind}s", "source_row": row, "kind": shard.kind, "lane": "web"}
        | {"source": "wit" if shard.kind == "image" else "vggsound"}
        | {"label": None if shard.kind == "image" else f"kind {row % KINDS}"}
        for row in range(shard.rows)
    ]
