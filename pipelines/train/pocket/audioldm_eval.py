"""Scores a pocket AudioLDM, part by part, by how often pocket CLAP classifies its sounds right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.generate.audioldm.params import AudioLdmParams
from pipelines.generate.audioldm.pipeline import AudioLdmGenerator
from pipelines.generate.audioldm.spec import AudioLdmSpec
from pipelines.miniature import captions, sounds, world
from pipelines.train.pocket.audioldm_data import (
    SAMPLE_RATE,
    SAMPLES,
    compute_log_mels,
    load_clap_towers,
    render_sound,
)

if TYPE_CHECKING:
    from torch import Tensor

PARAMS = AudioLdmParams(length_s=SAMPLES / SAMPLE_RATE, steps=25, guidance=2.5)
_MAX_ROWS = 240  # 25 steps of so many sounds take a minute on one core
_BATCH_ROWS = 8  # of a forward; a smaller batch would be padded to it


def evaluate(weights: Path, seed: int, rows: int) -> dict[str, float]:
    """Return how often pocket CLAP finds the right kind, on held-out scenes and caption templates.

    Each score is the share of sounds whose nearest label, of all kinds, is the scene's.

    Args:
        weights: the folder of the pocket AudioLDM; pocket CLAP lies beside it or is the package's own.
        seed: of the scenes; any but the one trained from.
        rows: sounds, 240 at most.

    Returns:
        `real`: of the sounds themselves;
        `real_16k`: of the sounds at 16 kHz;
        `vocoded`: of their spectrograms through the vocoder;
        `decoded`: of their latents through the VAE and the vocoder;
        `text`: of sounds generated from captions;
        `sound`: of sounds generated from the vectors of the sounds themselves;
        `guided_away`: of sounds generated from the vector of "": the chance level.
    """
    import torch

    scenes = [world.draw(seed, "heldout", index) for index in range(min(rows, _MAX_ROWS))]
    classifier = _KindClassifier(find_clap_folder(weights), scenes)
    generator = AudioLdmSpec(str(weights), batch_rows=min(_BATCH_ROWS, len(scenes))).open()
    full, waves = zip(*(render_sound(scene) for scene in scenes), strict=True)
    scores = {
        "real": classifier.compute_accuracy(full, sounds.SAMPLE_RATE),
        "real_16k": classifier.compute_accuracy(waves, SAMPLE_RATE),
    }
    with torch.inference_mode():
        mels = compute_log_mels(torch.from_numpy(np.stack(waves)))
        nets: Any = generator.nets
        scores["vocoded"] = classifier.compute_accuracy(_vocode(nets, mels), SAMPLE_RATE)
        latents = torch.cat([nets.vae.encode(each[None, None]).latent_dist.mean for each in mels])
        decoded = torch.cat([nets.vae.decode(each[None]).sample[0] for each in latents])
        scores["decoded"] = classifier.compute_accuracy(_vocode(nets, decoded), SAMPLE_RATE)
    conditions = {
        "text": generator.encode_text([captions.caption(scene, "sound", "heldout") for scene in scenes]),
        "sound": np.stack([classifier.embed(wave, sounds.SAMPLE_RATE) for wave in full]),
        "guided_away": np.repeat(generator.encode_text([""]), len(scenes), axis=0),
    }
    for name, vectors_ND in conditions.items():
        scores[name] = classifier.compute_accuracy(generate_sounds(generator, vectors_ND), SAMPLE_RATE)
    return scores


def generate_sounds(generator: AudioLdmGenerator, vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a sound of each vector, `[N, T]`; the seed of sound n is n."""
    return generator.generate_waves(vectors_ND, range(len(vectors_ND)), PARAMS)


def find_clap_folder(weights: Path) -> Path:
    """Return the folder of pocket CLAP: the one beside a pocket AudioLDM, or the package's own."""
    from pipelines.encode.loaders.pocket import WEIGHTS

    beside = weights.with_name("clap")
    return beside if (beside / "config.json").is_file() else WEIGHTS / "clap"


def _vocode(nets: Any, mels_NFM: Tensor) -> NDArray[np.float32]:
    waves = [nets.vocoder(each[None])[0].numpy() for each in mels_NFM]
    return np.stack(waves)


class _KindClassifier:
    """Pocket CLAP as a classifier of kinds, with the true kinds of the sounds."""

    def __init__(self, clap: Path, scenes: list[world.Scene]) -> None:
        self._embed_audio, embed_texts = load_clap_towers(clap)
        self._labels_KD = embed_texts([captions.label(kind) for kind in world.KINDS])
        self._kinds_N = np.array([world.KINDS.index(scene.kind) for scene in scenes])

    def embed(self, wave_T: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
        """Return the unit vector of a sound."""
        import soxr

        if rate_hz != sounds.SAMPLE_RATE:
            wave_T = soxr.resample(wave_T, rate_hz, sounds.SAMPLE_RATE)
        return self._embed_audio(wave_T)

    def compute_accuracy(self, waves: Any, rate_hz: int) -> float:
        """Return the share of sounds whose nearest label is right."""
        vectors_ND = np.stack([self.embed(wave, rate_hz) for wave in waves])
        return float(np.mean((vectors_ND @ self._labels_KD.T).argmax(1) == self._kinds_N))
