"""The stage: vectors, or captions -> the best of a few sounds of each, as files.

Shapes: N rows of a batch, C candidates of each, D dimensions, T samples.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np

from pipelines.encode.encoder import EncoderSpec, Tower, Unusable, encode
from pipelines.generate.choice import Chosen
from pipelines.generate.generator import Generator, Settings
from pipelines.generate.loudness import levelled
from pipelines.stage import Batch, Stage, Work, rows
from schemas.generated import Making, SoundFormat
from schemas.outcome import outcome
from schemas.vectors import Column

_NO_VECTOR = outcome("failed", "no_vector")
_NO_SOUND = outcome("failed", "no_sound")
# What the stage makes of a row; null where there is no sound.
MADE = ("sound", "chosen", "candidate_seed", "score", "candidate_scores", "length_s", "sha256")
_FORMATS: dict[SoundFormat, str] = {"flac": "FLAC", "wav": "WAV"}


def seed_of(seed: int, row_id: str, candidate: int) -> int:
    """Return the seed of one candidate: of its row and nothing beside it, 63 bits."""
    digest = hashlib.sha256(f"{seed}/{row_id}/{candidate}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True)
class Make(Stage):
    """One stage: a vector or a caption -> a sound. Rows without one stay without, and say why.

    Attributes:
        chosen: the generator.
        column: whose vectors, in the space of the generator's CLAP; None: captions, by its own text tower.
        making: how sounds are made.
        judge: the CLAP whose audio tower scores candidates, gated to be the generator's; None: no scores.
    """

    chosen: Chosen
    column: Column | None
    making: Making
    judge: EncoderSpec | None

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
            made: Batch = {name: [None] * rows(batch) for name in MADE}
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
            return list(generator.text_vectors([batch["caption"][row] for row in there])) if there else []
        return [_unit(batch[self.column][row]) for row in there]

    def _made(
        self, generator: Generator, ears: _Ears | None, batch: Batch, usable: dict[int, np.ndarray]
    ) -> dict[int, dict[str, object] | None]:
        """Return what is made of each usable row; None where no candidate is a sound."""
        count, making = self.making.candidates, self.making
        if not usable:
            return {}
        seeds = {row: [seed_of(making.seed, batch["id"][row], n) for n in range(count)] for row in usable}
        waves_MT = generator.generate(
            np.repeat(np.stack([*usable.values()]), count, axis=0),
            [seed for each in seeds.values() for seed in each],
            Settings(making.length_s, making.steps, making.guidance),
        )
        found: dict[int, dict[str, object] | None] = {}
        for place, (row, unit_D) in enumerate(usable.items()):
            mine_CT = waves_MT[place * count : (place + 1) * count]
            found[row] = self._best(ears, mine_CT, seeds[row], unit_D, generator.rate_hz)
        return found

    def _best(
        self, ears: _Ears | None, waves_CT: np.ndarray, seeds: list[int], unit_D: np.ndarray, rate_hz: int
    ) -> dict[str, object] | None:
        files = [
            sound_file(levelled(wave_T[None])[0], rate_hz, self.making.format)
            if np.isfinite(wave_T).all()
            else None
            for wave_T in waves_CT
        ]
        if not any(files):
            return None
        scores = ears.scores(files, unit_D) if ears else [None] * len(files)
        # Of equals the first; one that could not be heard only where none could.
        order = sorted((n for n, file in enumerate(files) if file), key=lambda n: (-_or_least(scores[n]), n))
        kept = files[order[0]]
        assert kept is not None
        return {
            "sound": kept,
            "chosen": order[0],
            "candidate_seed": seeds[order[0]],
            "score": scores[order[0]],
            "candidate_scores": scores,
            "length_s": waves_CT.shape[1] / rate_hz,
            "sha256": hashlib.sha256(kept).hexdigest(),
        }


class _Ears:
    """The judge: how near a sound is to the vector that it was made of."""

    def __init__(self, spec: EncoderSpec) -> None:
        self._tower: Tower = spec.open()["audio"]
        self._batch_rows = spec.space.batch_rows

    def scores(self, files: list[bytes | None], unit_D: np.ndarray) -> list[float | None]:
        """Return the cosine of each sound file to a vector; None of what cannot be heard."""
        pieces: dict[int, np.ndarray] = {}
        for number, file in enumerate(files):
            try:
                if file is not None:
                    pieces[number] = self._tower.prepare(file)
            except Unusable:
                continue
        scores: list[float | None] = [None] * len(files)
        if pieces:
            units_ND, _ = encode(self._tower, [*pieces.values()], self._batch_rows)
            for number, cosine in zip(pieces, (units_ND @ unit_D).tolist(), strict=True):
                scores[number] = cosine if np.isfinite(cosine) else None
        return scores


def sound_file(wave_T: np.ndarray, rate_hz: int, form: SoundFormat) -> bytes:
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
