"""How far vectors of another precision are from those of fp32, on a few fixed items that never change."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pipelines.encode.encoder import EncoderLoader, encode
from schemas.families import Modality

_ITEMS = 16

_TEXTS = (
    "a dog barks at night", "rain on a tin roof", "two red birds", "a bell", "a man plays the violin in a "
    "crowded street", "a siren far away", "the sea", "an old clock ticks in an empty room", "a cat on a wall",
    "a train leaves the station while people wave", "thunder", "children laugh", "an engine that will not "
    "start", "a drum and a flute", "a bee on a yellow flower in the sun", "footsteps on snow",
)  # fmt: skip


def compare_with_fp32(loader: EncoderLoader, fp32: EncoderLoader) -> float:
    """Return the lowest cosine between a loader's vectors and those of the same net in fp32.

    Args:
        loader: of the precision in question.
        fp32: of the same net in fp32.

    Returns:
        Over all items and modalities, rounded to six digits.
    """
    vectors, full = _encode_probes(loader), _encode_probes(fp32)
    return min(
        round(float((vectors[modality] * full[modality]).sum(axis=1).min()), 6) for modality in vectors
    )


def _encode_probes(loader: EncoderLoader) -> dict[Modality, np.ndarray]:
    towers = loader.load()
    rows = loader.space().batch_rows
    return {
        modality: encode(tower, [tower.prepare(_PROBES[modality](n)) for n in range(_ITEMS)], rows)[0]
        for modality, tower in towers.items()
    }


def _draw_picture(number: int) -> bytes:
    """Draw coarse colours under fine noise, 256 px wide, as a PNG."""
    from PIL import Image

    rng = np.random.default_rng(number)
    coarse_HWC = np.kron(rng.integers(0, 200, (8, 8, 3)), np.ones((32, 32, 1), dtype=np.int64))
    pixels_HWC = coarse_HWC + rng.integers(0, 56, coarse_HWC.shape)
    file = io.BytesIO()
    Image.fromarray(pixels_HWC.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _synthesize_sound(number: int) -> bytes:
    """Synthesize a chord in noise, two seconds, as a WAV file."""
    import soundfile

    rng = np.random.default_rng(number)
    times_T = np.arange(96_000) / 48_000
    tones_T = sum(np.sin(2 * np.pi * hz * times_T) for hz in rng.uniform(80, 8_000, 3))
    file = io.BytesIO()
    soundfile.write(file, 0.2 * tones_T + 0.02 * rng.standard_normal(len(times_T)), 48_000, format="WAV")
    return file.getvalue()


_PROBES: Mapping[Modality, Callable[[int], Any]] = {
    "image": _draw_picture,
    "audio": _synthesize_sound,
    "text": _TEXTS.__getitem__,
}
