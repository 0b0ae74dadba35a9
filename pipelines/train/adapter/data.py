"""What an adapter is trained on: sounds, their pictures and captions, and the cached latents of the pictures.

Shapes: S sounds, F pictures of each, M windows of all sounds, D dimensions of a vector, H x W pixels.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.train.latents import encode_pictures
from schemas.space import Space


@dataclass(frozen=True, eq=False)
class SoundPictures:
    """Sounds that have pictures.

    Attributes:
        keys_S: of the sounds: their rows', ascending, or their places where they have no rows.
        space: of the sounds' vectors.
        sounds_SD: unit vectors, float16.
        windows_MD: unit vectors of the windows of all sounds, float16, one sound after the other; None if
            they are not kept.
        starts_S: the first window of each sound, and M behind them; None as above.
        pictures: of each sound.
        make_caption: sound, picture, a seed -> a caption.
        iterate_pixels: side in px -> the pictures of each sound in order, uint8 `[F, H, W, 3]`.
        train_S: the places of the sounds to train on.
        held_S: those to validate on.
        fingerprint: of the pictures and their order.
    """

    keys_S: np.ndarray
    space: Space
    sounds_SD: np.ndarray
    windows_MD: np.ndarray | None
    starts_S: np.ndarray | None
    pictures: int
    make_caption: Callable[[int, int, int], str]
    iterate_pixels: Callable[[int], Iterator[np.ndarray]]
    train_S: np.ndarray
    held_S: np.ndarray
    fingerprint: str

    def draw_windows(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return two windows of each sound, float32 `[n, D]`: different ones where there are two.

        Args:
            rows: places of sounds.
            rng: of the step.
        """
        assert self.windows_MD is not None
        assert self.starts_S is not None
        firsts, counts = self.starts_S[rows], self.starts_S[rows + 1] - self.starts_S[rows]
        one = (rng.random(len(rows)) * counts).astype(np.int64)
        shift = 1 + (rng.random(len(rows)) * np.maximum(counts - 1, 0)).astype(np.int64)
        other = np.where(counts > 1, (one + shift) % np.maximum(counts, 1), one)
        # A sound without windows stands for itself.
        has_windows = (counts > 0)[:, None]
        places = np.minimum(firsts[None] + np.stack([one, other]), len(self.windows_MD) - 1)
        found = [np.where(has_windows, self.windows_MD[each], self.sounds_SD[rows]) for each in places]
        return found[0].astype(np.float32), found[1].astype(np.float32)


def read_latents(data: SoundPictures, vae: Any, size_px: int, vae_sha256: str, folder: Path) -> np.ndarray:
    """Return the latents of all pictures, float16 `[S, F, C, H / 8, W / 8]`, mapped from a file of the run.

    Args:
        data: whose pictures.
        vae: that encodes those that are not there yet.
        size_px: of the pictures.
        vae_sha256: of the VAE.
        folder: for the file, whose name has the fingerprint of all that decides it.
    """
    key = hashlib.sha256(f"{data.fingerprint}/{size_px}/{vae_sha256}".encode()).hexdigest()[:16]
    file = folder / f"picture-latents-{key}.npy"
    if not file.exists():
        # Several workers may share the folder.
        scratch = folder / f"picture-latents-{key}.{os.getpid()}.part.npy"
        written: Any = None
        for row, pixels in enumerate(data.iterate_pixels(size_px)):
            latents = encode_pictures(vae, pixels)
            if written is None:
                shape = (len(data.sounds_SD), *latents.shape)
                written = np.lib.format.open_memmap(scratch, "w+", np.float16, shape)
            written[row] = latents
        assert written is not None
        written.flush()
        scratch.replace(file)
    found: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    return found
