"""What pocket CLAP hears in the sounds of a pocket AudioLDM, stage by stage, and in real ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.generate.audioldm.pipeline import AudioLdmGenerator, AudioLdmLoader
from pipelines.generate.generator import SamplingParams
from pipelines.miniature import captions, sounds, world
from pipelines.train.pocket.audioldm_data import (
    SAMPLE_RATE,
    SAMPLES,
    compute_log_mels,
    encode_heard,
    load_clap_towers,
)

if TYPE_CHECKING:
    from torch import Tensor

SETTINGS = SamplingParams(length_s=SAMPLES / SAMPLE_RATE, steps=25, guidance=2.5)
_MOST_ROWS = 240  # 25 steps of so many take a minute on one core
_BATCH_ROWS = 8  # of a forward; fewer sounds than that would be filled up to it


def evaluate(weights: Path, seed: int, rows: int) -> dict[str, float]:
    """Return how often pocket CLAP names the right kind, on held-out scenes and templates.

    Each share is that of sounds whose nearest label, of all kinds, is the scene's.

    Args:
        weights: the folder of the pocket AudioLDM; pocket CLAP lies beside it or is the package's own.
        seed: of the scenes; any but the one trained from.
        rows: sounds; no more than 240 are made.

    Returns:
        `real`: of the sounds themselves;
        `real_16k`: of the sounds at 16 kHz;
        `vocoded`: of their spectrograms through the vocoder;
        `decoded`: of their latents through the VAE and the vocoder;
        `text`: of sounds generated from captions;
        `sound`: of sounds generated from the vectors of the sounds themselves;
        `guided_away`: of sounds generated from the vector of "", the floor.
    """
    import torch

    scenes = [world.draw(seed, "heldout", index) for index in range(min(rows, _MOST_ROWS))]
    ears = _Ears(find_clap_folder(weights), scenes)
    generator = AudioLdmLoader(str(weights), batch_rows=min(_BATCH_ROWS, len(scenes)), level=False).load()
    full, waves = zip(*(encode_heard(scene) for scene in scenes), strict=True)
    scores = {"real": ears.right(full, sounds.SAMPLE_RATE), "real_16k": ears.right(waves, SAMPLE_RATE)}
    with torch.inference_mode():
        mels = compute_log_mels(torch.from_numpy(np.stack(waves)))
        nets: Any = generator.nets
        scores["vocoded"] = ears.right(_vocoded(nets, mels), SAMPLE_RATE)
        coded = torch.cat([nets.vae.encode(each[None, None]).latent_dist.mean for each in mels])
        decoded = torch.cat([nets.vae.decode(each[None]).sample[0] for each in coded])
        scores["decoded"] = ears.right(_vocoded(nets, decoded), SAMPLE_RATE)
    wishes = {
        "text": generator.encode_text([captions.caption(scene, "sound", "heldout") for scene in scenes]),
        "sound": np.stack([ears.vector(wave, sounds.SAMPLE_RATE) for wave in full]),
        "guided_away": np.repeat(generator.encode_text([""]), len(scenes), axis=0),
    }
    for name, vectors_ND in wishes.items():
        scores[name] = ears.right(generate_sounds(generator, vectors_ND), SAMPLE_RATE)
    return scores


def generate_sounds(generator: AudioLdmGenerator, vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a sound of each vector, `[N, T]`, its number for its seed."""
    return generator.generate(vectors_ND, range(len(vectors_ND)), SETTINGS)


def find_clap_folder(weights: Path) -> Path:
    """Return the folder of pocket CLAP: the one beside a pocket AudioLDM, or the package's own."""
    from pipelines.encode.loaders.pocket import WEIGHTS

    beside = weights.with_name("clap")
    return beside if (beside / "config.json").is_file() else WEIGHTS / "clap"


def _vocoded(nets: Any, mels_NFM: Tensor) -> NDArray[np.float32]:
    waves = [nets.vocoder(each[None])[0].numpy() for each in mels_NFM]
    return np.stack(waves)


class _Ears:
    """Pocket CLAP, and what it should hear."""

    def __init__(self, clap: Path, scenes: list[world.Scene]) -> None:
        self._audio, text = load_clap_towers(clap)
        self._labels_KD = text([captions.label(kind) for kind in world.KINDS])
        self._kinds_N = np.array([world.KINDS.index(scene.kind) for scene in scenes])

    def vector(self, wave_T: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
        """Return the unit vector of a sound."""
        import soxr

        if rate_hz != sounds.SAMPLE_RATE:
            wave_T = soxr.resample(wave_T, rate_hz, sounds.SAMPLE_RATE)
        return self._audio(wave_T)

    def right(self, waves: Any, rate_hz: int) -> float:
        """Return the share of sounds whose nearest label is right."""
        vectors_ND = np.stack([self.vector(wave, rate_hz) for wave in waves])
        return float(np.mean((vectors_ND @ self._labels_KD.T).argmax(1) == self._kinds_N))
