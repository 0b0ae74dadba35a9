"""A sound's file -> its samples, once the file states a rate and a length that are plausible."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np

from pipelines.decode.mp3 import check_mp3
from pipelines.errors import UndecodableMediaError

# Telephones have 8,000 samples a second, the fastest converters 768,000. What states one a second is 48,000
# times as long once it is resampled.
_SLOWEST_HZ, _FASTEST_HZ = 1_000, 768_000
_MOST_CHANNELS = 64
# Samples of all channels together, 1 GB as float32: 93 minutes at 48 kHz. FLAC states up to 2**36 of each.
_MOST_SAMPLES = 2**28
_MOST_S = 5_600

_MAGIC = (b"fLaC", b"OggS", b"RF64", b".snd", b"caff", b"ID3", b"riff.\x91\xcf\x11")
_CONTAINERS = ((b"RIFF", b"WAVE"), (b"FORM", b"AIFF"), (b"FORM", b"AIFC"))
_FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF"})


class _SoundBytes(io.BytesIO):
    """A file that stays where it is if it is led before its beginning: soundfile prints tracebacks."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a position."""
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def open_sound(data: bytes) -> Any:
    """Return an open `soundfile.SoundFile`, which the caller closes.

    Args:
        data: the file.

    Raises:
        UndecodableMediaError: it is no sound of a format that is read, or its rate or length is impossible.
    """
    import soundfile

    if not _is_sound(data):
        raise UndecodableMediaError("undecodable")
    if data[:1] == b"\xff" or data[:3] == b"ID3":
        check_mp3(data)
    try:
        file = soundfile.SoundFile(_SoundBytes(data))
    except (soundfile.LibsndfileError, ValueError, TypeError) as error:
        raise UndecodableMediaError("undecodable") from error
    is_plausible = (
        file.format in _FORMATS
        and _SLOWEST_HZ <= file.samplerate <= _FASTEST_HZ
        and file.channels <= _MOST_CHANNELS
    )
    is_long = file.frames * file.channels > _MOST_SAMPLES or file.frames > _MOST_S * file.samplerate
    if not is_plausible or is_long:
        file.close()
        raise UndecodableMediaError("too_complex" if is_plausible else "undecodable")
    return file


def read_sound(
    data: bytes, dtype: Literal["float32", "int16"] = "float32"
) -> tuple[np.ndarray[Any, Any], int]:
    """Return the samples of a sound [T, C], and its rate in Hz.

    Args:
        data: the file.
        dtype: of the samples; floats are in [-1, 1].

    Raises:
        UndecodableMediaError: it cannot be decoded.
    """
    import soundfile

    with open_sound(data) as file:
        try:
            return file.read(dtype=dtype, always_2d=True), int(file.samplerate)
        except (soundfile.LibsndfileError, ValueError, TypeError) as error:
            raise UndecodableMediaError("undecodable") from error


def _is_sound(data: bytes) -> bool:
    """Return whether a file begins as one of a format that is read: an MP3 with a tag, or with a frame."""
    if data.startswith(_MAGIC) or (data[:4], data[8:12]) in _CONTAINERS:
        return True
    return data[:1] == b"\xff" and len(data) > 1 and data[1] & 0xE0 == 0xE0
