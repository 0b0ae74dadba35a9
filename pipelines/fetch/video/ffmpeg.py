"""A media file -> a clip: sound of an exact length and four frames, by ffmpeg."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.errors import ClipCutError
from pipelines.fetch.video.ffmpeg_process import MOST_FRAME_PIXELS, describe_file, open_file, run_ffmpeg
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
# Channels of a mix may cancel each other if its peak is below -20 dB of full scale, and do if they are 20 dB
# louder: a sound in one of two channels loses 6 dB, in one of eight 15.
_LOUD, _CANCELLED = 3_277, 0.1
# ffmpeg's own limit is 512; those of 22.2 surround sound.
_MOST_CHANNELS = 24
_AU_HEADER_BYTES = 24
# Some lines of text.
_HEADER_BYTES = 2**20
# Rows are padded to four bytes, and a frame of one column has as many rows as pixels.
_FRAMES_BYTES = len(FRAMES) * (4 * MOST_FRAME_PIXELS + 2**10)
_STREAM = re.compile(r"^#(media_type|codec_id|channel_layout_name) (\d+): (.*)$", re.MULTILINE)
# Films have a handful of tracks; each costs a run of ffmpeg if those before it are silent.
_MOST_TRACKS = 8
_OGG = b"OggS"
_DURATION = re.compile(r"Duration: (\d+):(\d+):(\d+\.\d+)(?:, start: (-?\d+\.\d+))?")
# Whose samples may be NaN or infinite: floats as they are in the file.
_FLOAT_CODECS = ("pcm_f", "wavpack")
_DIMENSIONS = re.compile(r"^#dimensions \d+: (\d+)x(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SoundTrack:
    """A track of sound.

    Attributes:
        number: among the tracks of sound, from 0.
        has_floats: whether its samples are stored as floats, which may be none that are finite.
        is_mono: whether it is known to have one channel.
    """

    number: int
    has_floats: bool = False
    is_mono: bool = False


@dataclass(frozen=True, slots=True)
class MediaStreams:
    """Which streams a media file has.

    Attributes:
        tracks: of sound, the first eight.
        video: whether it has moving pictures.
    """

    tracks: tuple[SoundTrack, ...]
    video: bool


FIRST_TRACK = SoundTrack(0)


def probe_streams(path: Path, max_pixels: int) -> MediaStreams:
    """Return which streams a media file has. Cover art is no video.

    Raises:
        ClipCutError: it is no media file, or its pictures are too large.
    """
    source = open_file(path)
    # The packets of the first 10 ms as lines of text, after a header that ffmpeg documents.
    streams = source["a?"], source["V:0?"]
    packets: dict[str, Any] = {"format": "framecrc", "c": "copy", "t": 0.01}
    header = run_ffmpeg(streams, "pipe:1", TIMEOUT_S, _HEADER_BYTES, **packets).decode(errors="replace")
    for width, height in _DIMENSIONS.findall(header):
        if int(width) * int(height) > min(max_pixels, MOST_FRAME_PIXELS):
            raise ClipCutError(make_outcome("invalid", "too_many_pixels"))
    said = {(name, int(stream)): value for name, stream, value in _STREAM.findall(header)}
    kinds = {stream: value for (name, stream), value in said.items() if name == "media_type"}
    tracks = [
        SoundTrack(
            number,
            said.get(("codec_id", stream), "").startswith(_FLOAT_CODECS),
            said.get(("channel_layout_name", stream)) == "mono",
        )
        for number, stream in enumerate(sorted(each for each in kinds if kinds[each] == "audio"))
    ]
    return MediaStreams(tuple(tracks[:_MOST_TRACKS]), "video" in kinds.values())


def cut_sound(
    path: Path, start_s: float, length_s: float | None, track: SoundTrack = FIRST_TRACK
) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Return the sound from `start_s` on, int16 [T] at 48 kHz mono, at most `length_s` long.

    Channels are mixed; where they cancel each other, the sound is that of the loudest.

    Raises:
        ClipCutError: the file cannot be decoded, or has samples that are not finite.
    """
    most_s = LONGEST_S if length_s is None else length_s
    count = count_samples(most_s)
    if track.has_floats:
        samples = _decode(path, start_s, most_s, track, "f64le", ac=1)
        if not np.isfinite(np.frombuffer(samples, "<f8")[:count]).all():
            raise ClipCutError(make_outcome("invalid", "not_finite"))
    mixed_T = np.frombuffer(_decode(path, start_s, most_s, track, "s16le", ac=1), "<i2")[:count]
    if track.is_mono or compute_peak(mixed_T) >= _LOUD:
        return mixed_T
    loudest_T = _pick_loudest(_decode(path, start_s, most_s, track, "au"))[:count]
    return loudest_T if _compute_rms(mixed_T) < _CANCELLED * _compute_rms(loudest_T) else mixed_T


def is_past_end(path: Path, start_s: float) -> bool:
    """Return whether an Ogg ends before `start_s`: where others have nothing, a seek leads back into it.

    Raises:
        ClipCutError: it took too long.
    """
    with path.open("rb") as file:
        if not start_s or file.read(len(_OGG)) != _OGG:
            return False
    said = _DURATION.search(describe_file(path))
    if said is None:
        return False
    hours, minutes, seconds, first_s = (float(part or 0) for part in said.groups())
    return start_s >= 3600 * hours + 60 * minutes + seconds + first_s


def compute_peak(sound_T: np.ndarray[Any, np.dtype[np.int16]]) -> int:
    """Return the greatest distance of a sample of int16 [T] from silence; 0 of no samples."""
    return int(np.abs(sound_T.astype(np.int32)).max(initial=0))


def _compute_rms(sound_T: np.ndarray[Any, np.dtype[np.int16]]) -> float:
    return float(np.sqrt(np.mean(np.square(sound_T, dtype=np.float64)))) if len(sound_T) else 0.0


def _pick_loudest(au: bytes) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Return the channel with the most power, int16 [T], of an AU file, whose header states their number."""
    if len(au) < _AU_HEADER_BYTES:
        return np.empty(0, np.int16)
    start, channels = int.from_bytes(au[4:8]), max(1, int.from_bytes(au[20:24]))
    samples = np.frombuffer(au[start : len(au) - (len(au) - start) % (2 * channels)], ">i2")
    by_channel_TC = samples.reshape(-1, channels).astype(np.int16)
    power_C = [_compute_rms(by_channel_TC[:, channel]) for channel in range(channels)]
    return by_channel_TC[:, int(np.argmax(power_C))]


def _decode(path: Path, start_s: float, most_s: float, track: SoundTrack, form: str, **options: Any) -> bytes:
    """Return what ffmpeg writes of a track from `start_s` on, at 48 kHz."""
    early_s = min(start_s, _EARLY_S)
    seek: dict[str, Any] = {"ss": start_s - early_s} if start_s > early_s else {}
    source = open_file(path, **seek, t=early_s + most_s + _SPARE_S)[f"a:{track.number}"]
    # Silence where a stream begins late or has a gap, so that sound keeps its time.
    in_time = source.filter("aresample", SAMPLE_RATE_HZ, **{"async": 1, "first_pts": 0})
    cut = in_time.filter("atrim", start=early_s)
    bytes_each = {"s16le": 2, "f64le": 8, "au": 2 * _MOST_CHANNELS}[form]
    most_bytes = bytes_each * count_samples(early_s + most_s + 2 * _SPARE_S)
    options |= {"acodec": "pcm_s16be"} if form == "au" else {}
    return run_ffmpeg([cut], "pipe:1", TIMEOUT_S, most_bytes, format=form, **options)


def cut_frames(path: Path, start_s: float, length_s: float) -> list[bytes]:
    """Return four frames as BMP files, those that are shown in the middle of each quarter.

    Where the video ends before the sound, its last frame is repeated; without any frame the list is empty.

    Raises:
        ClipCutError: the file cannot be decoded.
    """
    video = open_file(path, ss=start_s, t=length_s)["V:0"]
    endless = video.filter("tpad", stop_mode="clone", stop_duration=length_s)
    # One frame a quarter; times are rounded to it, so it is the last frame before the quarter's middle.
    quarters = endless.filter("fps", fps=f"{len(FRAMES)}/{length_s}", start_time=0)
    bitmaps = run_ffmpeg(
        [quarters],
        "pipe:1",
        TIMEOUT_S,
        _FRAMES_BYTES,
        format="image2pipe",
        vcodec="bmp",
        pix_fmt="bgr24",
        sws_flags="+accurate_rnd+bitexact",
        **{"frames:v": len(FRAMES)},  # type: ignore[arg-type]
    )
    return list(_split_bitmaps(bitmaps))


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


def _split_bitmaps(data: bytes) -> Iterator[bytes]:
    """Split concatenated BMP files: each has its length in bytes 2 to 5."""
    start = 0
    while start < len(data):
        end = start + int.from_bytes(data[start + 2 : start + 6], "little")
        yield data[start:end]
        start = end
