"""The stage: vectors or captions -> sound files, the best of a few candidates of each.

Shapes: N rows of a batch, M candidates of all rows together, D dimensions, T samples.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pipelines.compute import cpu
from pipelines.compute.device import choose_device
from pipelines.encode.encoder import EncoderSpec, Tower, encode
from pipelines.errors import UndecodableMediaError
from pipelines.generate.generator import Generator, SamplingParams, StepProgress
from pipelines.generate.loudness import normalize_loudness
from pipelines.generate.registry import GeneratorSpec
from pipelines.stage import Batch, Stage, Work, count_rows
from schemas.families import Column
from schemas.generated import GenerationParams, SoundFormat
from schemas.outcome import make_outcome

_NO_VECTOR = make_outcome("failed", "no_vector")
_NO_SOUND = make_outcome("failed", "no_sound")
# Columns of a generated sound; null where there is none.
_SOUND_COLUMNS = ("sound", "chosen", "candidate_seed", "score", "candidate_scores", "length_s", "sha256")
_FORMATS: dict[SoundFormat, str] = {"flac": "FLAC", "wav": "WAV"}


def derive_seed(seed: int, row_id: str, candidate: int) -> int:
    """Return the seed of a candidate, 63 bits: it depends on its row alone, not on its batch or shard."""
    digest = hashlib.sha256(f"{seed}/{row_id}/{candidate}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True)
class GenerateStage(Stage):
    """The stage: a vector or a caption -> a sound. A row without a sound gets an outcome with the reason.

    Attributes:
        generator: loaded in each worker.
        column: of the vectors, in the space of the generator's CLAP; None: captions, by its own text tower.
        params: of the generation.
        judge: the CLAP whose audio tower scores candidates, verified to be the generator's; None: no scores.
        progress: called after each step of each batch, from its thread; an exception in it ends the work.
    """

    generator: GeneratorSpec
    column: Column | None
    params: GenerationParams
    judge: EncoderSpec | None
    progress: StepProgress | None = None

    @property
    def name(self) -> str:
        """The word for it in progress and profiles."""
        return "generate"

    @property
    def reads(self) -> frozenset[str]:
        """The vector or the caption, the id for the seeds, and the outcome."""
        return frozenset({self.column or "caption", "id", "outcome", "reason"})

    @property
    def adds(self) -> frozenset[str]:
        """The sound, and how it was selected."""
        return frozenset({*_SOUND_COLUMNS, "outcome", "reason"})

    def open(self) -> Work:
        """Load the generator and the judge, onto a GPU where there is one."""
        generator = self.generator.open()
        scorer = AudioScorer(self.judge) if self.judge else None

        def work(batch: Batch) -> Batch:
            make_single_threaded()
            columns: Batch = {name: [None] * count_rows(batch) for name in _SOUND_COLUMNS}
            outcomes, reasons = list(batch["outcome"]), list(batch["reason"])
            rows = [row for row, status in enumerate(outcomes) if status == "ok"]
            vectors = dict(zip(rows, self._get_vectors(generator, batch, rows), strict=True))
            for row in rows:
                if vectors[row] is None:
                    outcomes[row], reasons[row] = _NO_VECTOR
            usable = {row: vector for row, vector in vectors.items() if vector is not None}
            for row, sound in self._generate(generator, scorer, batch, usable).items():
                if sound is None:
                    outcomes[row], reasons[row] = _NO_SOUND
                    continue
                for name in _SOUND_COLUMNS:
                    columns[name][row] = sound[name]
            return batch | columns | {"outcome": outcomes, "reason": reasons}

        return work

    def _get_vectors(self, generator: Generator, batch: Batch, rows: list[int]) -> list[np.ndarray | None]:
        """Return the unit vector of each row, None where there is no direction."""
        if self.column is None:
            return list(generator.encode_text([batch["caption"][row] for row in rows])) if rows else []
        return [_normalize_vector(batch[self.column][row]) for row in rows]

    def _generate(
        self, generator: Generator, scorer: AudioScorer | None, batch: Batch, usable: dict[int, np.ndarray]
    ) -> dict[int, dict[str, object] | None]:
        """Return the sound columns of each row; None where no candidate is a sound."""
        count, params = self.params.candidates, self.params
        if not usable:
            return {}
        seeds = {row: [derive_seed(params.seed, batch["id"][row], n) for n in range(count)] for row in usable}
        waves_MT = generate_parallel(
            generator,
            np.repeat(np.stack([*usable.values()]), count, axis=0),
            [seed for each in seeds.values() for seed in each],
            SamplingParams(params.length_s, params.steps, params.guidance),
            self.generator.info.batch_rows,
            self.progress,
        )
        files = [self._encode_file(wave_T, generator.rate_hz) for wave_T in waves_MT]
        audio_MD = scorer.embed(files) if scorer else None
        sounds: dict[int, dict[str, object] | None] = {}
        for number, (row, unit_D) in enumerate(usable.items()):
            own = slice(number * count, (number + 1) * count)
            scores: list[float | None] = [None] * count
            if audio_MD is not None:
                scores = [float(cosine) if np.isfinite(cosine) else None for cosine in audio_MD[own] @ unit_D]
            sounds[row] = _select_best(files[own], scores, seeds[row])
            if (best := sounds[row]) is not None:
                best["length_s"] = waves_MT.shape[1] / generator.rate_hz
        return sounds

    def _encode_file(self, wave_T: np.ndarray, rate_hz: int) -> bytes | None:
        if not np.isfinite(wave_T).all():
            return None
        return encode_sound(normalize_loudness(wave_T[None])[0], rate_hz, self.params.format)


def _select_best(
    files: list[bytes | None], scores: list[float | None], seeds: list[int]
) -> dict[str, object] | None:
    """Return the columns of a row's best candidate, of equals the first; None if none is a sound.

    A candidate without a score is selected only if none has one.
    """
    candidates = [n for n, file in enumerate(files) if file is not None]
    if not candidates:
        return None
    best = min(candidates, key=lambda n: (-_score_or_least(scores[n]), n))
    sound = files[best]
    assert sound is not None
    return {
        "sound": sound,
        "chosen": best,
        "candidate_seed": seeds[best],
        "score": scores[best],
        "candidate_scores": scores,
        "sha256": hashlib.sha256(sound).hexdigest(),
    }


class AudioScorer:
    """The audio tower of a CLAP, which embeds sound files.

    Args:
        spec: the CLAP.
        fallback: value of all coordinates of a file that the tower cannot decode.
    """

    def __init__(self, spec: EncoderSpec, fallback: float = np.nan) -> None:
        self._tower: Tower = spec.open()["audio"]
        self._batch_rows, self._dims, self._fallback = spec.space.batch_rows, spec.space.dims, fallback

    def embed(self, files: Sequence[bytes | None]) -> np.ndarray:
        """Return the unit vector of each sound file, float32 [M, D]; `fallback` where there is none."""
        pieces: dict[int, np.ndarray] = {}
        for number, file in enumerate(files):
            try:
                if file is not None:
                    pieces[number] = self._tower.prepare(file)
            except UndecodableMediaError:
                continue
        units_MD = np.full((len(files), self._dims), self._fallback, np.float32)
        if pieces:
            units_MD[[*pieces]] = encode(self._tower, [*pieces.values()], self._batch_rows)[0]
        return units_MD


def generate_parallel(  # noqa: PLR0913, PLR0917
    generator: Generator,
    vectors_MD: np.ndarray,
    seeds: list[int],
    params: SamplingParams,
    batch_rows: int,
    progress: StepProgress | None = None,
) -> np.ndarray:
    """Return the sounds of `Generator.generate`, with several batches at a time.

    Each batch runs on one core: another number of threads rounds sums differently, and about one sample in a
    hundred differs by one of its 16 bits. So a sound does not depend on the cores of its worker.

    Args:
        generator: loaded.
        vectors_MD: as of `Generator.generate`.
        seeds: one a sound.
        params: of all sounds.
        batch_rows: sounds a batch.
        progress: called after each step of each batch, from the batch's thread.
    """
    starts = range(0, len(seeds), batch_rows)

    def generate_batch(start: int) -> np.ndarray:
        part = slice(start, start + batch_rows)
        return generator.generate(vectors_MD[part], seeds[part], params, progress)

    with ThreadPoolExecutor(count_parallel_batches(), initializer=make_single_threaded) as pool:
        return np.concatenate(list(pool.map(generate_batch, starts)))


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


def encode_sound(wave_T: np.ndarray, rate_hz: int, form: SoundFormat) -> bytes:
    """Return a sound file of 16 bits; equal samples give equal bytes."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, wave_T, rate_hz, format=_FORMATS[form], subtype="PCM_16")
    return file.getvalue()


def _normalize_vector(vector: np.ndarray | None) -> np.ndarray | None:
    if vector is None:
        return None
    full_D = vector.astype(np.float32)
    norm = float(np.linalg.norm(full_D))
    return full_D / norm if np.isfinite(norm) and norm > 0 else None


def _score_or_least(score: float | None) -> float:
    return -2.0 if score is None else score
