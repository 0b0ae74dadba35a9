"""Which part of a clip is encoded: all of it, its middle, or the part that matches its caption best.

Stored media must not depend on an encoder, so the part is selected here, from the stored clip: of windows
that slide over the sound the one whose vector is nearest to the caption's (of CLAP, or of the first family
that embeds both), and of the four frames the one whose CLIP vector is. In 200 sounds of the miniature world
that hold one event, the 3 s of 10 s that pocket CLAP selected contained some of it in 99.5 %; 3 s anywhere do
in 46 %.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pipelines.compute import timing
from pipelines.compute.device import get_decode_pool
from pipelines.encode.batch_assembler import BatchAssembler
from pipelines.encode.encoder import EncoderSpecs, Tower, get_spaces, open_tower, pool_pieces
from pipelines.encode.sound_segments import decode_stored_sound, encode_wav, find_segment_starts
from pipelines.errors import UndecodableMediaError
from pipelines.stage import Batch, Work, count_rows
from schemas.families import Column, Modality, get_modality
from schemas.outcome import Outcome, make_outcome
from schemas.sample import FRAMES
from schemas.segment import Segment
from schemas.space import Space
from schemas.vectors import CHOICE

_log = logging.getLogger(__name__)

# Clips of a group; two groups are in memory at once. The eight windows of a clip are 2 MB for LAION's CLAP,
# its four frames another 2.4 MB for ViT-B-32.
_GROUP = 8

# What is selected of a clip: a segment of its sound, a frame of its pictures.
_MEDIA: tuple[Modality, ...] = ("audio", "image")


@dataclass(frozen=True)
class SelectSegmentStage:
    """Reduces a clip to one part: `flac` becomes the segment, `frame` the index of one frame of four.

    A sound no longer than a segment is taken whole; the silence that pads a clip is not part of it. Where
    nothing can be compared, as without a caption, the middle is selected and there is no score. A set
    without a column of sounds has no segment; one without a column of pictures, or a clip without pictures,
    has no frame.

    Attributes:
        segment: how to select.
        specs: the encoders, by the keys of the dataset's file.
    """

    segment: Segment
    specs: EncoderSpecs = field(hash=False)
    name: str = "choose"
    reads: frozenset[str] = frozenset({"outcome", "reason", "caption", "width", "flac", *FRAMES})
    adds: frozenset[str] = frozenset({"outcome", "reason", "flac", *CHOICE.names})

    def open(self) -> Work:
        """Load the encoders, where any are needed, and start the threads."""
        spaces = get_spaces(self.specs)
        compared = find_compared_columns(spaces) if self.segment.mode == "best" else {}
        towers = {
            medium: _TowerPair(*(open_tower(self.specs, column) for column in columns))
            for medium, columns in compared.items()
        }
        nets = {
            medium: _NetPair(
                BatchAssembler(towers[medium].media, spaces[columns[0]].batch_rows, spaces[columns[0]].dims),
                BatchAssembler(towers[medium].text, spaces[columns[1]].batch_rows, spaces[columns[1]].dims),
            )
            for medium, columns in compared.items()
        }
        embedded = {get_modality(column) for column in spaces}
        return _SelectWork(
            self.segment,
            tuple(medium for medium in _MEDIA if medium in embedded),
            towers,
            nets,
            get_decode_pool(),
        )


class _TowerPair(NamedTuple):
    """The towers that compare the pieces of a medium with a caption."""

    media: Tower
    text: Tower


class _NetPair(NamedTuple):
    """The nets of a pair of towers."""

    media: BatchAssembler
    text: BatchAssembler


def find_compared_columns(spaces: Mapping[Column, Space]) -> dict[Modality, tuple[Column, Column]]:
    """Return medium -> the first column of it, and the column of texts that it can be compared with."""
    compared: dict[Modality, tuple[Column, Column]] = {}
    for column, space in spaces.items():
        medium = get_modality(column)
        for text, text_space in spaces.items():
            if medium in _MEDIA and get_modality(text) == "text" and space.is_comparable(text_space):
                compared.setdefault(medium, (column, text))
    return compared


@dataclass(frozen=True)
class _Clip:
    """The segments and frames of a clip, with the input of the nets where they are compared."""

    starts_s: list[float]
    segments: list[bytes]
    frames: int
    prepared: dict[Modality, list[np.ndarray]]
    captions: dict[Modality, np.ndarray]


@dataclass(frozen=True)
class _SelectWork:
    """The work of `SelectSegmentStage`."""

    segment: Segment
    media: tuple[Modality, ...]
    towers: Mapping[Modality, _TowerPair]
    # Not shared with `EncodeStage`, which waits for this stage: each would wait for the other's pieces.
    nets: Mapping[Modality, _NetPair]
    pool: ThreadPoolExecutor

    def __call__(self, batch: Batch) -> Batch:
        result = batch | {name: [None] * count_rows(batch) for name in CHOICE.names}
        result |= {name: list(batch[name]) for name in ("outcome", "reason", "flac")}
        usable = [row for row in range(count_rows(batch)) if batch["outcome"][row] == "ok"]
        for group in self._decode_groups(batch, usable):
            clips = {row: clip for row, clip in group.items() if isinstance(clip, _Clip)}
            chosen = {medium: self._select_best(medium, list(clips.values())) for medium in self.media}
            for number, (row, clip) in enumerate(clips.items()):
                if "audio" in chosen:
                    at, result["segment_score"][row] = chosen["audio"][number]
                    result["segment_start_s"][row], result["flac"][row] = clip.starts_s[at], clip.segments[at]
                if "image" in chosen and clip.frames:
                    result["frame"][row], result["frame_score"][row] = chosen["image"][number]
            for row, decoded in group.items():
                if isinstance(decoded, Outcome):
                    result["outcome"][row], result["reason"][row] = decoded
        return result

    def _decode_groups(self, batch: Batch, rows: Sequence[int]) -> Iterator[dict[int, _Clip | Outcome]]:
        """Decode a group of rows while the nets run on the one before."""

        def submit(first: int) -> dict[int, Future[_Clip | Outcome]]:
            return {row: self.pool.submit(self._decode, batch, row) for row in rows[first : first + _GROUP]}

        ahead = submit(0)
        for first in range(_GROUP, len(rows) + _GROUP, _GROUP):
            group = {row: future.result() for row, future in ahead.items()}
            ahead = submit(first)
            yield group

    def _decode(self, batch: Batch, row: int) -> _Clip | Outcome:
        try:
            with timing.measure_time("decode"):
                starts_s, segments = self._cut_segments(batch["flac"][row])
                frames = [] if batch["width"][row] is None else [batch[name][row] for name in FRAMES]
                return self._prepare(
                    _Clip(starts_s, segments, len(frames), {}, {}), frames, batch["caption"][row]
                )
        except UndecodableMediaError as error:
            return make_outcome("invalid", error.reason)
        except Exception:
            _log.exception("no part of a clip could be selected")
            return make_outcome("failed", "bug")

    def _cut_segments(self, flac: bytes) -> tuple[list[float], list[bytes]]:
        """Return the start of each segment, and each as a WAV file."""
        samples_T, rate_hz = decode_stored_sound(flac)
        length, step = (round(value_s * rate_hz) for value_s in (self.segment.segment_s, self.segment.step_s))
        is_middle = self.segment.mode == "middle"
        middle = max(0, len(samples_T) - length) // 2
        starts = [middle] if is_middle else find_segment_starts(len(samples_T), length, step)
        parts = [encode_wav(samples_T[start : start + length], rate_hz) for start in starts]
        return [start / rate_hz for start in starts], parts

    def _prepare(self, clip: _Clip, frames: Sequence[bytes], caption: str) -> _Clip:
        media: Mapping[Modality, Sequence[bytes]] = {"audio": clip.segments, "image": frames}
        for medium, towers in self.towers.items():
            if caption.strip() and len(media[medium]) > 1:
                clip.prepared[medium] = [towers.media.prepare(item) for item in media[medium]]
                clip.captions[medium] = towers.text.prepare(caption)
        return clip

    def _select_best(self, medium: Modality, clips: Sequence[_Clip]) -> list[tuple[int, float | None]]:
        """Return the item of each clip that is nearest to its caption, and its cosine."""
        compared = [clip for clip in clips if medium in clip.prepared]
        cosines = iter(self._compute_cosines(medium, compared))
        chosen: list[tuple[int, float | None]] = []
        for clip in clips:
            count = len(clip.segments) if medium == "audio" else clip.frames
            middle = (max(count, 1) - 1) // 2
            scores = next(cosines) if medium in clip.prepared else np.array([])
            # NaN: a vector without a direction; `EncodeStage` gives the row its outcome.
            has_score = scores.size and np.isfinite(scores).any()
            best = int(np.nanargmax(scores)) if has_score else middle
            chosen.append((best, float(scores[best]) if has_score else None))
        return chosen

    def _compute_cosines(self, medium: Modality, clips: Sequence[_Clip]) -> list[np.ndarray]:
        if not clips:
            return []
        nets = self.nets[medium]
        items = [item for clip in clips for item in clip.prepared[medium]]
        media_MD = encode_items(nets.media, items)
        texts_ND = encode_items(nets.text, [clip.captions[medium] for clip in clips])
        counts = [len(clip.prepared[medium]) for clip in clips]
        cosines_M = (media_MD * np.repeat(texts_ND, counts, axis=0)).sum(axis=1)
        return np.split(cosines_M, np.cumsum(counts)[:-1])


def encode_items(assembler: BatchAssembler, items: Sequence[np.ndarray]) -> np.ndarray:
    """Return the unit vectors of prepared items, float32 [N, D]."""
    with assembler.accept_pieces():
        slots = [assembler.add(piece) for item in items for piece in item]
    raw_MD = np.stack([slot.wait_for_vector() for slot in slots])
    return pool_pieces(raw_MD, [len(item) for item in items])[0]
