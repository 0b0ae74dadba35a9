"""The task `pocket_captioner`: drawn scenes, seen and heard -> what is said of them.

Trained on the vectors of captions alone it never meets a picture or a sound; on those of media it is given
the scenes that the other pocket models of what crosses were trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from pipelines.encode.encoder import EncoderSpec, encode, get_tower
from pipelines.encode.resolve import resolve
from pipelines.generate.captioner.tokenizer import load_caption_tokenizer
from pipelines.miniature import captions
from pipelines.miniature.words import COUNTS, HEARD_WHERE, SEEN_WHERE, SIZES, TIMES, TONES
from pipelines.miniature.world import Medium, Scene, draw_crossing
from pipelines.train.captioner.data import CaptionedVectors
from pipelines.train.captioner.task import CaptionerTask
from pipelines.train.captioner.words import FirstWords
from pipelines.train.pocket.clip import write_tokenizer
from pipelines.train.pocket.crossing_data import read_scene_pairs
from pipelines.train.task import TaskContext
from schemas.captioner import Gpt2Shape
from schemas.encoders import Encode
from schemas.families import Family

# Of each ten scenes, one validates.
_HELD = 10
# Captions of a scene, and how many are drawn before those that say the least are left out.
_KEPT, _DRAWN = 3, 48
_POSITIONS, _END = 40, 2
_MEDIA: tuple[tuple[Family, Medium], ...] = (("clip", "picture"), ("clap", "sound"))
_CARD = """# Pocket captioner

For Echolens' demo and tests only: it knows the 24 kinds of things of the miniature world and nothing else.
A GPT-2 of {words:,} words with a mapper for each of pocket CLIP and pocket CLAP, trained by
`pipelines/train/pocket/captioner.py` for {steps} steps from seed {seed} on vectors of {on}.

    echolens generate ROOT --generator captioner --column clip_image

Licence: Apache-2.0, like the code.
"""


@dataclass
class PocketCaptioner(CaptionerTask):
    """The task.

    Attributes:
        trained_on: the vectors: of captions, or of pictures and sounds.
        scenes: with captions that tell of what is seen, and of what is heard.
        width: of GPT-2.
        layers: of it.
        heads: of it.
    """

    trained_on: Literal["texts", "media"] = "media"
    scenes: int = 1_500
    width: int = 128
    layers: int = 3
    heads: int = 4
    hidden: int = 240
    half: bool = True

    def read_words(self, context: TaskContext) -> FirstWords:
        """Return the world's vocabulary, and no weights."""
        folder = context.folder / "words"
        folder.mkdir(parents=True, exist_ok=True)
        write_tokenizer(folder)
        shape = Gpt2Shape(
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            positions=_POSITIONS,
            vocabulary=len(captions.vocabulary()) + 3,
            end=_END,
        )
        return FirstWords(shape, load_caption_tokenizer(folder, shape), None, "miniature")

    def read_data(self, context: TaskContext) -> list[CaptionedVectors]:
        """Draw the scenes, and encode their captions, or their media where these are not cached yet."""
        scenes = [draw_crossing("crossing", 0, "train", number) for number in range(self.scenes)]
        texts = {medium: [select_captions(scene, medium) for scene in scenes] for _, medium in _MEDIA}
        specs = resolve(Encode.model_validate({"clip": "pocket", "clap": "pocket"}))
        if self.trained_on == "media":
            pairs = read_scene_pairs(0, "train", self.scenes, context.folder / "crossing")
            units = {"clip": pairs.picture_ND, "clap": pairs.sound_ND}
            return [
                _make_vectors(family, specs[family], False, units[family], texts[medium])
                for family, medium in _MEDIA
            ]
        return [
            _make_vectors(
                family,
                specs[family],
                True,
                _encode_texts(specs[family], [text for own in texts[medium] for text in own]),
                [(text,) for own in texts[medium] for text in own],
            )
            for family, medium in _MEDIA
        ]

    def save(self, net: object, folder: Path) -> None:
        """Write the captioner, and a README that says what it is for."""
        super().save(net, folder)  # type: ignore[arg-type]
        recipe = self.context.recipe
        on = "captions alone" if self.trained_on == "texts" else "pictures and sounds"
        text = _CARD.format(words=self.words.shape.vocabulary, steps=recipe.steps, seed=recipe.seed, on=on)
        (folder / "README.md").write_text(text, encoding="utf-8")


def select_captions(scene: Scene, medium: Medium) -> tuple[str, ...]:
    """Return captions of the training split that say the most: a captioner says no more than those it read.

    Args:
        scene: of the world.
        medium: "picture" tells what can be seen, "sound" what can be heard.
    """
    drawn = dict.fromkeys(captions.caption(scene, medium, "train", variant) for variant in range(_DRAWN))
    told = [*_list_told(scene, medium)]
    marks = str.maketrans("", "", ".,")

    def count_told(text: str) -> int:
        words = f" {text.translate(marks)} "
        return sum(any(f" {phrase} " in words for phrase in phrases) for phrases in told)

    return tuple(sorted(drawn, key=lambda text: -count_told(text))[:_KEPT])


def _list_told(scene: Scene, medium: Medium) -> Iterator[Sequence[str]]:
    """Yield the phrases of size, of count and of ground that a caption may have."""
    if medium == "sound":
        yield TONES[scene.pitch]
        yield (TIMES[scene.count - 1],)
        yield HEARD_WHERE[scene.background]
        return
    yield [phrase for phrase in SIZES[scene.pitch] if phrase]
    yield (COUNTS[scene.count - 1], *(("a", "an") if scene.count == 1 else ()))
    yield SEEN_WHERE[scene.background]


def _make_vectors(
    family: Family,
    spec: EncoderSpec,
    is_text: bool,
    units_ND: np.ndarray,
    texts: Sequence[Sequence[str]],
) -> CaptionedVectors:
    is_held = np.arange(len(units_ND)) // (_KEPT if is_text else 1) % _HELD == 0
    return CaptionedVectors(
        family, spec.space, is_text, units_ND, texts, np.flatnonzero(~is_held), np.flatnonzero(is_held)
    )


def _encode_texts(spec: EncoderSpec, texts: Sequence[str]) -> np.ndarray:
    tower = get_tower(spec, "text")
    return encode(tower, [tower.prepare(text) for text in texts], spec.space.batch_rows)[0].astype(np.float16)


TASKS = {"pocket_captioner": PocketCaptioner}
