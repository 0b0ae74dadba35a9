"""How far a precision is from fp32: both make the vectors of a few fixed items, which never change."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pipelines.encode.encoder import EncoderLoader, encode
from schemas.vectors import Modality

_ITEMS = 16

_TEXTS = (
    "a dog barks at night", "rain on a tin roof", "two red birds", "a bell", "a man plays the violin in a "
    "crowded street", "a siren far away", "the sea", "an old clock ticks in an empty room", "a cat on a wall",
    "a train leaves the station while people wave", "thunder", "children laugh", "an engine that will not "
    "start", "a drum and a flute", "a bee on a yellow flower in the sun", "footsteps on snow",
)  # fmt: skip


def compare_with_fp32(there: EncoderLoader, fp32: EncoderLoader) -> float:
    """Return the lowest cosine between a loader's vectors and those of the same net in fp32.

    Args:
        there: of the precision in question.
        fp32: of the same net.

    Returns:
        Over all modalities, rounded to six digits.
    """
    return min(_lowest(_vectors(there), _vectors(fp32)))


def _vectors(loader: EncoderLoader) -> dict[Modality, np.ndarray]:
    towers = loader.load()
    rows = loader.space().batch_rows
    return {
        modality: encode(tower, [tower.prepare(_PROBES[modality](n)) for n in range(_ITEMS)], rows)[0]
        for modality, tower in towers.items()
    }


def _lowest(ours: Mapping[Modality, np.ndarray], theirs: Mapping[Modality, np.ndarray]) -> list[float]:
    return [round(float((ours[of] * theirs[of]).sum(axis=1).min()), 6) for of in ours]


def _picture(number: int) -> bytes:
    """Coarse colours under fine noise, 256 px wide, as a PNG."""
    from PIL import Image

    rng = np.random.default_rng(number)
    coarse_HWC = np.kron(rng.integers(0, 200, (8, 8, 3)), np.ones((32, 32, 1), dtype=np.int64))
    pixels_HWC = coarse_HWC + rng.integers(0, 56, coarse_HWC.shape)
    made = io.BytesIO()
    Image.fromarray(pixels_HWC.astype(np.uint8)).save(made, "PNG")
    return made.getvalue()


def _sound(number: int) -> bytes:
    """A chord in noise, two seconds, as a WAV file."""
    import soundfile

    rng = np.random.default_rng(number)
    times_T = np.arange(96_000) / 48_000
    tones_T = sum(np.sin(2 * np.pi * hz * times_T) for hz in rng.uniform(80, 8_000, 3))
    made = io.BytesIO()
    soundfile.write(made, 0.2 * tones_T + 0.02 * rng.standard_normal(len(times_T)), 48_000, format="WAV")
    return made.getvalue()


_PROBES: Mapping[Modality, Callable[[int], Any]] = {
    "image": _picture,
    "audio": _sound,
    "text": _TEXTS.__getitem__,
}
