"""A URL of sound or video -> the clips that rows want of it: FLAC, four frames, and what they are like."""

from __future__ import annotations

import errno
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

import numpy as np

from pipelines.compute import timing
from pipelines.errors import ClipCutError, UnreadableMediaError
from pipelines.fetch import files
from pipelines.fetch.http_client import HttpClient, make_disk_full_error
from pipelines.fetch.image import ImageConverter
from pipelines.fetch.media_threads import MediaThreads
from pipelines.fetch.truncation import is_cut_file
from pipelines.fetch.video import ffmpeg
from pipelines.fetch.worker import FetchRequest, FetchResult
from schemas.dataset import Fetch
from schemas.outcome import OK, make_outcome
from schemas.sample import FRAMES, SAMPLE_RATE_HZ

_GREY = 128
_LOUDEST = 32_767
_CELLS = (16, 16)
_SIZES = ("width", "height", "original_width", "original_height")


class ClipReader:
    """Reads audio and video from the web, from files, and from members of tars. Thread-safe."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._pictures = ImageConverter(fetch)
        self._blank = _blank_jpg(fetch.image_size)

    async def read(
        self, web: HttpClient, threads: MediaThreads, wanted: Sequence[FetchRequest]
    ) -> list[FetchResult]:
        """Return the clips that rows cut out of one medium, asked for once."""
        url = wanted[0].url
        place = files.parse_location(url) if wanted[0].local else None
        if place and place.path:
            return await threads.run(self._cut_file, place, place.path, wanted)
        with NamedTemporaryFile(prefix="echolens-") as file:
            if place:
                return await threads.run(self._cut_copy, place, file, wanted)
            answer = await web.get(url, file)
            if answer.outcome != OK:
                return [FetchResult(answer.outcome)] * len(wanted)
            _flush(file)
            media = await threads.run(self.cut, Path(file.name), wanted)
        if answer.content_type == "text/html" and media[0].outcome.reason == "undecodable":
            return [FetchResult(make_outcome("invalid", "html"))] * len(wanted)
        return media

    def _cut_file(
        self, place: files.MediaLocation, path: Path, wanted: Sequence[FetchRequest]
    ) -> list[FetchResult]:
        try:
            files.check(place, self._fetch.max_bytes)
        except UnreadableMediaError as error:
            return [FetchResult(error.outcome)] * len(wanted)
        return self.cut(path, wanted)

    def _cut_copy(
        self, place: files.MediaLocation, file: IO[bytes], wanted: Sequence[FetchRequest]
    ) -> list[FetchResult]:
        try:
            data = files.read(place, self._fetch.max_bytes)
        except UnreadableMediaError as error:
            return [FetchResult(error.outcome)] * len(wanted)
        _flush(file, data)
        return self.cut(Path(file.name), wanted)

    async def close(self) -> None:
        """Keep nothing open."""

    def cut(self, path: Path, wanted: Sequence[FetchRequest]) -> list[FetchResult]:
        """Return the clips that rows cut out of a file."""
        with timing.measure_time("decode"):
            if is_cut_file(path):
                return [FetchResult(make_outcome("invalid", "truncated"))] * len(wanted)
            try:
                streams = ffmpeg.probe_streams(path, self._fetch.max_pixels)
            except ClipCutError as error:
                return [FetchResult(error.outcome)] * len(wanted)
            cuts = {(each.start_s, each.length_s) for each in wanted}
            made = {cut: self._clip(path, streams, *cut) for cut in cuts}
        return [made[each.start_s, each.length_s] for each in wanted]

    def _clip(
        self, path: Path, streams: ffmpeg.MediaStreams, start_s: float, length_s: float | None
    ) -> FetchResult:
        if not streams.audio:
            return FetchResult(make_outcome("invalid", "no_audio"))
        try:
            sound_T = ffmpeg.cut_sound(path, start_s, length_s)
            if not len(sound_T):
                return FetchResult(make_outcome("invalid", "past_the_end" if start_s else "no_audio"))
            sound_s = len(sound_T) / SAMPLE_RATE_HZ
            bitmaps = ffmpeg.cut_frames(path, start_s, length_s or sound_s) if streams.video else []
            flac = ffmpeg.encode_flac(sound_T, length_s)
        except ClipCutError as error:
            return FetchResult(error.outcome)
        frames = self._stored(bitmaps)
        if frames.outcome != OK:
            return frames
        return FetchResult(
            OK,
            frames.columns
            | {
                "flac": flac,
                "sha256": hashlib.sha256(flac).hexdigest(),
                "peak_dbfs": compute_peak_dbfs(sound_T),
                "full_scale_share": compute_full_scale_share(sound_T),
                "sound_s": sound_s,
            },
        )

    def _stored(self, bitmaps: list[bytes]) -> FetchResult:
        """The four frames, stored as pictures are; blank ones, and no width, where there is only sound.

        Every sample of a tar must have the same members.
        """
        if not bitmaps:
            return FetchResult(OK, dict.fromkeys(FRAMES, self._blank))
        stored = [self._pictures.stored(bitmap) for bitmap in bitmaps]
        if bad := [each for each in stored if each.outcome != OK]:
            return bad[0]
        sizes = {name: stored[0].columns[name] for name in _SIZES}
        jpgs = {name: each.columns["jpg"] for name, each in zip(FRAMES, stored, strict=True)}
        return FetchResult(OK, jpgs | sizes | {"frame_change": compute_frame_change(bitmaps)})


def _flush(file: IO[bytes], data: bytes = b"") -> None:
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise make_disk_full_error() from error
        raise


def compute_peak_dbfs(sound_T: np.ndarray[Any, np.dtype[np.int16]]) -> float | None:
    """Return the loudest sample of int16 [T] in dB below full scale; None for digital silence."""
    peak = int(np.abs(sound_T.astype(np.int32)).max())
    return round(20 * math.log10(peak / 32768), 2) if peak else None


def compute_full_scale_share(sound_T: np.ndarray[Any, np.dtype[np.int16]]) -> float:
    """Return how much of int16 [T] lies at full scale, where what was louder has been cut off."""
    return float(np.mean((sound_T == _LOUDEST) | (sound_T <= -_LOUDEST)))


def compute_frame_change(bitmaps: Sequence[bytes]) -> float:
    """Return by how much frames differ, in grey levels from 0 to 255.

    Of each of 16 x 16 cells the mean brightness is compared, so that the noise of a codec does not count and
    a small thing that moves does; the cell and the two frames that differ most decide.
    """
    import cv2

    def cells(bitmap: bytes) -> np.ndarray[Any, np.dtype[np.int16]]:
        grey = cv2.imdecode(np.frombuffer(bitmap, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert grey is not None
        return cv2.resize(grey, _CELLS, interpolation=cv2.INTER_AREA).astype(np.int16)

    return float(np.ptp(np.stack([cells(bitmap) for bitmap in bitmaps]), axis=0).max())


def _blank_jpg(side_px: int) -> bytes:
    import cv2

    _, data = cv2.imencode(".jpg", np.full((side_px, side_px, 3), _GREY, np.uint8))
    return data.tobytes()
