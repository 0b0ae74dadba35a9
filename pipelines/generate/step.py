"""The step: generated/NAME/prompts/NNNNN.parquet -> generated/NAME/NNNNN.tar and its table, shard by shard.

A committed shard never changes, and the same prompts, weights and parameters give the same bytes: a killed
run resumes with the missing shards.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa

from pipelines.compute import timing
from pipelines.generate.generator import ChosenGenerator
from pipelines.generate.judge import Judge
from pipelines.generate.params import make_params
from pipelines.generate.prompts import PromptTables
from pipelines.generate.request import Condition
from pipelines.generate.stages import GenerateStage, SingleThreaded, count_parallel_batches
from pipelines.stage import Batch, Stage, count_rows
from pipelines.store.counts import count_outcomes
from pipelines.store.root import Root
from pipelines.store.shards import Shard, with_tables
from pipelines.store.tar import write_tar
from pipelines.translate.step import TranslateStage
from schemas.generated import GENERATED, GenerationManifest

# Batches of the generator, of 8 samples, that a judge scores together; its own batches are of 8 to 32.
_SCORED_BATCHES = 4


def get_folder(name: str) -> str:
    """Return the folder of a NAME."""
    return f"generated/{name}"


def get_pictures_folder(sha256: str) -> str:
    """Return the root, below a dataset's, of external pictures; its dot keeps it apart from every NAME.

    Args:
        sha256: of the list of them.
    """
    return f"generated/pictures.{sha256[:12]}"


@dataclass(frozen=True)
class GenerateStep:
    """Translate and generate, over the shards of a NAME.

    Attributes:
        root: of the dataset.
        manifest: of the NAME.
        generator: loaded in each worker.
        conditions: of the columns that the generator reads; none where captions or nothing condition it.
        judge: scores candidates; None: no scores.
    """

    root: Root
    manifest: GenerationManifest
    generator: ChosenGenerator
    conditions: tuple[Condition, ...]
    judge: Judge | None
    name: str = field(default="generate", init=False)

    @property
    def folder(self) -> str:
        """The folder of the NAME."""
        return get_folder(self.manifest.name)

    @property
    def prompts(self) -> PromptTables:
        """The prompt tables of the NAME."""
        return PromptTables(self.root, self.folder, self.manifest.settings.shard_samples)

    def get_marker(self, shard: Shard) -> str:
        """Return the table of a shard, written after its tar."""
        return f"{self.folder}/{shard.name}.parquet"

    def find_committed(self, shards: Collection[int]) -> frozenset[int]:
        """Return which of the shards are committed."""
        return with_tables(self.root, self.folder, shards)

    def is_done(self, shard: Shard) -> bool:
        """Return whether a shard is committed."""
        return self.root.exists(self.get_marker(shard))

    def make_stages(self, shard: Shard) -> Sequence[Stage]:  # noqa: ARG002 - one chain for all kinds
        """Return the chain: the translator if there is one, then the generator."""
        return self._stages

    @cached_property
    def _stages(self) -> Sequence[Stage]:
        manifest = self.manifest
        params = make_params(self.generator.spec.params, manifest.params, self.generator.info.name)
        generate = GenerateStage(self.generator, self.conditions, params, manifest.settings, self.judge)
        translator = manifest.translator
        if translator is None:
            return (generate,)
        (way,) = self.conditions
        settings = manifest.settings
        translate = TranslateStage(
            self.root,
            translator.name,
            translator.weights_sha256,
            way.source,
            way.target,
            settings.seed,
            settings.candidates,
        )
        return (SingleThreaded(translate), generate)

    def read(self, shard: Shard) -> Iterator[Batch]:
        """Yield batches of prompts that fill a few batches of the generator, and one of the judge."""
        batches = max(_SCORED_BATCHES, count_parallel_batches())
        yield from self.prompts.read(shard, batches * self.manifest.generator.batch_rows, self._columns)

    @property
    def _columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.source for each in self.conditions))

    def commit(self, shard: Shard, batches: Iterable[Batch], started: float) -> None:  # noqa: ARG002
        """Write the tar while samples are generated, then the table."""
        tables: list[pa.Table] = []
        with self.root.write_atomically(f"{self.folder}/{shard.name}.tar") as path:
            write_tar(path, self._collect_members(batches, tables))
        with timing.measure_time("write"):
            table = pa.concat_tables([GENERATED.empty_table(), *tables]).combine_chunks()
            self.root.write_table(self.get_marker(shard), table)

    def _collect_members(
        self, batches: Iterable[Batch], tables: list[pa.Table]
    ) -> Iterator[tuple[str, bytes]]:
        """Yield the members of the tar, and append a table of each batch to `tables`."""
        for batch in batches:
            table = self._make_table(batch)
            tables.append(table)
            for record, sample in zip(table.to_pylist(), batch["sample"], strict=True):
                if sample is not None:
                    yield f"{record['key']}.{self.manifest.settings.format}", sample
                    yield f"{record['key']}.json", json.dumps(record, indent=4).encode()

    def _make_table(self, batch: Batch) -> pa.Table:
        manifest = self.manifest
        constants = {
            "translator": manifest.translator.name if manifest.translator else None,
            "translator_sha256": manifest.translator.weights_sha256 if manifest.translator else None,
            "medium": manifest.generator.medium,
            "generator": manifest.generator.name,
            "generator_sha256": manifest.generator.weights_sha256,
            "seed": manifest.settings.seed,
            "params": json.dumps(manifest.params, sort_keys=True),
        }
        columns = {name: [value] * count_rows(batch) for name, value in constants.items()}
        return pa.Table.from_pydict({name: (batch | columns)[name] for name in GENERATED.names}, GENERATED)

    def count_outcomes(self, shard: Shard) -> Counter[str]:
        """Return the outcomes of a shard's prompts, by `outcome/reason`."""
        table = self.root.read_table(self.get_marker(shard), columns=["outcome", "reason"])
        return count_outcomes(table)
