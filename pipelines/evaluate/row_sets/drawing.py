"""The step: scenes -> evaluations/scenes-HASH/NNNNN.parquet, drawn and encoded shard by shard.

A shard holds scenes of one part: those that are scored, then those of the gallery. The vectors serve all
directions: captions of what is seen and of what is heard have columns of their own.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from pipelines.encode.encoder import EncoderSpec, encode, get_tower
from pipelines.evaluate.evaluation_set import Part
from pipelines.evaluate.row_sets.scenes import MiniatureScenes
from pipelines.generate.stages import SingleThreaded
from pipelines.miniature.world import Medium as Told
from pipelines.stage import Batch, Stage, Work
from pipelines.store.root import Root
from pipelines.store.shards import Shard, make_vector_array, with_tables
from schemas.evaluation import Direction
from schemas.families import Column, get_family, get_modality

SHARD_ROWS = 64
# Of the pocket towers' own batches.
_BATCH_ROWS = 32
COLUMNS: tuple[Column, ...] = ("clip_image", "clip_text", "clap_text", "clap_audio")
_TOLD: tuple[Told, ...] = ("picture", "sound")
# The directions that tell captions apart: of what is seen, and of what is heard.
_DIRECTIONS: Mapping[Told, Direction] = {"picture": "text->picture", "sound": "text->sound"}


def list_stored() -> list[tuple[str, Column, Told]]:
    """Return the columns of a table: the name, the column of the vectors, and what is encoded."""
    media: list[tuple[str, Column, Told]] = [
        ("clip_image", "clip_image", "picture"),
        ("clap_audio", "clap_audio", "sound"),
    ]
    texts: list[Column] = [column for column in COLUMNS if get_modality(column) == "text"]
    return media + [(f"{column} {told}", column, told) for column in texts for told in _TOLD]


@dataclass(frozen=True)
class EncodeScenesStage(Stage):
    """The stage: numbers of scenes -> their vectors, in every column.

    Attributes:
        scenes: of which the media are drawn.
        specs: family -> encoder.
    """

    scenes: MiniatureScenes
    specs: tuple[tuple[str, EncoderSpec], ...]

    @property
    def name(self) -> str:
        """The word for it in progress and profiles."""
        return "draw"

    @property
    def reads(self) -> frozenset[str]:
        """Part and number."""
        return frozenset({"part", "row"})

    @property
    def adds(self) -> frozenset[str]:
        """The vectors."""
        return frozenset(name for name, _, _ in list_stored())

    def open(self) -> Work:
        """Load the encoders."""
        specs = dict(self.specs)
        towers = {column: get_tower(specs[get_family(column)], get_modality(column)) for column in COLUMNS}

        def work(batch: Batch) -> Batch:
            vectors: Batch = {}
            for name, column, told in list_stored():
                tower = towers[column]
                pieces = [tower.prepare(item) for item in self._list_items(batch, column, told)]
                units_ND = encode(tower, pieces, specs[get_family(column)].space.batch_rows)[0]
                vectors[name] = list(units_ND.astype(np.float16))
            return batch | vectors

        return work

    def _list_items(self, batch: Batch, column: Column, told: Told) -> list[str] | list[bytes]:
        part: Part = batch["part"][0]
        if get_modality(column) != "text":
            return self.scenes.read_media(part, told, batch["row"])
        scenes = replace(self.scenes, direction=_DIRECTIONS[told])
        drawn = scenes.get_scenes(part)
        return [scenes.get_caption(drawn[row]) for row in batch["row"]]


@dataclass(frozen=True)
class DrawStep:
    """Draw and encode the scenes of both parts.

    Attributes:
        root: that is written to.
        scenes: of both parts.
        specs: family -> encoder.
    """

    root: Root
    scenes: MiniatureScenes
    specs: tuple[tuple[str, EncoderSpec], ...]
    name: str = field(default="draw", init=False)

    @cached_property
    def folder(self) -> str:
        """The folder of the tables, named by what they hold: directions and evaluations share it."""
        ids = "".join(rows.compute_sha256() for rows in self.scenes.tables.values())
        spaces = "".join(spec.space.identity for _, spec in self.specs)
        return f"evaluations/scenes-{hashlib.sha256(f'{ids}{spaces}'.encode()).hexdigest()[:12]}"

    def list_shards(self) -> list[Shard]:
        """Return the shards of both parts."""
        return [
            Shard(number, "clip", "local", len(rows)) for number, (_, rows) in enumerate(self._list_parts())
        ]

    def _list_parts(self) -> list[tuple[Part, range]]:
        found: list[tuple[Part, range]] = []
        parts: tuple[Part, ...] = ("scored", "gallery")
        for part in parts:
            count = len(self.scenes.get_scenes(part))
            found += [
                (part, range(start, min(start + SHARD_ROWS, count))) for start in range(0, count, SHARD_ROWS)
            ]
        return found

    def _get_marker(self, shard: Shard) -> str:
        return f"{self.folder}/{shard.name}.parquet"

    def is_done(self, shard: Shard) -> bool:
        """Return whether a shard is committed."""
        return self.root.exists(self._get_marker(shard))

    def find_committed(self, shards: Collection[int]) -> frozenset[int]:
        """Return which of the shards are committed."""
        return with_tables(self.root, self.folder, shards)

    def make_stages(self, shard: Shard) -> Sequence[Stage]:  # noqa: ARG002 - one chain for both parts
        """Return the one stage, on one core: rounding then does not depend on the cores of a worker."""
        return (SingleThreaded(EncodeScenesStage(self.scenes, self.specs)),)

    def read(self, shard: Shard) -> Iterator[Batch]:
        """Yield the numbers of the scenes in batches."""
        part, rows = self._list_parts()[shard.number]
        for start in range(0, len(rows), _BATCH_ROWS):
            batch = list(rows[start : start + _BATCH_ROWS])
            fine = {"key": [str(row) for row in batch], "outcome": ["ok"] * len(batch)}
            yield fine | {"reason": [""] * len(batch), "part": [part] * len(batch), "row": batch}

    def commit(self, shard: Shard, batches: Iterable[Batch], started: float) -> None:  # noqa: ARG002
        """Write the vectors of a shard."""
        done = list(batches)
        dims = {name: spec.space.dims for name, spec in self.specs}
        columns = {
            name: make_vector_array(
                [vector for batch in done for vector in batch[name]],
                pa.list_(pa.float16(), dims[get_family(column)]),
            )
            for name, column, _ in list_stored()
        }
        self.root.write_table(self._get_marker(shard), pa.table(columns))

    def count_outcomes(self, shard: Shard) -> Counter[str]:
        """Return the rows of a committed shard, all of them fine."""
        return Counter({"ok": shard.rows})

    def read_vectors(self, told: Told) -> dict[tuple[Part, Column], np.ndarray]:
        """Return the vectors of all committed shards, float32 [N, D], by part and column.

        Args:
            told: what the captions are of.
        """
        found: dict[tuple[Part, Column], list[np.ndarray]] = {}
        wanted = {
            column: name for name, column, of in list_stored() if get_modality(column) != "text" or of == told
        }
        for shard, (part, _) in zip(self.list_shards(), self._list_parts(), strict=True):
            table = self.root.read_table(self._get_marker(shard)).combine_chunks()
            for column, name in wanted.items():
                flat = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
                found.setdefault((part, column), []).append(
                    flat.astype(np.float32).reshape(table.num_rows, -1)
                )
        return {key: np.concatenate(parts) for key, parts in found.items()}
