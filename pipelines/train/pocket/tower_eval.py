"""Scores the pocket tower on scenes whose combinations nothing that crosses was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipelines.encode.encoder import EncoderSpec, encode
from pipelines.encode.loaders.tower import TrainedTower
from pipelines.encode.resolve import resolve
from pipelines.metrics.retrieval import score
from pipelines.miniature.media import picture_file, sound_file
from pipelines.miniature.world import draw_heldout
from schemas.encoders import Encode

# Sounds take half a second each.
_MAX_ROWS = 240


def evaluate(weights: Path, seed: int, rows: int) -> dict[str, float]:
    """Return how near the vectors of pictures come to those of their sounds, and how often they find them.

    Args:
        weights: the folder of the tower.
        seed: of the scenes.
        rows: 240 at most.
    """
    scenes = [draw_heldout(seed, index) for index in range(min(rows, _MAX_ROWS))]
    clap = resolve(Encode.model_validate({"clip": None, "clap": "pocket"}))["clap"]
    loader = TrainedTower(str(weights), "fp32")
    tower = EncoderSpec(loader.space(), loader)
    picture_ND = _encode(tower, "image", [picture_file(scene) for scene in scenes])
    sound_ND = _encode(clap, "audio", [sound_file(scene) for scene in scenes])
    found = score(picture_ND, sound_ND)
    return {name: round(getattr(found, name), 4) for name in ("cosine", "r1", "r5", "r10", "gap", "hubness")}


def _encode(spec: EncoderSpec, modality: str, files: list[bytes]) -> np.ndarray:
    tower = spec.open()[modality]  # type: ignore[index]
    return encode(tower, [tower.prepare(file) for file in files], spec.space.batch_rows)[0]
