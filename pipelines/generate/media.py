"""The media that can be generated: their files, who judges them, and how a page shows them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pipelines.decode.pixels import open_picture
from pipelines.decode.sound import read_sound
from pipelines.errors import ConfigError, StorageError, UndecodableMediaError
from pipelines.generate.generator import Samples
from pipelines.generate.loudness import normalize_loudness
from schemas.families import Modality
from schemas.generated import SampleFormat
from schemas.media import Medium

_MAKE_AGAIN = "generate it, or build its dataset, again"
_SOUND_FORMATS = {"flac": "FLAC", "wav": "WAV"}


@dataclass(frozen=True)
class MediumSpec:
    """A medium that generators make.

    Attributes:
        formats: suffixes of its files, the usual one first; each is of one medium.
        mime: format -> content type.
        element: how a page shows it.
        modality: of the encoders that judge it.
        check: returns what is wrong with samples, given their number; empty if nothing is.
        write: returns a sample's file in a format, equal bytes for equal samples; None if it is no numbers.
        read: returns the content of a file: a sound's mono float32 [T] and rate, a picture's uint8
            [H, W, 3], or a text.
    """

    formats: tuple[SampleFormat, ...]
    mime: Mapping[str, str]
    element: Literal["player", "picture", "words"]
    modality: Modality
    check: Callable[[Samples, int], str]
    write: Callable[[Samples, int, SampleFormat], bytes | None]
    read: Callable[[bytes], Any]


def _check_sounds(samples: Samples, count: int) -> str:
    data = samples.data
    if not isinstance(data, np.ndarray) or data.dtype != np.float32 or data.ndim != 2 or len(data) != count:
        return f"{_describe_array(data)} as sounds, not float32 [{count}, T]"
    if not isinstance(samples.rate_hz, int) or samples.rate_hz < 1:
        return f"sounds of {samples.rate_hz!r} samples a second, which is no rate"
    return "" if data.shape[1] else "sounds without a sample"


def _check_pictures(samples: Samples, count: int) -> str:
    data = samples.data
    is_stack = isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.ndim == 4
    if not is_stack or len(data) != count or np.shape(data)[3] != 3 or 0 in np.shape(data)[1:]:
        return f"{_describe_array(data)} as pictures, not uint8 [{count}, H, W, 3]"
    height, width = np.shape(data)[1:3]
    return "" if samples.size == (width, height) else f"pictures of {width} x {height} as {samples.size!r}"


def _check_texts(samples: Samples, count: int) -> str:
    texts = [samples.data] if isinstance(samples.data, str) else list(samples.data)
    if other := [text for text in texts if not isinstance(text, str)]:
        return f"a text of type {type(other[0]).__name__}, not str"
    if isinstance(samples.data, str) or len(texts) != count:
        return f"{len(texts)} texts, not {count}"
    # A lone surrogate is no character, and no file can hold it.
    is_unicode = all(
        text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text) for text in texts
    )
    return "" if is_unicode else "a text that is no Unicode"


def _describe_array(data: Any) -> str:
    if not isinstance(data, np.ndarray):
        return f"a {type(data).__name__}"
    return f"{data.dtype} {list(data.shape)}"


def encode_sound(wave_T: np.ndarray, rate_hz: int, form: SampleFormat) -> bytes:
    """Return a sound file of 16 bits; equal samples give equal bytes."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, wave_T, rate_hz, format=_SOUND_FORMATS[form], subtype="PCM_16")
    return file.getvalue()


def decode_sound(data: bytes) -> tuple[np.ndarray, int]:
    """Return a sound file as mono float32 [T], and its rate.

    Raises:
        StorageError: it cannot be decoded.
    """
    try:
        wave_TC, rate_hz = read_sound(data)
    except UndecodableMediaError as error:
        raise StorageError(f"a stored sound is no sound ({error.reason}); {_MAKE_AGAIN}") from error
    return wave_TC.mean(axis=1), rate_hz


def _write_sound(samples: Samples, row: int, form: SampleFormat) -> bytes | None:
    wave_T = np.asarray(samples.data[row])
    if not np.isfinite(wave_T).all():
        return None
    assert samples.rate_hz is not None
    return encode_sound(normalize_loudness(wave_T[None])[0], samples.rate_hz, form)


def _write_picture(samples: Samples, row: int, form: SampleFormat) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    # The level is stated, so that equal pictures give equal bytes whatever Pillow's default becomes.
    Image.fromarray(np.asarray(samples.data[row])).save(file, form, compress_level=6)
    return file.getvalue()


def decode_picture(data: bytes) -> np.ndarray:
    """Return a picture file as RGB, uint8 [H, W, 3].

    Raises:
        StorageError: it cannot be decoded.
    """
    try:
        return np.asarray(open_picture(data).convert("RGB"))
    except UndecodableMediaError as error:
        raise StorageError(f"a stored picture is no picture ({error.reason}); {_MAKE_AGAIN}") from error


def _write_text(samples: Samples, row: int, form: SampleFormat) -> bytes:  # noqa: ARG001 - one format
    return str(samples.data[row]).encode()


def decode_text(data: bytes) -> str:
    """Return a text file as text."""
    return data.decode()


MEDIA: Mapping[Medium, MediumSpec] = {
    "sound": MediumSpec(
        formats=("flac", "wav"),
        mime={"flac": "audio/flac", "wav": "audio/wav"},
        element="player",
        modality="audio",
        check=_check_sounds,
        write=_write_sound,
        read=decode_sound,
    ),
    "picture": MediumSpec(
        formats=("png",),
        mime={"png": "image/png"},
        element="picture",
        modality="image",
        check=_check_pictures,
        write=_write_picture,
        read=decode_picture,
    ),
    "text": MediumSpec(
        formats=("txt",),
        mime={"txt": "text/plain"},
        element="words",
        modality="text",
        check=_check_texts,
        write=_write_text,
        read=decode_text,
    ),
}

# The suffix of a file -> its medium.
MEDIUM_OF: Mapping[str, Medium] = {form: medium for medium, spec in MEDIA.items() for form in spec.formats}


def choose_format(medium: Medium, asked: SampleFormat | None) -> SampleFormat:
    """Return the format of files: the one that was asked for, else the medium's usual one.

    Raises:
        ConfigError: it is of another medium.
    """
    spec = MEDIA[medium]
    if asked is None:
        return spec.formats[0]
    if asked not in spec.formats:
        raise ConfigError(f"a {medium} is no {asked} file; take --format {' or '.join(spec.formats)}")
    return asked


def check_samples(samples: Any, medium: Medium, count: int, name: str) -> Samples:
    """Return samples that are what their generator is described to make.

    Args:
        samples: that it returned.
        medium: that it makes.
        count: of the seeds that it was given.
        name: of the generator, for errors.

    Raises:
        ConfigError: they are of another medium, number, type or shape.
    """
    if not isinstance(samples, Samples):
        problem = f"a {type(samples).__name__}, not Samples"
    elif samples.medium != medium:
        problem = f"samples of the medium {samples.medium!r}, not {medium!r}"
    else:
        problem = MEDIA[medium].check(samples, count)
    if problem:
        raise ConfigError(f"generator {name} returned {problem}; mend its class")
    return samples  # type: ignore[no-any-return]


def join_samples(parts: list[Samples]) -> Samples:
    """Return samples of one generator as one.

    Raises:
        ConfigError: they differ in rate or size.
    """
    first = parts[0]
    if any((part.rate_hz, part.size) != (first.rate_hz, first.size) for part in parts):
        raise ConfigError("a generator's samples of one shard differ in rate or size; make them alike")
    if isinstance(first.data, np.ndarray):
        data: Any = np.concatenate([np.asarray(part.data) for part in parts])
    else:
        data = [text for part in parts for text in part.data]
    return Samples(first.medium, data, first.rate_hz, first.size)
