"""Samples of ways: what a way made -> prompts, and one plan over the prompts of all ways that generate."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from pipelines.errors import ConfigError
from pipelines.evaluate.bench import Bench, Crossing, Makes, PlannedWay
from pipelines.evaluate.evaluation_set import SetRows
from pipelines.generate.generator import CAPTION, ChosenGenerator
from pipelines.generate.media import choose_format
from pipelines.generate.output import read_manifest, write_manifest
from pipelines.generate.params import make_params
from pipelines.generate.request import Condition, ConditioningPath
from pipelines.generate.step import GenerateStep
from pipelines.stage import Batch, Stage
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from schemas.generated import GenerationManifest, GenerationSettings, PromptSource

# So few that two workers have some each, and a kill costs little.
SHARD_SAMPLES = 24
# Shards of a way at most: the number of a shard of all ways is this times the way's, plus its own.
_STRIDE = 10_000
MAX_ROWS = SHARD_SAMPLES * _STRIDE


# What a way makes, in a sentence.
_MADE = {
    "vectors": "a vector in the family of {bench.target}",
    "texts": "a text",
    "sources": "its {bench.source}",
}


def is_text_reader(generator: ChosenGenerator) -> bool:
    """Return whether a generator can be given texts and nothing else."""
    return generator.info.text_sha256 is not None or generator.info.reads == (CAPTION,)


def is_accepted(makes: Makes, generator: ChosenGenerator, bench: Bench) -> bool:
    """Return whether what a way makes of a row, and its source beside texts, is all that a generator needs.

    Args:
        makes: of the way.
        generator: after it.
        bench: of both.
    """
    info = generator.info
    is_of_source = info.columns == (bench.source,)
    if makes == "sources":
        return is_of_source
    if makes == "texts" and (is_of_source or is_text_reader(generator)):
        return True
    return len(info.columns) == 1 and info.columns == info.reads and not is_of_source


def find_way_path(planned: PlannedWay, bench: Bench) -> ConditioningPath:
    """Return the path from what a way makes to its generator, before anything is made.

    Raises:
        ConfigError: the generator reads what no way has.
    """
    generator = planned.generator
    assert generator is not None
    info, what = generator.info, f"way {planned.name}"
    if planned.way.makes == "texts" and is_text_reader(generator):
        return ConditioningPath(None, (), None, what)
    if not is_accepted(planned.way.makes, generator, bench):
        raise ConfigError(
            f"{what}: generator {info.name} reads {' and '.join(info.reads) or 'nothing'}, and this way "
            f"makes {_MADE[planned.way.makes].format(bench=bench)} of a row; name another generator"
        )
    reads = info.columns[0]
    column = reads if reads in bench.spaces else bench.target
    return ConditioningPath(None, (Condition(reads, column, column, bench.spaces[column]),), None, what)


@dataclass(frozen=True)
class WaySamples:
    """The samples of one way: what it made, and how they are generated.

    Attributes:
        planned: the way, with a generator.
        path: to the generator.
        params: of the generators, as they were given.
        seed: of the samples.
        set_name: of the vectors.
        version: of the dataset.
    """

    planned: PlannedWay
    path: ConditioningPath
    params: Mapping[str, Any]
    seed: int
    set_name: str = "main"
    version: int = 1

    @property
    def generator(self) -> ChosenGenerator:
        """Of the way."""
        assert self.planned.generator is not None
        return self.planned.generator

    def write(self, root: Root, rows: SetRows, crossing: Crossing) -> GenerateStep:
        """Write the prompts unless they are there; return the step that generates of them.

        Args:
            root: that is written to.
            rows: that are scored; the seeds come from their ids, so all ways share them.
            crossing: of the way.
        """
        manifest = self._make_manifest(rows, crossing)
        step = GenerateStep(root, manifest, self.generator, self.path.conditions, None)
        if read_manifest(root, manifest) is None or step.prompts.read_shards() is None:
            spaces = {each.source: each.space for each in self.path.conditions}
            step.prompts.write(self._make_prompts(rows, crossing), spaces)
            write_manifest(root, manifest)
        return step

    def _make_manifest(self, rows: SetRows, crossing: Crossing) -> GenerationManifest:
        """Return the manifest; its name says what is generated of, so that nothing else can have it."""
        digest = hashlib.sha256()
        info = self.generator.info
        digest.update(f"{rows.compute_sha256()} {info.weights_sha256} {self.seed} {self.params}".encode())
        if self.path.conditions:
            digest.update(self._get_vectors(crossing).astype(np.float16).tobytes())
        if not self.path.conditions or CAPTION in info.reads:
            digest.update("\0".join(crossing.texts or ()).encode())
        params = make_params(self.generator.spec.params, self.params, info.name)
        return GenerationManifest(
            name=f"evaluation-{digest.hexdigest()[:12]}",
            set=self.set_name,
            version=self.version,
            asked=PromptSource(),
            via="none",
            translator=None,
            generator=info,
            settings=GenerationSettings(
                seed=self.seed, format=choose_format(info.medium, None), shard_samples=SHARD_SAMPLES
            ),
            params=params.model_dump(mode="json"),
        )

    def _make_prompts(self, rows: SetRows, crossing: Crossing) -> Iterator[dict[str, Any]]:
        columns = [each.source for each in self.path.conditions]
        # Captions are for whoever looks; a generator that reads them gets what the way says, or nothing.
        reads_captions = bool(columns) and CAPTION in self.generator.info.reads
        texts = crossing.texts or ([""] * len(rows.ids) if reads_captions else rows.captions)
        for row, row_id in enumerate(rows.ids):
            prompt: dict[str, Any] = {
                "id": row_id, "source_key": None, "prompt": "row", "caption": texts[row], "url": "",
                "outcome": "ok", "reason": "",
            }  # fmt: skip
            if columns:
                prompt[columns[0]] = self._get_vectors(crossing)[row].astype(np.float16)
            yield prompt

    def _get_vectors(self, crossing: Crossing) -> np.ndarray:
        found = crossing.units_ND if crossing.sources_ND is None else crossing.sources_ND
        assert found is not None
        return found


@dataclass(frozen=True)
class GenerateWaysStep:
    """The samples of several ways as one plan: a plan costs some seconds, whatever is in it.

    Attributes:
        steps: of the ways.
    """

    steps: tuple[GenerateStep, ...]
    name: str = field(default="generate", init=False)

    def list_shards(self) -> list[Shard]:
        """Return the shards of all ways."""
        return [
            Shard(number * _STRIDE + shard.number, shard.kind, shard.lane, shard.rows)
            for number, step in enumerate(self.steps)
            for shard in step.prompts.read_shards() or []
        ]

    def _find(self, shard: Shard) -> tuple[GenerateStep, Shard]:
        way, number = divmod(shard.number, _STRIDE)
        return self.steps[way], Shard(number, shard.kind, shard.lane, shard.rows)

    def is_done(self, shard: Shard) -> bool:
        """Return whether a shard is committed."""
        step, own = self._find(shard)
        return step.is_done(own)

    def find_committed(self, shards: Collection[int]) -> frozenset[int]:
        """Return which of the shards are committed, from one listing a way."""
        done: set[int] = set()
        for number, step in enumerate(self.steps):
            own = [shard % _STRIDE for shard in shards if shard // _STRIDE == number]
            done.update(number * _STRIDE + each for each in step.find_committed(own))
        return frozenset(done)

    def make_stages(self, shard: Shard) -> Sequence[Stage]:
        """Return the chain of the shard's way; ways of one generator share it."""
        step, own = self._find(shard)
        return self._stages.setdefault(shard.number // _STRIDE, step.make_stages(own))

    @cached_property
    def _stages(self) -> dict[int, Sequence[Stage]]:
        return {}

    def read(self, shard: Shard) -> Iterator[Batch]:
        """Yield the prompts of a shard."""
        step, own = self._find(shard)
        return step.read(own)

    def commit(self, shard: Shard, batches: Iterable[Batch], started: float) -> None:
        """Write the samples of a shard."""
        step, own = self._find(shard)
        step.commit(own, batches, started)

    def count_outcomes(self, shard: Shard) -> Counter[str]:
        """Return the outcomes of a shard's prompts."""
        step, own = self._find(shard)
        return step.count_outcomes(own)
