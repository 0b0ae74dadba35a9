"""Pictures, sounds and vectors as Python has them -> those of a query, files in base64."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image


def read_image(image: str | Path | bytes | Image) -> bytes:
    """Return the base64 of a picture's file.

    Args:
        image: its path, its bytes, or a PIL image, which becomes a PNG.

    Raises:
        ConfigError: it is none of these, or there is no such file.
    """
    if isinstance(image, str | Path | bytes):
        return base64.b64encode(_read_bytes(image, "picture"))
    if not hasattr(image, "convert"):
        raise ConfigError(f"image is a {type(image).__name__}; give a path, bytes or a PIL image")
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue())


def read_sound(sound: str | Path | bytes | tuple[np.ndarray, int]) -> bytes:
    """Return the base64 of a sound's file.

    Args:
        sound: its path, its bytes, or samples `[T]` or `[T, channels]` with their rate in Hz, which become a
            WAV of floats.

    Raises:
        ConfigError: it is none of these, there is no such file, or the samples are none.
    """
    if isinstance(sound, str | Path | bytes):
        return base64.b64encode(_read_bytes(sound, "sound"))
    if not isinstance(sound, tuple) or len(sound) != 2:
        raise ConfigError(f"audio is a {type(sound).__name__}; give a path, bytes or (samples, rate in Hz)")
    return base64.b64encode(_write_wave(np.asarray(sound[0]), sound[1]))


def read_vector(given: Any) -> tuple[float, ...]:
    """Return the numbers of a vector.

    Args:
        given: a sequence or an array of one dimension.

    Raises:
        ConfigError: it is none.
    """
    try:
        vector_D = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"vector is a {type(given).__name__} that holds no numbers; give D of them"
        ) from error
    if vector_D.ndim != 1:
        raise ConfigError(f"vector has the shape {list(vector_D.shape)}; give one vector of D numbers")
    return tuple(vector_D.tolist())


def _write_wave(samples: np.ndarray, rate_hz: int) -> bytes:
    import soundfile

    if samples.ndim not in (1, 2) or not samples.size or samples.dtype.kind != "f":
        raise ConfigError(
            f"the samples of audio are {samples.dtype} {list(samples.shape)}; give floats in -1..1 as [T] or "
            "[T, channels]"
        )
    if isinstance(rate_hz, bool) or not isinstance(rate_hz, int | np.integer) or rate_hz < 1:
        raise ConfigError(f"the rate of audio is {rate_hz!r}; give whole samples a second")
    buffer = io.BytesIO()
    try:
        soundfile.write(buffer, samples.astype(np.float32), int(rate_hz), format="WAV", subtype="FLOAT")
    except (ValueError, OverflowError, RuntimeError) as error:
        raise ConfigError(f"audio cannot be written as a WAV ({error}); give [T] or [T, channels]") from error
    return buffer.getvalue()


def _read_bytes(given: str | Path | bytes, what: str) -> bytes:
    if isinstance(given, bytes):
        return given
    path = Path(given)
    if not path.is_file():
        raise ConfigError(f"{path} is not a file; give a {what} of this machine")
    return path.read_bytes()
