"""The tasks of the pocket adapter: drawn scenes that are both seen and heard.

Its sounds are those of the scenes that the other pocket models of what crosses were trained on, each drawn
several times in other colours and places: a sound says neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipelines.encode.encoder import encode
from pipelines.encode.resolve import resolve
from pipelines.miniature import captions
from pipelines.miniature.media import sound_file
from pipelines.miniature.pictures import picture
from pipelines.miniature.world import Scene, draw_crossing
from pipelines.train.adapter.align import AlignSounds
from pipelines.train.adapter.data import SoundPictures
from pipelines.train.adapter.paint import PaintSounds
from pipelines.train.adapter.task import AdapterTask
from pipelines.train.pocket.tower import vary_scene
from pipelines.train.task import TaskContext
from schemas.encoders import Encode

# Scenes of a file of the cache: 5 to 80 seconds of one core.
_CACHED_ROWS = 100
# Of each ten scenes, one validates.
_HELD = 10


@dataclass
class DrawnSounds(AdapterTask):
    """What both tasks read.

    Attributes:
        scenes: with a sound each: 1,500 take 1 to 20 minutes of one core to make and encode.
        pictures: drawn of each scene.
    """

    scenes: int = 1_500
    pictures: int = 8
    _drawn: list[list[Scene]] = field(default_factory=list, init=False, repr=False)

    def read_data(self, context: TaskContext) -> SoundPictures:
        """Draw the scenes, and encode the sounds that are not cached yet."""
        space = resolve(Encode.model_validate({"clip": "pocket", "clap": "pocket"}))["clap"].space
        folder = context.folder / "crossing-windows"
        folder.mkdir(parents=True, exist_ok=True)
        parts = [
            _read_block(folder, range(start, min(start + _CACHED_ROWS, self.scenes)))
            for start in range(0, self.scenes, _CACHED_ROWS)
        ]
        counts = np.concatenate([counts for _, _, counts in parts])
        scenes = [draw_crossing("crossing", 0, "train", number) for number in range(self.scenes)]
        self._drawn = [vary_scene(scene, self.pictures) for scene in scenes]
        is_held = np.arange(self.scenes) % _HELD == 0
        return SoundPictures(
            keys_S=np.arange(len(counts)),
            space=space,
            sounds_SD=np.concatenate([sounds for sounds, _, _ in parts]),
            windows_MD=np.concatenate([windows for _, windows, _ in parts]),
            starts_S=np.append(0, counts.cumsum()),
            pictures=self.pictures,
            make_caption=self._make_caption,
            iterate_pixels=self._iterate_pixels,
            train_S=np.flatnonzero(~is_held),
            held_S=np.flatnonzero(is_held),
            fingerprint=hashlib.sha256(f"crossing/{self.scenes}/{self.pictures}".encode()).hexdigest(),
        )

    def _make_caption(self, sound: int, number: int, variant: int) -> str:
        return captions.caption(self._drawn[sound][number], "picture", "train", variant)

    def _iterate_pixels(self, size_px: int) -> Iterator[np.ndarray]:
        for scenes in self._drawn:
            yield np.stack([_draw_square(scene, size_px) for scene in scenes])


@dataclass
class PocketAlignSounds(AlignSounds, DrawnSounds):
    """The task `pocket_sound_alignment`."""

    half: bool = True


@dataclass
class PocketPaintSounds(PaintSounds, DrawnSounds):
    """The task `pocket_sound_to_picture`."""

    half: bool = True


def _read_block(folder: Path, numbers: range) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the vectors of sounds and of their windows, float16, and the windows of each sound."""
    file = folder / f"{numbers.start:05d}-{numbers.stop:05d}.npz"
    if not file.exists():
        spec = resolve(Encode.model_validate({"clip": "pocket", "clap": "pocket"}))["clap"]
        tower, rows = spec.open()["audio"], spec.space.batch_rows
        scenes = [draw_crossing("crossing", 0, "train", number) for number in numbers]
        pieces = [tower.prepare(sound_file(scene)) for scene in scenes]
        windows = [piece[None] for each in pieces for piece in each]
        scratch = file.with_suffix(".part.npz")
        np.savez(
            scratch,
            sounds=encode(tower, pieces, rows)[0].astype(np.float16),
            windows=encode(tower, windows, rows)[0].astype(np.float16),
            counts=np.array([len(each) for each in pieces]),
        )
        scratch.replace(file)
    with np.load(file) as stored:
        return stored["sounds"], stored["windows"], stored["counts"]


def _draw_square(scene: Scene, size_px: int) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(picture(scene, 3 * size_px))
    return np.asarray(image.resize((size_px, size_px), Image.Resampling.BICUBIC))


TASKS = {"pocket_sound_alignment": PocketAlignSounds, "pocket_sound_to_picture": PocketPaintSounds}
