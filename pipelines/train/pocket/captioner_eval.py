"""Scores the pocket captioner by what its captions say of held-out scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipelines.encode.encoder import encode
from pipelines.encode.resolve import resolve
from pipelines.generate.captioner.params import CaptionerParams
from pipelines.generate.captioner.spec import CaptionerSpec
from pipelines.metrics.captions import compute_bleu, compute_cider, split_words
from pipelines.metrics.intervals import compute_wilson
from pipelines.miniature import captions
from pipelines.miniature.caption_reader import read_caption
from pipelines.miniature.media import picture_file, sound_file
from pipelines.miniature.world import Medium, Scene, draw_heldout
from schemas.encoders import Encode
from schemas.families import Column

_MAX_ROWS = 240
_BATCH_ROWS = 32
_REFERENCES = 5
_READ: Mapping[Medium, tuple[Column, str]] = {
    "picture": ("clip_image", "clip"),
    "sound": ("clap_audio", "clap"),
}


def evaluate(weights: Path, seed: int, rows: int) -> dict[str, float]:
    """Return what is named right in captions of pictures and of sounds, and their BLEU-4 and CIDEr-D.

    What a caption does not say is wrong. Each share has its Wilson interval of 95 % as `_low` and `_high`.

    Args:
        weights: the folder of the captioner.
        seed: of the scenes.
        rows: of each medium, 240 at most.
    """
    scenes = [draw_heldout(seed, index) for index in range(min(rows, _MAX_ROWS))]
    scores: dict[str, float] = {}
    for medium, (column, _) in _READ.items():
        texts = generate_captions(weights, column, encode_scenes(scenes, medium))
        scores |= {f"{medium}_{name}": value for name, value in score_captions(texts, scenes, medium).items()}
    return scores


def encode_scenes(scenes: Sequence[Scene], medium: Medium) -> np.ndarray:
    """Return the vectors of the media of scenes by the pocket encoders, float32 `[N, D]`."""
    family = _READ[medium][1]
    spec = resolve(Encode.model_validate({"clip": "pocket", "clap": "pocket"}))[family]
    tower = spec.open()["image" if medium == "picture" else "audio"]
    make = picture_file if medium == "picture" else sound_file
    return encode(tower, [tower.prepare(make(scene)) for scene in scenes], spec.space.batch_rows)[0]


def generate_captions(weights: Path, column: Column, units_ND: np.ndarray) -> list[str]:
    """Return a caption of each vector.

    Args:
        weights: the folder of the captioner.
        column: of the vectors.
        units_ND: unit vectors.
    """
    generator = CaptionerSpec(str(weights), column, _BATCH_ROWS).open()
    return [*generator.generate({column: units_ND}, range(len(units_ND)), CaptionerParams()).data]


def score_captions(texts: Sequence[str], scenes: Sequence[Scene], medium: Medium) -> dict[str, float]:
    """Return the shares of captions that name each attribute right, BLEU-4 and CIDEr-D.

    Args:
        texts: the captions.
        scenes: of them.
        medium: that was captioned; nobody hears a colour.
    """
    truth = [
        {
            "kind": scene.kind,
            "count": str(scene.count),
            "ground": scene.background,
            "size": scene.pitch,
            **({"colour": scene.colour} if medium == "picture" else {}),
        }
        for scene in scenes
    ]
    found = [read_caption(text) for text in texts]
    scores: dict[str, float] = {}
    for name in truth[0]:
        right = sum(own[name] == told[name] for own, told in zip(truth, found, strict=True))
        low, high = compute_wilson(right, len(texts))
        scores |= {name: right / len(texts), f"{name}_low": low, f"{name}_high": high}
    references = [
        [split_words(captions.caption(scene, medium, "heldout", variant)) for variant in range(_REFERENCES)]
        for scene in scenes
    ]
    said = [split_words(text) for text in texts]
    scores["bleu4"] = compute_bleu(said, references)
    scores["cider_d"] = float(np.mean(compute_cider(said, references)))
    return {name: round(value, 4) for name, value in scores.items()}
