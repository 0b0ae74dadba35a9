"""The stage: vectors, or captions -> the best of a few sounds of each, as files.

Shapes: N rows of a batch, M candidates of all of them, D dimensions, T samples.
"""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pipelines.compute import cpu
from pipelines.compute.device import choose_device
from pipelines.encode.encoder import EncoderSpec, Tower, encode
from pipelines.errors import UndecodableMediaError
from pipelines.generate.audioldm.loudness import normalize_loudness
from pipelines.generate.generator import Generator, SamplingParams, StepProgress
from pipelines.generate.registry import GeneratorSpec
from pipelines.stage import Batch, Stage, Work, count_rows
from schemas.generated import GenerationParams, SoundFormat
from schemas.outcome import make_outcome
from schemas.vectors import Column

_NO_VECTOR = make_outcome("failed", "no_vector")
_NO_SOUND = make_outcome("failed", "no_sound")
# What the stage makes of a row; null where there is no sound.
MADE = ("sound", "chosen", "candidate_seed", "score", "candidate_scores", "length_s", "sha256")
_FORMATS: dict[SoundFormat, str] = {"flac": "FLAC", "wav": "WAV"}


def derive_seed(seed: int, row_id: str, candidate: int) -> int:
    """Return the seed of one candidate: of its row and nothing beside it, 63 bits."""
    digest = hashlib.sha256(f"{seed}/{row_id}/{candidate}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True)
class GenerateStage(Stage):
    """One stage: a vector or a caption -> a sound. Rows without one stay without, and say why.

    Attributes:
        chosen: the generator.
        column: whose vectors, in the space of the generator's CLAP; None: captions, by its own text tower.
        making: how sounds are made.
        judge: the CLAP whose audio tower scores candidates, gated to be the generator's; None: no scores.
        progress: called after each step of each batch, in a thread of its own; what it raises ends the work.
    """

    chosen: GeneratorSpec
    column: Column | None
    making: GenerationParams
    judge: EncoderSpec | None
    progress: StepProgress | None = None

    @property
    def name(self) -> str:
        """The word for it in progress and profiles."""
        return "generate"

    @property
    def reads(self) -> frozenset[str]:
        """The vector or the caption, what the seeds are derived from, and the outcome."""
        return frozenset({self.column or "caption", "id", "outcome", "reason"})

    @property
    def adds(self) -> frozenset[str]:
        """The sound, and how it was chosen."""
        return frozenset({*MADE, "outcome", "reason"})

    def open(self) -> Work:
        """Load the generator and the judge, onto a GPU where there is one."""
        generator = self.chosen.open()
        ears = _Ears(self.judge) if self.judge else None

        def work(batch: Batch) -> Batch:
            make_single_threaded()
            made: Batch = {name: [None] * count_rows(batch) for name in MADE}
            outcomes, reasons = list(batch["outcome"]), list(batch["reason"])
            there = [row for row, status in enumerate(outcomes) if status == "ok"]
            vectors = dict(zip(there, self._vectors(generator, batch, there), strict=True))
            for row in there:
                if vectors[row] is None:
                    outcomes[row], reasons[row] = _NO_VECTOR
            usable = {row: vector for row, vector in vectors.items() if vector is not None}
            for row, found in self._made(generator, ears, batch, usable).items():
                if found is None:
                    outcomes[row], reasons[row] = _NO_SOUND
                    continue
                for name in MADE:
                    made[name][row] = found[name]
            return batch | made | {"outcome": outcomes, "reason": reasons}

        return work

    def _vectors(self, generator: Generator, batch: Batch, there: list[int]) -> list[np.ndarray | None]:
        """Return the unit vector of each row, None where there is no direction."""
        if self.column is None:
            return list(generator.encode_text([batch["caption"][row] for row in there])) if there else []
        return [_unit(batch[self.column][row]) for row in there]

    def _made(
        self, generator: Generator, ears: _Ears | None, batch: Batch, usable: dict[int, np.ndarray]
    ) -> dict[int, dict[str, object] | None]:
        """Return what is made of each usable row; None where no candidate is a sound."""
        count, making = self.making.candidates, self.making
        if not usable:
            return {}
        seeds = {row: [derive_seed(making.seed, batch["id"][row], n) for n in range(count)] for row in usable}
        waves_MT = generate_parallel(
            generator,
            np.repeat(np.stack([*usable.values()]), count, axis=0),
            [seed for each in seeds.values() for seed in each],
            SamplingParams(making.length_s, making.steps, making.guidance),
            self.chosen.info.batch_rows,
            self.progress,
        )
        files = [self._file(wave_T, generator.rate_hz) for wave_T in waves_MT]
        heard_MD = ears.vectors(files) if ears else None
        found: dict[int, dict[str, object] | None] = {}
        for place, (row, unit_D) in enumerate(usable.items()):
            mine = slice(place * count, (place + 1) * count)
            scores: list[float | None] = [None] * count
            if heard_MD is not None:
                scores = [
                    float(cosine) if np.isfinite(cosine) else None for cosine in heard_MD[mine] @ unit_D
                ]
            found[row] = _best(files[mine], scores, seeds[row])
            if (kept := found[row]) is not None:
                kept["length_s"] = waves_MT.shape[1] / generator.rate_hz
        return found

    def _file(self, wave_T: np.ndarray, rate_hz: int) -> bytes | None:
        if not np.isfinite(wave_T).all():
            return None
        return encode_sound(normalize_loudness(wave_T[None])[0], rate_hz, self.making.format)


def _best(
    files: list[bytes | None], scores: list[float | None], seeds: list[int]
) -> dict[str, object] | None:
    """Return the best of the candidates of a row: of equals the first; None if none is a sound.

    One that could not be heard is kept only where none could.
    """
    there = [n for n, file in enumerate(files) if file is not None]
    if not there:
        return None
    best = min(there, key=lambda n: (-_or_least(scores[n]), n))
    kept = files[best]
    assert kept is not None
    return {
        "sound": kept,
        "chosen": best,
        "candidate_seed": seeds[best],
        "score": scores[best],
        "candidate_scores": scores,
        "sha256": hashlib.sha256(kept).hexdigest(),
    }


class _Ears:
    """The judge: what vectors sounds have in the space of those that they were made of."""

    def __init__(self, spec: EncoderSpec) -> None:
        self._tower: Tower = spec.open()["audio"]
        self._batch_rows, self._dims = spec.space.batch_rows, spec.space.dims

    def vectors(self, files: list[bytes | None]) -> np.ndarray:
        """Return the unit vector of each sound file, float32 [M, D]; NaN of what cannot be heard."""
        pieces: dict[int, np.ndarray] = {}
        for number, file in enumerate(files):
            try:
                if file is not None:
                    pieces[number] = self._tower.prepare(file)
            except UndecodableMediaError:
                continue
        units_MD = np.full((len(files), self._dims), np.nan, np.float32)
        if pieces:
            units_MD[[*pieces]] = encode(self._tower, [*pieces.values()], self._batch_rows)[0]
        return units_MD


def generate_parallel(  # noqa: PLR0913, PLR0917
    generator: Generator,
    vectors_MD: np.ndarray,
    seeds: list[int],
    settings: SamplingParams,
    batch_rows: int,
    progress: StepProgress | None = None,
) -> np.ndarray:
    """Return what `Generator.generate` does, with as many batches at a time as there are cores to spare.

    Each batch has one core: with another number of them a sum is rounded otherwise, and one sample in some
    hundred differs by a bit of its 16. So a sound does not depend on the cores that its worker was given.
    """
    starts = range(0, len(seeds), batch_rows)

    def lane(start: int) -> np.ndarray:
        part = slice(start, start + batch_rows)
        return generator.generate(vectors_MD[part], seeds[part], settings, progress)

    with ThreadPoolExecutor(count_lanes(), initializer=make_single_threaded) as pool:
        return np.concatenate(list(pool.map(lane, starts)))


def count_lanes() -> int:
    """Return how many batches are made at a time: two shards are at work in a process; a GPU takes one."""
    return 1 if choose_device().type == "cuda" else -(-cpu.count_cpus() // 2)


def make_single_threaded() -> None:
    """Let torch compute this thread's sums in one piece; it keeps that number for each thread."""
    import torch

    torch.set_num_threads(1)


@dataclass(frozen=True)
class SingleThreaded(Stage):
    """A stage whose sums are computed in one piece, whatever cores its worker was given."""

    stage: Stage

    @property
    def name(self) -> str:
        """The stage's."""
        return self.stage.name

    @property
    def reads(self) -> frozenset[str]:
        """The stage's."""
        return self.stage.reads

    @property
    def adds(self) -> frozenset[str]:
        """The stage's."""
        return self.stage.adds

    def open(self) -> Work:
        """Open the stage."""
        work = self.stage.open()

        def alone(batch: Batch) -> Batch:
            make_single_threaded()
            return work(batch)

        return alone


def encode_sound(wave_T: np.ndarray, rate_hz: int, form: SoundFormat) -> bytes:
    """Return a sound file of 16 bits, whose bytes depend on the samples alone."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, wave_T, rate_hz, format=_FORMATS[form], subtype="PCM_16")
    return file.getvalue()


def _unit(vector: np.ndarray | None) -> np.ndarray | None:
    if vector is None:
        return None
    whole_D = vector.astype(np.float32)
    length = float(np.linalg.norm(whole_D))
    return whole_D / length if np.isfinite(length) and length > 0 else None


def _or_least(score: float | None) -> float:
    return -2.0 if score is None else score
