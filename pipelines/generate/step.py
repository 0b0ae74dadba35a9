"""generated/NAME/prompts/NNNNN.parquet -> generated/NAME/NNNNN.tar and its table, shard by shard.

A committed shard never changes, and the same prompts, weights and settings give the same bytes: whatever
was killed goes on with the shards that are missing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa

from pipelines.compute import timing
from pipelines.encode.encoder import EncoderSpec
from pipelines.generate.prompts import PromptTables
from pipelines.generate.registry import GeneratorSpec
from pipelines.generate.stages import GenerateStage, SingleThreaded, count_lanes
from pipelines.stage import Batch, Stage, count_rows
from pipelines.store.counts import count_outcomes
from pipelines.store.root import Root
from pipelines.store.shards import Shard, with_tables
from pipelines.store.tar import write_tar
from pipelines.translate.step import TranslateStage
from schemas.generated import GENERATED, GenerationManifest
from schemas.vectors import Column

# Batches of the generator, 8 sounds each, that are listened to together: CLAP's batches are of 8 to 32.
_BATCHES = 4


def get_folder(name: str) -> str:
    """Return the folder of a NAME."""
    return f"generated/{name}"


def get_pictures_folder(sha256: str) -> str:
    """Return the root, below a dataset's, of pictures from outside; a NAME has no dot, so it is none.

    Args:
        sha256: of the list of them.
    """
    return f"generated/pictures.{sha256[:12]}"


@dataclass(frozen=True)
class GenerateStep:
    """Translate and generate, over the shards of a NAME.

    Attributes:
        root: of the dataset.
        wanted: what was asked for.
        chosen: the generator.
        source: the column of the prompts; None where captions are spoken.
        target: the column that becomes sounds: the translator's target, or `source` itself.
        judge: the CLAP that scores candidates.
    """

    root: Root
    wanted: GenerationManifest
    chosen: GeneratorSpec
    source: Column | None
    target: Column | None
    judge: EncoderSpec | None
    name: str = field(default="generate", init=False)

    @property
    def folder(self) -> str:
        """Where the sounds lie."""
        return get_folder(self.wanted.name)

    @property
    def prompts(self) -> PromptTables:
        """What they are made of."""
        return PromptTables(self.root, self.folder, self.wanted.making.shard_sounds)

    def get_marker(self, shard: Shard) -> str:
        """Return the table of a shard, written after its tar."""
        return f"{self.folder}/{shard.name}.parquet"

    def find_committed(self, shards: Collection[int]) -> frozenset[int]:
        """Return which of the shards are made."""
        return with_tables(self.root, self.folder, shards)

    def is_done(self, shard: Shard) -> bool:
        """Return whether a shard is made."""
        return self.root.exists(self.get_marker(shard))

    def make_stages(self, shard: Shard) -> Sequence[Stage]:  # noqa: ARG002 - one chain for all kinds
        """Return the chain: a translator where one is needed, and the generator."""
        return self._stages

    @cached_property
    def _stages(self) -> Sequence[Stage]:
        make = GenerateStage(self.chosen, self.target, self.wanted.making, self.judge)
        by = self.wanted.translator
        if by is None or self.source is None or self.target is None:
            return (make,)
        translate = TranslateStage(self.root, by.name, by.weights_sha256, self.source, self.target)
        return (SingleThreaded(translate), make)

    def read(self, shard: Shard) -> Iterator[Batch]:
        """Yield as many prompts as fill a few batches of the generator, and one of the judge."""
        batches = max(_BATCHES, count_lanes())
        yield from self.prompts.read(shard, batches * self.wanted.generator.batch_rows, self.source)

    def commit(self, shard: Shard, batches: Iterable[Batch], started: float) -> None:  # noqa: ARG002
        """Write the tar as sounds are made, then the table."""
        tables: list[pa.Table] = []
        with self.root.write_atomically(f"{self.folder}/{shard.name}.tar") as path:
            write_tar(path, self._members(batches, tables))
        with timing.measure_time("write"):
            table = pa.concat_tables([GENERATED.empty_table(), *tables]).combine_chunks()
            self.root.write_table(self.get_marker(shard), table)

    def _members(self, batches: Iterable[Batch], tables: list[pa.Table]) -> Iterator[tuple[str, bytes]]:
        """Yield the members of the tar; what they are is added to the tables on the way."""
        for batch in batches:
            table = self._table(batch)
            tables.append(table)
            for record, sound in zip(table.to_pylist(), batch["sound"], strict=True):
                if sound is not None:
                    yield f"{record['key']}.{self.wanted.making.format}", sound
                    yield f"{record['key']}.json", json.dumps(record, indent=4).encode()

    def _table(self, batch: Batch) -> pa.Table:
        wanted = self.wanted
        same = {
            "translator": wanted.translator.name if wanted.translator else None,
            "translator_sha256": wanted.translator.weights_sha256 if wanted.translator else None,
            "generator": wanted.generator.name,
            "generator_sha256": wanted.generator.weights_sha256,
            "seed": wanted.making.seed,
            "steps": wanted.making.steps,
            "guidance": wanted.making.guidance,
        }
        of_all = {name: [value] * count_rows(batch) for name, value in same.items()}
        return pa.Table.from_pydict({name: (batch | of_all)[name] for name in GENERATED.names}, GENERATED)

    def count_outcomes(self, shard: Shard) -> Counter[str]:
        """Return the outcomes of a shard's prompts, by `outcome/reason`."""
        table = self.root.read_table(self.get_marker(shard), columns=["outcome", "reason"])
        return count_outcomes(table)
