"""Scenes of the miniature world as rows: held-out ones to score, training ones as the gallery.

Media are drawn where they are needed, so nothing of them is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from pipelines.errors import ConfigError
from pipelines.evaluate.evaluation_set import GALLERY_ROWS, Part, SetRows
from pipelines.generate.media import encode_sound
from pipelines.miniature import captions
from pipelines.miniature.media import picture_file
from pipelines.miniature.sounds import SAMPLE_RATE, sound
from pipelines.miniature.world import KINDS, Scene, draw_crossing, draw_heldout
from pipelines.miniature.world import Medium as Told
from schemas.candidate import make_candidate_id
from schemas.evaluation import Direction, split_direction
from schemas.media import Medium

# As long as the pocket generator's: a whole group of events, and the window of pocket CLAP.
SOUND_S = 5.12
# Of the gallery: the seed of the training scenes, whatever is scored.
_GALLERY_SEED = 0


@dataclass(frozen=True)
class MiniatureScenes:
    """The scenes of both parts, and their media.

    Attributes:
        direction: whose captions are of its medium that is no text; of what is heard if both are media.
        seed: of the scenes that are scored.
        rows: that are scored.
        only: kinds of the scored rows; all if empty.
        gallery: training scenes.
    """

    direction: Direction
    seed: int
    rows: int
    only: tuple[str, ...] = ()
    gallery: int = GALLERY_ROWS

    def __post_init__(self) -> None:
        if unknown := [kind for kind in self.only if kind not in KINDS]:
            raise ConfigError(
                f"--only {unknown[0]}: the miniature world has no such kind; it has {', '.join(KINDS)}"
            )

    def get_scenes(self, part: Part) -> tuple[Scene, ...]:
        """Return the scenes of a part, in their order."""
        if part == "gallery":
            return _draw_gallery(self.gallery)
        return _draw_scored(self.seed, self.rows, self.only)

    @property
    def told(self) -> Told:
        """What captions are of: the medium of the direction that is no text; of two, the one it leads to."""
        source, target = split_direction(self.direction)
        return "picture" if (source if target == "text" else target) == "picture" else "sound"

    def get_caption(self, scene: Scene) -> str:
        """Return what a caption says of a scene, in words that no pocket model was trained on."""
        return captions.caption(scene, self.told, "heldout")

    def read_media(self, part: Part, medium: Medium, rows: Sequence[int]) -> list[bytes]:
        """Draw the media of some rows."""
        scenes = self.get_scenes(part)
        return [self._draw(scenes[row], medium) for row in rows]

    def _draw(self, scene: Scene, medium: Medium) -> bytes:
        if medium == "picture":
            return picture_file(scene)
        if medium == "text":
            return self.get_caption(scene).encode()
        return encode_sound(sound(scene, SOUND_S), SAMPLE_RATE, "flac")

    @cached_property
    def tables(self) -> dict[Part, SetRows]:
        """The rows of both parts."""
        return {part: self._make_rows(part) for part in ("scored", "gallery")}

    def _make_rows(self, part: Part) -> SetRows:
        scenes = self.get_scenes(part)
        truth = {
            "kind": [scene.kind for scene in scenes],
            "ground": [scene.background for scene in scenes],
            "size": [scene.pitch for scene in scenes],
            "count": [str(scene.count) for scene in scenes],
            "colour": [scene.colour for scene in scenes],
        }
        return SetRows(
            ids=[make_candidate_id("miniature", f"{part} {scene.seed}", None, "") for scene in scenes],
            # Every scene is a draw of its own, and no scene is in both parts.
            groups_N=np.arange(len(scenes)) + (self.rows if part == "gallery" else 0),
            captions=[self.get_caption(scene) for scene in scenes],
            labels=[captions.label(scene.kind) for scene in scenes],
            combinations=[f"{scene.kind}/{scene.background}/{scene.pitch}" for scene in scenes],
            truth={name: np.array(values) for name, values in truth.items()},
        )


@lru_cache(8)
def _draw_scored(seed: int, rows: int, only: tuple[str, ...]) -> tuple[Scene, ...]:
    scenes: list[Scene] = []
    index = 0
    while len(scenes) < rows:
        scene = draw_heldout(seed, index)
        index += 1
        if not only or scene.kind in only:
            scenes.append(scene)
    return tuple(scenes)


@lru_cache(2)
def _draw_gallery(rows: int) -> tuple[Scene, ...]:
    return tuple(draw_crossing("crossing", _GALLERY_SEED, "train", index) for index in range(rows))
