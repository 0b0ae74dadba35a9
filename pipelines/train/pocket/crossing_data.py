"""Pairs of the miniature world for what crosses: scenes that are both seen and heard -> their two vectors.

Scenes are of the combinations that may be trained on (`world.draw_crossing`), from a stream of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.encode.encoder import EncoderSpec, encode
from pipelines.encode.resolve import resolve
from pipelines.miniature.media import picture_file, sound_file
from pipelines.miniature.world import Scene, Split, draw_crossing
from schemas.encoders import Encode
from schemas.space import Space

# Scenes of a file of the cache: half a minute on one core.
_CACHED_ROWS = 100


@dataclass(frozen=True, eq=False)
class ScenePairs:
    """The vectors of scenes, and their spaces.

    Attributes:
        picture_space: of pocket CLIP.
        sound_space: of pocket CLAP.
        picture_ND: unit vectors, float16.
        sound_ND: unit vectors, float16.
    """

    picture_space: Space
    sound_space: Space
    picture_ND: np.ndarray
    sound_ND: np.ndarray


def read_scene_pairs(
    seed: int, split: Split, count: int, cache: Path, progress: Callable[[int], None] = lambda _: None
) -> ScenePairs:
    """Return the vectors of the first scenes of a split, as a build would store them.

    Args:
        seed: of the scenes.
        split: train, or heldout of the same stream.
        count: of scenes.
        cache: a folder of vectors; what is there is not computed again.
        progress: called with the number of scenes that are done.
    """
    specs = resolve(Encode.model_validate({"clip": "pocket", "clap": "pocket"}))
    towers = {"picture": (specs["clip"], "image"), "sound": (specs["clap"], "audio")}
    cache.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, count, _CACHED_ROWS):
        numbers = range(start, min(start + _CACHED_ROWS, count))
        file = cache / f"{split}-{seed}-{numbers.start}-{numbers.stop}.npz"
        if not file.exists():
            scenes = [draw_crossing("crossing", seed, split, number) for number in numbers]
            scratch = file.with_suffix(".part.npz")
            picture_ND, sound_ND = (_encode(*towers[name], scenes) for name in ("picture", "sound"))
            np.savez(scratch, picture=picture_ND, sound=sound_ND)
            scratch.replace(file)
        with np.load(file) as stored:
            parts.append((stored["picture"], stored["sound"]))
        progress(numbers.stop)
    picture_ND, sound_ND = (np.concatenate(side) for side in zip(*parts, strict=True))
    return ScenePairs(specs["clip"].space, specs["clap"].space, picture_ND, sound_ND)


def _encode(spec: EncoderSpec, modality: str, scenes: Sequence[Scene]) -> np.ndarray:
    make = picture_file if modality == "image" else sound_file
    tower = spec.open()[modality]  # type: ignore[index]
    pieces = [tower.prepare(make(scene)) for scene in scenes]
    return encode(tower, pieces, spec.space.batch_rows)[0].astype(np.float16)
