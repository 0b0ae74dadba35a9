"""Training data of the pocket AudioLDM: sounds of 5.12 s at 16 kHz, and their log-mel spectrograms."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.miniature import captions, sounds, world

if TYPE_CHECKING:
    from torch import Tensor

SAMPLE_RATE = 16_000
# 50 frames a second, half of AudioLDM's: half the work, and pocket CLAP has only 57 a second.
HOP = 320
_WINDOW = 640
FFT = 1024
MELS = 64
FRAMES = 256
SAMPLES = FRAMES * HOP  # 5.12 s: a whole group of events, and the window of pocket CLAP
CAPTIONS = 4  # a sound
_PEAK = 0.7
_FLOOR = 1e-5
# Mean and standard deviation of the log-mels over 500 sounds, which normalise the inputs of the nets.
MEAN, SPREAD = -3.7, 1.3


def compute_log_mels(waves_NT: Tensor) -> Tensor:
    """Return the log-mel spectrograms of waves, normalised to about mean 0 and standard deviation 1.

    Args:
        waves_NT: `[N, T]` at 16 kHz, T a multiple of `HOP`.

    Returns:
        `[N, T / HOP, MELS]`.
    """
    import torch

    padding = (FFT - HOP) // 2
    padded = torch.nn.functional.pad(waves_NT[:, None], (padding, padding), mode="reflect")[:, 0]
    window = torch.hann_window(_WINDOW, device=waves_NT.device)
    spectrum = torch.stft(padded, FFT, HOP, _WINDOW, window, center=False, return_complex=True)
    mels_NMF = make_mel_filters(FFT, MELS).to(waves_NT.device).T @ spectrum.abs()
    return (mels_NMF.clamp(min=_FLOOR).log().transpose(1, 2) - MEAN) / SPREAD


@lru_cache
def make_mel_filters(fft: int, bands: int) -> Tensor:
    """Return the mel filters of HiFiGAN, `[fft / 2 + 1, bands]`."""
    import torch
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(fft // 2 + 1, bands, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, "slaney", "slaney")
    return torch.from_numpy(filters.astype(np.float32))


def render_sound(scene: world.Scene) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the sound of a scene at 48 kHz, for pocket CLAP, and at 16 kHz; both equally loud."""
    from scipy.signal import resample_poly

    full = sounds.sound(scene, SAMPLES / SAMPLE_RATE)
    full *= np.float32(_PEAK / np.abs(full).max())
    return full, np.asarray(resample_poly(full, SAMPLE_RATE, sounds.SAMPLE_RATE), np.float32)


class SoundSampler:
    """The first sounds of the training split, with pocket CLAP's vectors of the sounds and their captions.

    Rendered once, in blocks, and cached in a folder: 3,000 take 4 minutes on one core, and 0.9 GB.

    Attributes:
        audio_ND: unit vectors of the sounds, `[N, 512]`.
        text_NCD: unit vectors of `CAPTIONS` captions each, `[N, CAPTIONS, 512]`.
        unconditional_D: the unit vector of "", for unconditional samples.
    """

    def __init__(self, folder: Path, seed: int, clap: Path, draws: int, block: int) -> None:
        """Load the blocks of a folder, and render those that are missing.

        Args:
            folder: of the blocks.
            seed: of the scenes.
            clap: the folder of pocket CLAP.
            draws: sounds.
            block: sounds of a block; as many as in the folder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._per_block = block
        blocks = [
            _load_block(folder, seed, clap, range(first, min(first + block, draws)))
            for first in range(0, draws, block)
        ]
        self._waves = [np.load(block / "waves.npy", mmap_mode="r") for block in blocks]
        self.audio_ND = np.concatenate([np.load(block / "audio.npy") for block in blocks])
        self.text_NCD = np.concatenate([np.load(block / "text.npy") for block in blocks])
        self.unconditional_D = np.load(blocks[0] / "silent.npy")

    def __len__(self) -> int:
        return len(self.audio_ND)

    def read_wave(self, index: int, first: int = 0, samples: int = SAMPLES) -> NDArray[np.float32]:
        """Return a sound, or `samples` of it from sample `first` on, float32 `[T]`."""
        block, row = divmod(index, self._per_block)
        return np.asarray(self._waves[block][row, first : first + samples], np.float32) / np.float32(32767)


def _load_block(folder: Path, seed: int, clap: Path, indices: range) -> Path:
    """Return the folder of a block of sounds, rendered if it is missing."""
    block = folder / f"{indices.start:05d}"
    if block.exists():
        return block
    embed_audio, embed_texts = load_clap_towers(clap)
    scenes = [world.draw(seed, "train", index) for index in indices]
    waves, vectors = [], []
    for scene in scenes:
        full, wave = render_sound(scene)
        waves.append(np.round(wave.clip(-1, 1) * 32767).astype(np.int16))
        vectors.append(embed_audio(full))
    texts = [
        captions.caption(scene, "sound", "train", variant) for scene in scenes for variant in range(CAPTIONS)
    ]
    arrays = {
        "waves": np.stack(waves),
        "audio": np.stack(vectors),
        "text": embed_texts(texts).reshape(len(scenes), CAPTIONS, -1),
        "silent": embed_texts([""])[0],
    }
    scratch = folder / f"{indices.start:05d}.tmp"
    scratch.mkdir(exist_ok=True)
    for name, values in arrays.items():
        np.save(scratch / f"{name}.npy", values)
    scratch.rename(block)
    return block


@lru_cache
def load_clap_towers(
    clap: Path,
) -> tuple[Callable[[NDArray[np.float32]], NDArray[np.float32]], Callable[[list[str]], NDArray[np.float32]]]:
    """Return pocket CLAP's towers: sound at 48 kHz -> unit vector `[D]`; texts -> unit vectors `[N, D]`."""
    from pipelines.encode.encoder import encode
    from pipelines.encode.loaders.transformers_clap import TransformersClap

    rows = 32
    towers = TransformersClap(str(clap), None, "fp32", rows).load()
    audio: Any = towers["audio"]
    window = audio.extractor.nb_max_samples

    def embed_audio(wave_T: NDArray[np.float32]) -> NDArray[np.float32]:
        mels = audio.extractor(wave_T[:window], sampling_rate=sounds.SAMPLE_RATE, return_tensors="np")
        raw_D = audio.forward(np.asarray(mels["input_features"], np.float32))[0]
        return np.asarray(raw_D / np.linalg.norm(raw_D), np.float32)

    def embed_texts(texts: list[str]) -> NDArray[np.float32]:
        units_ND = encode(towers["text"], [towers["text"].prepare(each) for each in texts], rows)[0]
        return np.asarray(units_ND, np.float32)

    return embed_audio, embed_texts
