"""A URL of sound or video -> the clips of rows: FLAC, four frames, and their measures."""

from __future__ import annotations

import errno
import hashlib
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

import numpy as np

from pipelines.compute import timing
from pipelines.errors import ClipCutError, UnreadableMediaError
from pipelines.fetch import files
from pipelines.fetch.expected_hash import read_unchanged
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
_FULL_SCALE = 32_767
# -60 dB of full scale, which is silence to the filter of sounds, too.
_SILENT = 33
_CELLS = (16, 16)
_SIZES = ("width", "height", "original_width", "original_height")


class ClipReader:
    """Reads audio and video from the web, from files, and from members of tars. Thread-safe."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._converter = ImageConverter(fetch)
        self._blank = _make_blank_jpg(fetch.image_size)

    async def read(
        self, client: HttpClient, threads: MediaThreads, requests: Sequence[FetchRequest]
    ) -> list[FetchResult]:
        """Return the clips of rows that share a URL, which is requested once."""
        url = requests[0].url
        location = files.parse_location(url, requests[0].folder) if requests[0].local else None
        if location and location.path:
            return await threads.run(self._cut_file, location, location.path, requests)
        with NamedTemporaryFile(prefix="echolens-") as file:
            if location:
                return await threads.run(self._cut_copy, location, file, requests)
            response = await client.get(url, file)
            if response.outcome != OK:
                return [FetchResult(response.outcome)] * len(requests)
            _flush(file)
            results = await threads.run(self._cut_unchanged, Path(file.name), requests)
        if response.content_type == "text/html" and results[0].outcome.reason == "undecodable":
            return [FetchResult(make_outcome("invalid", "html"))] * len(requests)
        return results

    def _cut_file(
        self, location: files.MediaLocation, path: Path, requests: Sequence[FetchRequest]
    ) -> list[FetchResult]:
        try:
            files.check(location, self._fetch.max_bytes)
        except UnreadableMediaError as error:
            return [FetchResult(error.outcome)] * len(requests)
        return self._cut_unchanged(path, requests)

    def _cut_copy(
        self, location: files.MediaLocation, file: IO[bytes], requests: Sequence[FetchRequest]
    ) -> list[FetchResult]:
        try:
            data = files.read(location, self._fetch.max_bytes)
        except UnreadableMediaError as error:
            return [FetchResult(error.outcome)] * len(requests)
        _flush(file, data)
        return self._cut_unchanged(Path(file.name), requests)

    def _cut_unchanged(self, path: Path, requests: Sequence[FetchRequest]) -> list[FetchResult]:
        return read_unchanged(requests, path, partial(self.cut, path))

    async def close(self) -> None:
        """Do nothing: nothing is kept open."""

    def cut(self, path: Path, requests: Sequence[FetchRequest]) -> list[FetchResult]:
        """Return the clips of rows, cut out of one file."""
        with timing.measure_time("decode"):
            if is_cut_file(path):
                return [FetchResult(make_outcome("invalid", "truncated"))] * len(requests)
            try:
                streams = ffmpeg.probe_streams(path, self._fetch.max_pixels)
            except ClipCutError as error:
                return [FetchResult(error.outcome)] * len(requests)
            cuts = {(each.start_s, each.length_s) for each in requests}
            clips = {cut: self._make_clip(path, streams, *cut) for cut in cuts}
        return [clips[each.start_s, each.length_s] for each in requests]

    def _make_clip(
        self, path: Path, streams: ffmpeg.MediaStreams, start_s: float, length_s: float | None
    ) -> FetchResult:
        if not streams.tracks:
            return FetchResult(make_outcome("invalid", "no_audio"))
        try:
            if ffmpeg.is_past_end(path, start_s):
                return FetchResult(make_outcome("invalid", "past_end"))
            sound_T = cut_first_sound(path, streams, start_s, length_s)
            if not len(sound_T):
                return FetchResult(make_outcome("invalid", "past_end" if start_s else "no_audio"))
            sound_s = len(sound_T) / SAMPLE_RATE_HZ
            bitmaps = ffmpeg.cut_frames(path, start_s, length_s or sound_s) if streams.video else []
            flac = ffmpeg.encode_flac(sound_T, length_s)
        except ClipCutError as error:
            return FetchResult(error.outcome)
        frames = self._convert_frames(bitmaps)
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

    def _convert_frames(self, bitmaps: list[bytes]) -> FetchResult:
        """Return four frames, converted as pictures are; blank ones, and no width, where there is only sound.

        Every sample of a tar must have the same members.
        """
        if not bitmaps:
            return FetchResult(OK, dict.fromkeys(FRAMES, self._blank))
        converted = [self._converter.convert(bitmap) for bitmap in bitmaps]
        if failed := [each for each in converted if each.outcome != OK]:
            return failed[0]
        sizes = {name: converted[0].columns[name] for name in _SIZES}
        jpgs = {name: each.columns["jpg"] for name, each in zip(FRAMES, converted, strict=True)}
        return FetchResult(OK, jpgs | sizes | {"frame_change": compute_frame_change(bitmaps)})


def cut_first_sound(
    path: Path, streams: ffmpeg.MediaStreams, start_s: float, length_s: float | None
) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Return the sound of the first track that is not silent, int16 [T] at 48 kHz; of the first if all are.

    Raises:
        ClipCutError: the first cannot be decoded, or has samples that are not finite.
    """
    first_T = np.empty(0, np.int16)
    for track in streams.tracks:
        try:
            sound_T = ffmpeg.cut_sound(path, start_s, length_s, track)
        except ClipCutError:
            if not track.number:
                raise
            continue  # the silence of the first one is what the file has
        if ffmpeg.compute_peak(sound_T) >= _SILENT:
            return sound_T
        if not len(first_T):
            first_T = sound_T
    return first_T


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
    peak = ffmpeg.compute_peak(sound_T)
    return round(20 * math.log10(peak / 32768), 2) if peak else None


def compute_full_scale_share(sound_T: np.ndarray[Any, np.dtype[np.int16]]) -> float:
    """Return the share of samples of int16 [T] at full scale, where louder ones have been clipped."""
    return float(np.mean((sound_T == _FULL_SCALE) | (sound_T <= -_FULL_SCALE)))


def compute_frame_change(bitmaps: Sequence[bytes]) -> float:
    """Return by how much frames differ, in grey levels from 0 to 255.

    The mean brightness of each of 16 x 16 cells is compared, so that codec noise does not count and a small
    moving object does; the result is the largest range of a cell over all frames.
    """
    import cv2

    def average_cells(bitmap: bytes) -> np.ndarray[Any, np.dtype[np.int16]]:
        grey = cv2.imdecode(np.frombuffer(bitmap, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert grey is not None
        return cv2.resize(grey, _CELLS, interpolation=cv2.INTER_AREA).astype(np.int16)

    return float(np.ptp(np.stack([average_cells(bitmap) for bitmap in bitmaps]), axis=0).max())


def _make_blank_jpg(side_px: int) -> bytes:
    import cv2

    _, data = cv2.imencode(".jpg", np.full((side_px, side_px, 3), _GREY, np.uint8))
    return data.tobytes()
