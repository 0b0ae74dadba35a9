from dataclasses import dataclass

import numpy as np
import pytest

from pipelines.encode.loaders.custom import CustomEncoder, CustomTower
from pipelines.encode.loaders.image import decode_image
from pipelines.encode.loaders.waveform import decode_mono
from pipelines.encode.precision import compare_with_fp32


def pixels(item):
    return np.asarray(decode_image(item).resize((8, 8)), np.float32).reshape(1, -1) - 128


def samples(item):
    return decode_mono(item, 8_000)[None, :256]


def letters(text):
    return np.frombuffer(text.encode().ljust(64)[:64], np.uint8)[None].astype(np.float32)


@dataclass(frozen=True)
class Rounding(CustomEncoder):
    """An encoder of pictures, sounds and texts whose vectors of one modality have so many steps."""

    steps: int = 1_000_000
    coarse: str = "audio"
    dims = 8
    preprocessing = "none"

    def load(self):
        def tower(modality, prepare):
            steps = self.steps if modality == self.coarse else 1_000_000

            def forward(pieces_B):
                rng = np.random.default_rng(0)
                raw_BD = pieces_B @ rng.standard_normal((pieces_B.shape[1], 8))
                largest_B1 = np.abs(raw_BD).max(axis=1, keepdims=True)
                return (np.round(raw_BD / largest_B1 * steps) / steps).astype(np.float32)

            return CustomTower(prepare, forward)

        parts = {"image": pixels, "audio": samples, "text": letters}
        return {modality: tower(modality, prepare) for modality, prepare in parts.items()}


def test_the_same_net_loses_nothing():
    """Beside itself it is 1 to all six digits."""
    assert 1.0 == compare_with_fp32(Rounding(), Rounding())


@pytest.mark.parametrize("modality", ["image", "audio", "text"])
def test_the_worst_modality_counts(modality):
    """One that is rounded to a few steps decides, whichever it is; the number has six digits."""
    cosine = compare_with_fp32(Rounding(3, modality), Rounding())

    assert 0.5 < cosine < 0.99
    assert cosine == round(cosine, 6)
