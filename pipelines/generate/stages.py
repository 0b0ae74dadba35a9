"""The stage: what conditions a generator -> files of its samples, the best of a few candidates of each.

Shapes: N rows of a batch, M candidates of all rows together, D dimensions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel

from pipelines.compute import cpu
from pipelines.compute.device import choose_device
from pipelines.generate.generator import (
    CAPTION,
    ChosenGenerator,
    Generator,
    Samples,
    StepProgress,
    as_class_errors,
)
from pipelines.generate.judge import Judge, SampleScorer
from pipelines.generate.media import MEDIA, check_samples, choose_format, join_samples
from pipelines.generate.request import Condition
from pipelines.stage import Batch, Stage, Work, count_rows
from schemas.generated import GenerationSettings
from schemas.outcome import make_outcome

_NO_VECTOR = make_outcome("failed", "no_vector")
_NO_SOUND = make_outcome("failed", "no_sound")
# Columns of a sample; null where there is none.
_SAMPLE_COLUMNS = (
    *("sample", "chosen", "candidate_seed", "score", "candidate_scores"),
    *("length_s", "size", "sha256"),
)
# What conditions each row: by the name that the generator reads it under.
_Values = dict[str, Any]


def derive_seed(seed: int, row_id: str, candidate: int) -> int:
    """Return the seed of a candidate, 63 bits: it depends on its row alone, not on its batch or shard."""
    digest = hashlib.sha256(f"{seed}/{row_id}/{candidate}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True)
class GenerateStage(Stage):
    """The stage: vectors or a caption -> a sample. A row without a sample gets an outcome with the reason.

    Attributes:
        generator: loaded in each worker.
        conditions: of the columns that it reads; a column without one is computed from the caption by the
            generator's own text tower.
        params: of the generator.
        settings: of the generation.
        judge: scores candidates, verified to be of the space that conditions the generator; None: no scores.
        progress: called after each step of each batch, from its thread; an exception in it ends the work.
    """

    generator: ChosenGenerator
    conditions: tuple[Condition, ...]
    params: BaseModel = field(hash=False)
    settings: GenerationSettings
    judge: Judge | None
    progress: StepProgress | None = None

    @property
    def name(self) -> str:
        """The word for it in progress and profiles."""
        return "generate"

    @property
    def reads(self) -> frozenset[str]:
        """The vectors or the caption, the id for the seeds, and the outcome."""
        targets = {each.reads: each.target for each in self.conditions}
        given = {targets.get(name, CAPTION) for name in self.generator.info.reads}
        return frozenset({*given, "id", "outcome", "reason"})

    @property
    def adds(self) -> frozenset[str]:
        """The sample, and how it was selected."""
        return frozenset({*_SAMPLE_COLUMNS, "outcome", "reason"})

    def open(self) -> Work:
        """Load the generator and the judge, onto a GPU where there is one."""
        generator = self.generator.open()
        scorer = SampleScorer(self.judge) if self.judge else None

        def work(batch: Batch) -> Batch:
            make_single_threaded()
            columns: Batch = {name: [None] * count_rows(batch) for name in _SAMPLE_COLUMNS}
            outcomes, reasons = list(batch["outcome"]), list(batch["reason"])
            rows = [row for row, status in enumerate(outcomes) if status == "ok"]
            values = self._get_values(batch, rows)
            for row in rows:
                if any(value is None for value in values[row].values()):
                    outcomes[row], reasons[row] = _NO_VECTOR
                    del values[row]
            for row, sample in self._generate(generator, scorer, batch, values).items():
                if sample is None:
                    outcomes[row], reasons[row] = _NO_SOUND
                    continue
                for name in _SAMPLE_COLUMNS:
                    columns[name][row] = sample[name]
            return batch | columns | {"outcome": outcomes, "reason": reasons}

        return work

    def _get_values(self, batch: Batch, rows: list[int]) -> dict[int, _Values]:
        """Return what conditions each row; None in place of a vector that has no direction."""
        conditions = {each.reads: each for each in self.conditions}
        values: dict[int, _Values] = {row: {} for row in rows}
        for name in self.generator.info.reads if rows else ():
            found: list[Any]
            if name == CAPTION:
                found = [batch[CAPTION][row] for row in rows]
            elif name in conditions:
                found = [_normalize_vector(batch[conditions[name].target][row]) for row in rows]
            else:
                found = list(self.generator.encode_text([batch[CAPTION][row] for row in rows]))
            for row, value in zip(rows, found, strict=True):
                values[row][name] = value
        return values

    def _generate(
        self, generator: Generator, scorer: SampleScorer | None, batch: Batch, values: dict[int, _Values]
    ) -> dict[int, dict[str, object] | None]:
        """Return the sample columns of each row; None where no candidate holds numbers."""
        count, info = self.settings.candidates, self.generator.info
        if not values:
            return {}
        seeds = {
            row: [derive_seed(self.settings.seed, batch["id"][row], n) for n in range(count)]
            for row in values
        }
        prompts = {name: _repeat([each[name] for each in values.values()], count) for name in info.reads}
        all_seeds = [seed for each in seeds.values() for seed in each]

        def generate_part(part: slice) -> Samples:
            given = {name: value[part] for name, value in prompts.items()}
            with as_class_errors(info.name):
                made = generator.generate(given, all_seeds[part], self.params, self.progress)
            return check_samples(made, info.medium, len(all_seeds[part]), info.name)

        samples = generate_parallel(generate_part, len(all_seeds), info.batch_rows)
        medium, form = MEDIA[info.medium], choose_format(info.medium, self.settings.format)
        files = [medium.write(samples, number, form) for number in range(len(all_seeds))]
        units_MD = scorer.embed(files) if scorer else None
        made: dict[int, dict[str, object] | None] = {}
        for number, (row, given) in enumerate(values.items()):
            own = slice(number * count, (number + 1) * count)
            scores: list[float | None] = [None] * count
            if units_MD is not None:
                vector = given[info.columns[0]]
                # A drawn translator gives each candidate a vector of its own.
                is_own = vector.ndim == 2
                cosines = (units_MD[own] * vector).sum(1) if is_own else units_MD[own] @ vector
                scores = [float(cosine) if np.isfinite(cosine) else None for cosine in cosines]
            made[row] = _select_best(files[own], scores, seeds[row])
            if (best := made[row]) is not None:
                best |= _measure(samples)
        return made


def _repeat(values: list[Any], count: int) -> Any:
    """Return each value so many times, one after the other: vectors as one array, texts as a list.

    Where a value is an array of vectors, one a candidate, these take the place of copies.
    """
    if isinstance(values[0], str):
        return [value for value in values for _ in range(count)]
    if values[0].ndim == 2:
        return np.concatenate(values)
    return np.repeat(np.stack(values), count, axis=0)


def _measure(samples: Samples) -> dict[str, object]:
    """Return the length of sounds and the size of pictures; None where they have none."""
    length_s = np.shape(samples.data)[1] / samples.rate_hz if samples.rate_hz else None
    return {"length_s": length_s, "size": list(samples.size) if samples.size else None}


def _select_best(
    files: list[bytes | None], scores: list[float | None], seeds: list[int]
) -> dict[str, object] | None:
    """Return the columns of a row's best candidate, of equals the first; None if none holds numbers.

    A candidate without a score is selected only if none has one.
    """
    candidates = [n for n, file in enumerate(files) if file is not None]
    if not candidates:
        return None
    best = min(candidates, key=lambda n: (-_score_or_least(scores[n]), n))
    sample = files[best]
    assert sample is not None
    return {
        "sample": sample,
        "chosen": best,
        "candidate_seed": seeds[best],
        "score": scores[best],
        "candidate_scores": scores,
        "sha256": hashlib.sha256(sample).hexdigest(),
    }


def generate_parallel(generate_part: Callable[[slice], Samples], count: int, batch_rows: int) -> Samples:
    """Return samples, with several batches at a time.

    Each batch runs on one core: another number of threads rounds sums differently, and about one sample of a
    sound in a hundred differs by one of its 16 bits. So a sample does not depend on the cores of its worker.

    Args:
        generate_part: returns the samples of a batch.
        count: of all samples.
        batch_rows: samples a batch.
    """
    parts = [slice(start, start + batch_rows) for start in range(0, count, batch_rows)]
    with ThreadPoolExecutor(count_parallel_batches(), initializer=make_single_threaded) as pool:
        return join_samples(list(pool.map(generate_part, parts)))


def count_parallel_batches() -> int:
    """Return the number of batches at a time: one on a GPU, else half the cores, as two shards share them."""
    return 1 if choose_device().type == "cuda" else -(-cpu.count_cpus() // 2)


def make_single_threaded() -> None:
    """Make torch use one thread for the operations of this thread; the setting is per thread."""
    import torch

    torch.set_num_threads(1)


@dataclass(frozen=True)
class SingleThreaded(Stage):
    """A stage that runs single-threaded, so that its rounding does not depend on the worker's cores."""

    stage: Stage

    @property
    def name(self) -> str:
        """The name of the wrapped stage."""
        return self.stage.name

    @property
    def reads(self) -> frozenset[str]:
        """The columns that the wrapped stage reads."""
        return self.stage.reads

    @property
    def adds(self) -> frozenset[str]:
        """The columns that the wrapped stage adds."""
        return self.stage.adds

    def open(self) -> Work:
        """Open the wrapped stage."""
        work = self.stage.open()

        def work_single_threaded(batch: Batch) -> Batch:
            make_single_threaded()
            return work(batch)

        return work_single_threaded


def _normalize_vector(vector: np.ndarray | None) -> np.ndarray | None:
    if vector is None:
        return None
    full_D = vector.astype(np.float32)
    norms = np.linalg.norm(full_D, axis=-1, keepdims=True)
    return full_D / norms if np.isfinite(norms).all() and (norms > 0).all() else None


def _score_or_least(score: float | None) -> float:
    return -2.0 if score is None else score
