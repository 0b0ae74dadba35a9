"""Training data of the pocket judges: drawn media of a stream of their own, degraded as generated ones are.

Shapes: N items, F frames and M mel bands of a spectrogram.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.encode.judge_reader import PICTURE_PX
from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.miniature import world
from pipelines.miniature.pictures import picture
from pipelines.models.judge_nets import LogMel
from pipelines.train.pocket.audioldm_data import compute_log_mels, render_sound
from schemas.media import Medium

if TYPE_CHECKING:
    from torch import Tensor

# Added to a seed: no scene of the judges is one of a pocket model, a list or an evaluation.
STREAM = zlib.crc32(b"judges")

# Attribute -> its values; `size` is seen as size and heard as pitch.
ATTRIBUTES: Mapping[Medium, Mapping[str, list[str]]] = {
    "picture": {
        "kind": list(world.KINDS),
        "ground": list(world.BACKGROUNDS),
        "size": list(world.PITCHES),
        "count": [str(count) for count in range(1, world.MAX_COUNT + 1)],
        "colour": list(world.COLOURS),
    },
    "sound": {
        "kind": list(world.KINDS),
        "ground": list(world.BACKGROUNDS),
        "size": list(world.PITCHES),
        "count": [str(count) for count in range(1, world.MAX_COUNT + 1)],
    },
}
_GENERATED_PX = (32, 64)
_FLOOR = float(np.log(1e-4))  # of a spectrogram: silence


def read_attributes(scene: world.Scene, medium: Medium) -> dict[str, str]:
    """Return attribute -> its value of a scene, as a judge of a medium names it."""
    known = {
        "kind": scene.kind,
        "ground": scene.background,
        "size": scene.pitch,
        "count": str(scene.count),
        "colour": scene.colour,
    }
    return {name: known[name] for name in ATTRIBUTES[medium]}


class JudgeSamples(ABC):
    """Drawn media of the judges' stream with their attributes, rendered once in blocks.

    Attributes:
        values: attribute -> position of each item's value, int64 [N].
    """

    medium: Medium

    def __init__(self, folder: Path, seed: int, draws: int, block: int) -> None:
        """Load the blocks of a folder, and render those that are missing.

        Args:
            folder: of the blocks.
            seed: of the scenes.
            draws: items.
            block: items of a block; as many as in the folder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        scenes = [world.draw(STREAM + seed, "train", index) for index in range(draws)]
        read = [read_attributes(scene, self.medium) for scene in scenes]
        self.values = {
            name: np.array([values.index(each[name]) for each in read])
            for name, values in ATTRIBUTES[self.medium].items()
        }
        self._parts: dict[str, list[NDArray[Any]]] = {}
        for first in range(0, draws, block):
            place = folder / f"{first:05d}.npz"
            if not place.exists():
                scratch = place.with_suffix(".tmp.npz")
                arrays = self.render(range(first, min(first + block, draws)), scenes)
                np.savez(scratch, allow_pickle=False, **arrays)
                scratch.replace(place)
            with np.load(place) as stored:
                for name in stored.files:
                    self._parts.setdefault(name, []).append(stored[name])

    @abstractmethod
    def render(self, indices: range, scenes: Sequence[world.Scene]) -> dict[str, NDArray[Any]]:
        """Return the arrays of a block."""

    @abstractmethod
    def draw(self, indices: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
        """Return degraded items, as the net takes them."""


class JudgePictures(JudgeSamples):
    """Pictures of 96 x 96 px."""

    medium: Medium = "picture"

    def render(self, indices: range, scenes: Sequence[world.Scene]) -> dict[str, NDArray[Any]]:
        """Draw pictures at 160 to 320 px, as a dataset may hold them, and shrink them as a judge does."""
        from PIL import Image

        size = (PICTURE_PX, PICTURE_PX)
        drawn = (Image.fromarray(picture(scenes[index], 160 + 40 * (index % 5))) for index in indices)
        small = [np.asarray(each.resize(size, Image.Resampling.BICUBIC)) for each in drawn]
        return {"pixels": np.stack(small)}

    def draw(self, indices: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
        """Return pictures in 0..1, `[N, 3, 96, 96]`."""
        block = len(self._parts["pixels"][0])
        pixels = [self._parts["pixels"][index // block][index % block] for index in indices.tolist()]
        degraded = np.stack([degrade_picture(each, rng) for each in pixels])
        return np.asarray(degraded.transpose(0, 3, 1, 2), np.float32) / np.float32(255)


class JudgeSounds(JudgeSamples):
    """Spectrograms of sounds, of some also once they are decoded through the pocket VAE and vocoder."""

    medium: Medium = "sound"

    def render(self, indices: range, scenes: Sequence[world.Scene]) -> dict[str, NDArray[Any]]:
        """Make sounds; every sixth is decoded, too."""
        waves = np.stack([render_sound(scenes[index])[1] for index in indices])
        decoded = decode_sounds(waves[:: self.decoded_in])
        return {
            "real": _compute_spectrograms(waves).astype(np.float16),
            "decoded": _compute_spectrograms(decoded).astype(np.float16),
        }

    decoded_in = 6  # decoding one takes as long as making ten

    def draw(self, indices: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
        """Return spectrograms `[N, F, M]`; of what was decoded, two times of three decoded."""
        block = len(self._parts["real"][0])
        drawn = []
        for index in indices.tolist():
            part, row = divmod(index, block)
            is_decoded = row % self.decoded_in == 0 and rng.random() < 2 / 3
            stored = (
                self._parts["decoded"][part][row // self.decoded_in]
                if is_decoded
                else self._parts["real"][part][row]
            )
            drawn.append(degrade_spectrogram(stored.astype(np.float32), rng))
        return np.stack(drawn)


def _compute_spectrograms(waves_NT: NDArray[np.float32]) -> NDArray[np.float32]:
    import torch

    with torch.inference_mode():
        front = LogMel()
        parts = [front(part) for part in torch.split(torch.from_numpy(waves_NT), 32)]
        return np.asarray(torch.cat(parts).numpy(), np.float32)


def decode_sounds(waves_NT: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return sounds through the latents of the pocket VAE and the pocket vocoder, `[N, T]` at 16 kHz."""
    import torch

    nets = _load_audioldm()
    decoded: list[Tensor] = []
    with torch.inference_mode():
        for part in torch.split(torch.from_numpy(waves_NT), 8):
            latents = nets.vae.encode(compute_log_mels(part)[:, None]).latent_dist.mean
            decoded.append(nets.vocoder(nets.vae.decode(latents).sample[:, 0]))
    return np.asarray(torch.cat(decoded).numpy(), np.float32)


@cache
def _load_audioldm() -> Any:
    from pipelines.generate.audioldm.spec import AudioLdmSpec

    return AudioLdmSpec(str(WEIGHTS / "audioldm"), batch_rows=1).open().nets


def degrade_picture(pixels_HWC: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture moved, tinted, and as far as chance has it blurred, halved, noisy or compressed."""
    import cv2

    size = (PICTURE_PX, PICTURE_PX)
    turn, scale = rng.uniform(-9, 9), rng.uniform(0.9, 1.1)
    matrix: Any = cv2.getRotationMatrix2D((PICTURE_PX / 2, PICTURE_PX / 2), turn, scale)
    matrix[:, 2] += rng.uniform(-5, 5, 2)
    source = pixels_HWC[:, ::-1] if rng.random() < 0.5 else pixels_HWC
    moved: Any = cv2.warpAffine(
        np.ascontiguousarray(source), matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    made = np.clip(moved * rng.uniform(0.9, 1.1, 3), 0, 255).astype(np.uint8)
    harms = rng.random(4)
    if harms[0] < 0.25:  # as generators of 32 and of 64 px make them
        side_px = int(rng.choice(_GENERATED_PX))
        small = cv2.resize(made, (side_px, side_px), interpolation=cv2.INTER_AREA)
        made = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    if harms[1] < 0.25:
        made = np.asarray(cv2.GaussianBlur(made, (0, 0), rng.uniform(0.4, 1.2)), np.uint8)
    if harms[2] < 0.25:
        noise = rng.standard_normal(made.shape, np.float32) * rng.uniform(2, 10)
        made = np.clip(made + noise, 0, 255).astype(np.uint8)
    if harms[3] < 0.4:
        _, packed = cv2.imencode(".jpg", made, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))])
        made = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(made, np.uint8)


def degrade_spectrogram(mels_FM: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a spectrogram moved in time and by a band, tilted, masked, cut, or over more noise."""
    frames, bands = mels_FM.shape
    made: NDArray[Any] = np.roll(mels_FM, int(rng.integers(frames)), axis=0)
    if (shift := int(rng.integers(-1, 2))) != 0:
        made = made[:, np.clip(np.arange(bands) + shift, 0, bands - 1)]
    made = made + np.linspace(-1, 1, bands, dtype=np.float32) * np.float32(rng.uniform(-1, 1))
    harms = rng.random(4)
    if harms[0] < 0.3:
        made = np.logaddexp(made, np.float32(rng.uniform(made.min(), made.mean())))
    if harms[1] < 0.3:
        first, length = int(rng.integers(frames)), int(rng.integers(5, 40))
        made[first : first + length] = made.mean()
    if harms[2] < 0.3:
        first, length = int(rng.integers(bands)), int(rng.integers(2, 6))
        made[:, first : first + length] = made.mean()
    if harms[3] < 0.3:  # a shorter sound, which is filled up with silence
        made[int(rng.integers(frames // 2, frames)) :] = _FLOOR
    return np.asarray(made, np.float32)
