"""Measures how far pictures are from what leads them in pocket CLIP's space, for the card of a net."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import normalize

from pipelines.encode.encoder import encode, get_tower
from pipelines.encode.resolve import resolve
from pipelines.generate.guided.files import GUIDANCE
from pipelines.generate.guided.guide import POCKET, ClipGuideSpec
from pipelines.miniature import captions
from pipelines.miniature.world import Scene, draw_crossing
from pipelines.models.guidance import compute_spherical_distance
from pipelines.train.latents import reduce_pixels, scale_pixels
from pipelines.train.pocket.captioner_eval import encode_scenes
from pipelines.train.pocket.stable_diffusion_eval import draw_pictures
from pipelines.translate.shipped import get_shipped_root
from pipelines.translate.translator import Translator
from schemas.encoders import Encode
from schemas.guidance import DistanceRange, GuidanceCard, TargetKind

if TYPE_CHECKING:
    from torch import Tensor

_MEASURED, _STEPS = 64, "25"
# Of 100, 1,000, 4,000 and 16,000 the scale that names most kinds right, on 16 training scenes.
_SCALE, _SMOOTHNESS, _SATURATION = 1000.0, 0.0, 50.0


def measure_guidance(folder: Path, side_px: int, count: int = _MEASURED) -> GuidanceCard:
    """Write what suits the net and pocket CLIP, and return it.

    Distances are of training scenes at the side of the net: to their captions, to what the shipped translator
    makes of their sounds, and to their pictures in full.

    Args:
        folder: of the net.
        side_px: of its pictures.
        count: of scenes.
    """
    scenes = [draw_crossing("diffusion", 1, "train", number) for number in range(count)]
    guide = ClipGuideSpec(POCKET)
    net = guide.open()
    clean = reduce_pixels(scale_pixels(draw_pictures(scenes)), side_px)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)

    def embed(pixels: Tensor) -> Tensor:
        sized = torch.nn.functional.interpolate(pixels, size=(net.side_px, net.side_px), mode="bilinear")
        with torch.inference_mode():
            return normalize(net.embed_pictures(sized), dim=-1)

    own, far = embed(clean), embed(noise)
    ranges: dict[TargetKind, DistanceRange] = {}
    for kind, units_ND in encode_targets(scenes).items():
        targets = torch.from_numpy(units_ND)
        ranges[kind] = DistanceRange(
            noise=round(float(compute_spherical_distance(far[:, None], targets[None]).mean()), 4),
            matched=round(float(compute_spherical_distance(own, targets).mean()), 4),
        )
    card = GuidanceCard(
        scale=_SCALE,
        smoothness=_SMOOTHNESS,
        saturation=_SATURATION,
        respacing=_STEPS,
        space=guide.find_identity(),
        ranges=ranges,
        pictures=len(scenes),
    )
    (folder / GUIDANCE).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return card


def encode_targets(scenes: Sequence[Scene]) -> dict[TargetKind, np.ndarray]:
    """Return the vectors of scenes in pocket CLIP's space by their origin, float32 `[N, D]`."""
    specs = resolve(Encode.model_validate({"clip": "pocket", "clap": "pocket"}))
    tower = get_tower(specs["clip"], "text")
    texts = [tower.prepare(captions.caption(scene, "picture", "heldout")) for scene in scenes]
    translator = Translator.open(get_shipped_root(), "sound_to_picture")
    heard_ND = encode_scenes(scenes, "sound")
    crossed_ND = np.asarray(translator.translate(heard_ND, translator.card.source_space), np.float32)
    return {
        "text": encode(tower, texts, specs["clip"].space.batch_rows)[0],
        "sound": crossed_ND / np.linalg.norm(crossed_ND, axis=1, keepdims=True),
        "image": encode_scenes(scenes, "picture"),
    }
