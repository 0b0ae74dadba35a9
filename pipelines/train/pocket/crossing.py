"""Trains the translators that ship: several ways each direction over the miniature world, the best is kept.

The closed forms and the nets of a preset are trained on one set of pairs; the way with the best cosine on
validation pairs is written, as `echolens train` writes a translator.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.store.root import Root
from pipelines.store.splits import TEST, TRAIN, VALIDATION
from pipelines.train.dataset import TrainingDataset
from pipelines.train.pocket.crossing_data import ScenePairs, read_scene_pairs
from pipelines.train.trainer import Trainer
from pipelines.train.translators.pairs import PairTable
from pipelines.train.translators.task import TranslatorsTask, make_recipe
from pipelines.train.translators.training_pairs import TrainingPairs
from pipelines.translate.defaults import rank_cards
from pipelines.translate.translator import WEIGHTS
from schemas.training import TrainingPreset
from schemas.translator_card import TranslatorCard

# Of each ten training scenes, one validates and one is scored; the card of a translator wants both.
_PARTS = (VALIDATION, TEST, *[TRAIN] * 8)
_DIRECTIONS = {
    "picture_to_sound": ("clip_image", "clap_audio"),
    "sound_to_picture": ("clap_audio", "clip_image"),
}


@dataclass
class DrawnPairs(TrainingPairs):
    """Pairs of drawn scenes in place of those of a version."""

    drawn: PairTable | None = None

    def read(self, scratch: Path) -> PairTable:  # noqa: ARG002 - they are in memory
        """Return the pairs."""
        assert self.drawn is not None
        return self.drawn

    def read_set(self) -> str:
        """Return the name of a set that no root has: the pairs were drawn."""
        return "drawn"

    def describe(self) -> dict[str, Any]:
        """Return what a training depends on."""
        assert self.drawn is not None
        return {"drawn": len(self.drawn.part_N), "data": self.data}


def train_shipped(
    preset: TrainingPreset, scenes: int, cache: Path, out: Path, progress: Callable[[int], None]
) -> list[TranslatorCard]:
    """Train every way of a preset in both directions; write the best of each, and return their cards.

    Args:
        preset: with one data set for each direction, named as the translator.
        scenes: to draw.
        cache: of their vectors.
        out: the folder of translators/.
        progress: called with the number of scenes whose vectors are there.
    """
    pairs = read_scene_pairs(0, "train", scenes, cache, progress)
    return [_train_direction(preset, name, pairs, out) for name in _DIRECTIONS]


def _train_direction(preset: TrainingPreset, name: str, scenes: ScenePairs, out: Path) -> TranslatorCard:
    source, target = _DIRECTIONS[name]
    dataset = TrainingDataset(Root.from_url(str(out)), "miniature", 1, 1)
    pairs = DrawnPairs(dataset, preset, name, drawn=_make_table(scenes, source, target))
    task = TranslatorsTask(pairs, pairs.experiments)
    with tempfile.TemporaryDirectory(prefix="echolens-") as scratch:
        made, steps = Path(scratch) / "made", Path(scratch) / "steps"
        made.mkdir()
        trainer = Trainer(task, make_recipe(preset.fit), Root.from_url(str(steps)), caches=Path(scratch))
        cards = {card.name: card for card in trainer.train().export(made)}
        best = rank_cards(cards.values())[0]
        weights = _halve((made / best.name / WEIGHTS).read_bytes())
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(weights)
    card = best.model_copy(update={"name": name, "weights_sha256": hashlib.sha256(weights).hexdigest()})
    (folder / "card.json").write_text(card.model_dump_json(indent=2, by_alias=True) + "\n")
    return card


def _halve(weights: bytes) -> bytes:
    """Return weights as float16: a vector's cosine to what they gave before is above 0.999."""
    from safetensors.torch import load, save

    return bytes(save({name: weight.half() for name, weight in load(weights).items()}))


def _make_table(scenes: ScenePairs, source: str, target: str) -> PairTable:
    sides = {
        "clip_image": (scenes.picture_space, scenes.picture_ND),
        "clap_audio": (scenes.sound_space, scenes.sound_ND),
    }
    (source_space, source_NI), (target_space, target_NO) = sides[source], sides[target]
    part_N = np.resize(np.array(_PARTS, np.uint8), len(source_NI))
    labels_N = np.zeros(len(part_N), np.uint64)
    return PairTable(
        source_space,
        target_space,
        source_NI,
        target_NO,
        part_N,
        labels_N,
        directions=(f"{source} -> {target}",),
    )
