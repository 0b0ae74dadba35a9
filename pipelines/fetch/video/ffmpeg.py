"""A media file -> a clip: sound of an exact length and four frames, by ffmpeg.

ffmpeg may open only the given local file (no playlists, no URLs inside a file), and has no standard input,
one thread, and a timeout.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.errors import ClipCutError
from schemas.outcome import make_outcome
from schemas.sample import FRAMES, SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Iterator

# Kept of media whose list names no length; longer ones are a recording, not a clip.
LONGEST_S = 60.0
# Ten seconds of 4K video take about 4 s on one core; a file that needs 60 s was made to take long.
TIMEOUT_S = 60.0
# A seek to the start itself loses a codec's priming samples: 23 ms of AAC at 44.1 kHz, 128 ms at 8 kHz. So
# decoding begins earlier and ends later than the clip, and the samples are counted.
_EARLY_S = 1.0
_SPARE_S = 0.25
# 8K; four frames of it are 425 MB of pixels.
MOST_FRAME_PIXELS = 8192 * 4320

# Self-contained formats: no playlists, image sequences, scripts or devices.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "ogg", "wav", "w64", "flac", "mp3", "aac", "ac3", "aiff",
    "amr", "ape", "asf", "au", "avi", "caf", "flv", "mpeg", "mpegts", "mxf", "nut", "rm", "tta", "wv",
)  # fmt: skip
_MEDIA_TYPE = re.compile(r"^#media_type (\d+): (audio|video)$", re.MULTILINE)
_DIMENSIONS = re.compile(r"^#dimensions \d+: (\d+)x(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MediaStreams:
    """Which streams a media file has."""

    audio: bool
    video: bool


@cache
def find_ffmpeg() -> str:
    """Return the system's ffmpeg, or the one that imageio-ffmpeg brings."""
    import imageio_ffmpeg

    return shutil.which("ffmpeg") or str(imageio_ffmpeg.get_ffmpeg_exe())


def probe_streams(path: Path, max_pixels: int) -> MediaStreams:
    """Return which streams a media file has. Cover art is no video.

    Raises:
        ClipCutError: it is no media file, or its pictures are too large.
    """
    import ffmpeg

    source = _open_input(path)
    # The packets of the first 10 ms as lines of text, after a header that ffmpeg documents.
    packets = ffmpeg.output(source["a:0?"], source["V:0?"], "pipe:1", format="framecrc", c="copy", t=0.01)
    header = _run(packets).decode(errors="replace")
    for width, height in _DIMENSIONS.findall(header):
        if int(width) * int(height) > min(max_pixels, MOST_FRAME_PIXELS):
            raise ClipCutError(make_outcome("invalid", "too_many_pixels"))
    kinds = {kind for _, kind in _MEDIA_TYPE.findall(header)}
    return MediaStreams(audio="audio" in kinds, video="video" in kinds)


def cut_sound(path: Path, start_s: float, length_s: float | None) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Return the sound from `start_s` on, int16 [T] at 48 kHz mono, at most `length_s` long.

    Raises:
        ClipCutError: the file cannot be decoded.
    """
    import ffmpeg

    most_s = LONGEST_S if length_s is None else length_s
    early_s = min(start_s, _EARLY_S)
    seek = {"ss": start_s - early_s} if start_s > early_s else {}
    source = _open_input(path, **seek, t=early_s + most_s + _SPARE_S)["a:0"]
    # Silence where a stream begins late or has a gap, so that sound keeps its time.
    in_time = source.filter("aresample", SAMPLE_RATE_HZ, **{"async": 1, "first_pts": 0})
    cut = in_time.filter("atrim", start=early_s)
    pcm = _run(ffmpeg.output(cut, "pipe:1", format="s16le", ac=1))
    return np.frombuffer(pcm, dtype="<i2")[: count_samples(most_s)]


def cut_frames(path: Path, start_s: float, length_s: float) -> list[bytes]:
    """Return four frames as BMP files, those that are shown in the middle of each quarter.

    Where the video ends before the sound, its last frame is repeated; without any frame the list is empty.

    Raises:
        ClipCutError: the file cannot be decoded.
    """
    import ffmpeg

    video = _open_input(path, ss=start_s, t=length_s)["V:0"]
    endless = video.filter("tpad", stop_mode="clone", stop_duration=length_s)
    # One frame a quarter; times are rounded to it, so it is the last frame before the quarter's middle.
    quarters = endless.filter("fps", fps=f"{len(FRAMES)}/{length_s}", start_time=0)
    shown = ffmpeg.output(
        quarters,
        "pipe:1",
        format="image2pipe",
        vcodec="bmp",
        pix_fmt="bgr24",
        sws_flags="+accurate_rnd+bitexact",
        **{"frames:v": len(FRAMES)},
    )
    return list(_split_bitmaps(_run(shown)))


def encode_flac(sound_T: np.ndarray[Any, np.dtype[np.int16]], length_s: float | None) -> bytes:
    """Return 16-bit mono FLAC at 48 kHz of exactly `length_s`, padded with silence.

    Raises:
        ClipCutError: the encoded file has another length.
    """
    import soundfile

    exact = len(sound_T) if length_s is None else count_samples(length_s)
    file = io.BytesIO()
    padded_T = np.pad(sound_T[:exact], (0, exact - len(sound_T[:exact])))
    soundfile.write(file, padded_T, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    file.seek(0)
    written = soundfile.info(file)
    if (written.frames, written.samplerate, written.channels) != (exact, SAMPLE_RATE_HZ, 1):
        raise ClipCutError(make_outcome("failed", "bug"))
    return file.getvalue()


def count_samples(length_s: float) -> int:
    """Return how many samples a length in seconds has."""
    return round(length_s * SAMPLE_RATE_HZ)


def _open_input(path: Path, **options: object) -> Any:
    import ffmpeg

    return ffmpeg.input(
        f"file:{path}",
        threads=1,
        protocol_whitelist="file",
        format_whitelist=",".join(_CONTAINERS),
        **options,
    )


def _run(output: Any) -> bytes:
    command = output.global_args("-nostdin", "-v", "error").compile(cmd=find_ffmpeg())
    try:
        done = subprocess.run(
            command, check=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL, capture_output=True
        )
    except subprocess.TimeoutExpired as error:
        raise ClipCutError(make_outcome("transient", "timeout")) from error
    except subprocess.CalledProcessError as error:
        raise ClipCutError(make_outcome("invalid", "undecodable")) from error
    return done.stdout


def _split_bitmaps(data: bytes) -> Iterator[bytes]:
    """Split concatenated BMP files: each has its length in bytes 2 to 5."""
    start = 0
    while start < len(data):
        end = start + int.from_bytes(data[start + 2 : start + 6], "little")
        yield data[start:end]
        start = end
