"""The part of a clip in which something is heard that prompts name, and the frame inside it that shows it.

Captions are not looked at. Segments slide over the stored sound; each is scored against the prompts, and the
best one is taken with the neighbours that are above the threshold, too. Of the frames that are shown inside
it the one is taken that fits the pictures' prompts best.

In 200 sounds of the miniature world in which one of six animals is heard once, what the names of the six
selected against those of 18 other things contained some of it in 100 % (3 s, pocket CLAP), as their captions
did, and the middle in 41 %. 98 % of them were above the threshold of 0.5, and 2 % of 100 sounds of other
things. Against five places alone, which pocket CLAP never heard by themselves, it was in 88 %.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from pipelines.compute import timing
from pipelines.compute.device import get_decode_pool
from pipelines.encode.classifiers.classifier import ClassifierLoader
from pipelines.encode.encoder import EncoderSpecs, get_spaces
from pipelines.encode.frame_times import compute_frame_times, find_frames_inside, find_nearest_frames
from pipelines.encode.heard import HeardPart, find_heard_part
from pipelines.encode.scorers import Scorer, make_class_scorer, make_cosine_scorer, make_share_scorer
from pipelines.encode.segments import find_compared_columns
from pipelines.encode.sound_segments import decode_stored_sound, encode_wav, find_segment_starts
from pipelines.errors import UndecodableMediaError
from pipelines.stage import Batch, Work, count_rows
from schemas.families import get_modality
from schemas.outcome import Outcome, make_outcome
from schemas.sample import FRAMES
from schemas.segment import Segment
from schemas.vectors import CHOICE, PROMPTED_CHOICE

_log = logging.getLogger(__name__)

# Clips of a group, as in segments.py; two groups are in memory at once.
_GROUP = 8
_NAMES = (*CHOICE.names, *PROMPTED_CHOICE.names)
_T = TypeVar("_T")


@dataclass(frozen=True)
class PromptedSegmentStage:
    """Reduces a clip to the part that prompts name: `flac` becomes it, `frame` the index of one frame.

    A sound no longer than a segment is taken whole, and scored all the same. A clip below the threshold is
    `filtered/not_heard` and keeps its score; with `below: keep` its best segment is taken.

    Attributes:
        segment: how to select.
        specs: the encoders, by the keys of the dataset's file.
        classifier: of sounds, in place of prompts.
    """

    segment: Segment = field(hash=False)
    specs: EncoderSpecs = field(hash=False)
    classifier: ClassifierLoader | None = None
    name: str = "choose"
    reads: frozenset[str] = frozenset({"outcome", "reason", "width", "length_s", "flac", *FRAMES})
    adds: frozenset[str] = frozenset({"outcome", "reason", "flac", *_NAMES})

    def open(self) -> Work:
        """Load the encoders and the classifier, and start the threads."""
        segment, spaces = self.segment, get_spaces(self.specs)
        compared = find_compared_columns(spaces)
        sounds: Scorer
        if self.classifier:
            sounds = make_class_scorer(self.classifier, segment.classes)
        else:
            texts = (segment.prompts, segment.against)
            sounds = make_share_scorer(self.specs, compared["audio"], texts, segment.temperature)
        frames = None
        if "image" in compared:
            seen = segment.frame_prompts or segment.prompts or segment.classes
            frames = make_cosine_scorer(self.specs, compared["image"], seen)
        has_pictures = any(get_modality(column) == "image" for column in spaces)
        return _PromptedWork(segment, sounds, frames, has_pictures, get_decode_pool())


@dataclass(frozen=True)
class _CutSound:
    """A stored sound and its segments, with the input of the net that scores them."""

    samples_T: np.ndarray
    rate_hz: int
    starts_s: list[float]
    ends_s: list[float]
    prepared: list[np.ndarray]

    def encode_part(self, part: HeardPart) -> bytes:
        """Return a part of the sound as a WAV file."""
        first, last = (round(time_s * self.rate_hz) for time_s in (part.start_s, part.end_s))
        return encode_wav(self.samples_T[first:last], self.rate_hz)


@dataclass(frozen=True)
class _PromptedWork:
    """The work of `PromptedSegmentStage`."""

    segment: Segment
    sounds: Scorer
    frames: Scorer | None
    has_pictures: bool
    pool: ThreadPoolExecutor

    def __call__(self, batch: Batch) -> Batch:
        result = batch | {name: [None] * count_rows(batch) for name in _NAMES}
        result |= {name: list(batch[name]) for name in ("outcome", "reason", "flac")}
        usable = [row for row in range(count_rows(batch)) if batch["outcome"][row] == "ok"]
        for group in self._cut_groups(batch, usable):
            sounds = _set_outcomes(result, group)
            parts = self._select_parts(result, sounds)
            self._select_frames(result, parts)
        return result

    def _cut_groups(self, batch: Batch, rows: Sequence[int]) -> Iterator[dict[int, _CutSound | Outcome]]:
        """Decode a group of rows while the nets run on the one before."""

        def submit(first: int) -> dict[int, Future[_CutSound | Outcome]]:
            return {
                row: self.pool.submit(_decode, self._cut_sound, batch["flac"][row])
                for row in rows[first : first + _GROUP]
            }

        ahead = submit(0)
        for first in range(_GROUP, len(rows) + _GROUP, _GROUP):
            group = {row: future.result() for row, future in ahead.items()}
            ahead = submit(first)
            yield group

    def _cut_sound(self, flac: bytes) -> _CutSound:
        samples_T, rate_hz = decode_stored_sound(flac)
        length, step = (round(value_s * rate_hz) for value_s in (self.segment.segment_s, self.segment.step_s))
        starts = find_segment_starts(len(samples_T), length, step)
        ends = [min(start + length, len(samples_T)) for start in starts]
        wavs = [encode_wav(samples_T[start:end], rate_hz) for start, end in zip(starts, ends, strict=True)]
        return _CutSound(
            samples_T,
            rate_hz,
            [start / rate_hz for start in starts],
            [end / rate_hz for end in ends],
            [self.sounds.prepare(wav) for wav in wavs],
        )

    def _select_parts(
        self, result: Batch, sounds: dict[int, _CutSound]
    ) -> dict[int, tuple[HeardPart, float]]:
        """Set the part of each sound, and its outcome; return those that are kept, and how long sounds are.

        Where no segment has a score the middle is taken, and `EncodeStage` gives the row its outcome.
        """
        items = [item for sound in sounds.values() for item in sound.prepared]
        scores_M = self.sounds.score(items) if items else np.empty(0)
        counts = [len(sound.prepared) for sound in sounds.values()]
        segment, kept = self.segment, {}
        for (row, sound), scores_N in zip(
            sounds.items(), np.split(scores_M, np.cumsum(counts)[:-1]), strict=False
        ):
            part = find_heard_part(
                sound.starts_s, sound.ends_s, scores_N, segment.threshold if segment.merge else None
            )
            if part is None:
                middle = (len(scores_N) - 1) // 2
                part = HeardPart(sound.starts_s[middle], sound.ends_s[middle], float("nan"))
            else:
                result["segment_score"][row] = part.score
            result["segment_start_s"][row] = part.start_s
            result["segment_length_s"][row] = part.end_s - part.start_s
            if part.score < segment.threshold and segment.below == "drop":
                result["outcome"][row], result["reason"][row] = make_outcome("filtered", "not_heard")
                continue
            result["flac"][row] = sound.encode_part(part)
            kept[row] = part, len(sound.samples_T) / sound.rate_hz
        return kept

    def _select_frames(self, result: Batch, parts: dict[int, tuple[HeardPart, float]]) -> None:
        """Set the frame of each row that has pictures: of those inside its part the one that fits best."""
        if not self.has_pictures:
            return
        shown = {row: found for row, found in parts.items() if result["width"][row] is not None}
        candidates: dict[int, list[int]] = {}
        submitted: dict[int, Future[list[np.ndarray] | Outcome]] = {}
        times: dict[int, np.ndarray] = {}
        for row, (part, sound_s) in shown.items():
            length_s = result["length_s"][row] or sound_s
            times[row] = compute_frame_times(length_s)
            candidates[row] = find_frames_inside(part.start_s, part.end_s, length_s)
            if self.frames is None:
                middle_s = np.array([(part.start_s + part.end_s) / 2])
                candidates[row] = [int(find_nearest_frames(middle_s, np.array([length_s]))[0])]
            else:
                pictures = [result[FRAMES[frame]][row] for frame in candidates[row]]
                submitted[row] = self.pool.submit(_decode, self._prepare_frames, pictures)
        prepared = _set_outcomes(result, {row: future.result() for row, future in submitted.items()})
        items = [item for pieces in prepared.values() for item in pieces]
        scores = iter(self.frames.score(items) if self.frames and items else ())
        for row, frames in candidates.items():
            if result["outcome"][row] != "ok":
                continue
            cosines = np.array([next(scores) for _ in frames]) if row in prepared else np.full(1, np.nan)
            best = int(np.nanargmax(cosines)) if np.isfinite(cosines).any() else 0
            result["frame"][row], result["frame_s"][row] = frames[best], float(times[row][frames[best]])
            result["frame_score"][row] = float(cosines[best]) if np.isfinite(cosines[best]) else None

    def _prepare_frames(self, pictures: Sequence[bytes]) -> list[np.ndarray]:
        return [self.frames.prepare(picture) for picture in pictures] if self.frames else []


def _decode(decode: Callable[..., _T], media: object) -> _T | Outcome:
    """Return what is decoded, or the outcome of what cannot be."""
    try:
        with timing.measure_time("decode"):
            return decode(media)
    except UndecodableMediaError as error:
        return make_outcome("invalid", error.reason)
    except Exception:
        _log.exception("no part of a clip could be selected")
        return make_outcome("failed", "bug")


def _set_outcomes(result: Batch, decoded: dict[int, _T | Outcome]) -> dict[int, _T]:
    """Set the outcomes of rows that could not be decoded; return the others."""
    usable: dict[int, _T] = {}
    for row, found in decoded.items():
        if isinstance(found, Outcome):
            result["outcome"][row], result["reason"][row] = found
        else:
            usable[row] = found
    return usable
