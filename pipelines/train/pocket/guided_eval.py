"""Measures the guide of the pocket pixel diffusion, and scores its pictures by what the pocket judges see."""

from __future__ import annotations

import time
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
from pipelines.generate.guided.params import GuidanceTarget, GuidedParams, encode_vector
from pipelines.generate.guided.spec import GuidedSpec
from pipelines.miniature import captions
from pipelines.miniature.world import Scene, draw_crossing, draw_heldout
from pipelines.models.guidance import compute_spherical_distance
from pipelines.train.latents import scale_pixels
from pipelines.train.pocket.captioner_eval import encode_scenes
from pipelines.train.pocket.pixel_diffusion import reduce_pixels
from pipelines.train.pocket.stable_diffusion_eval import draw_pictures, score_pictures
from pipelines.translate.shipped import get_shipped_root
from pipelines.translate.translator import Translator
from schemas.encoders import Encode
from schemas.families import Column
from schemas.guidance import DistanceRange, GuidanceCard, TargetKind

if TYPE_CHECKING:
    from torch import Tensor

_MEASURED = 64
# 72 scenes of 25 steps take some minutes of one core.
_MAX_ROWS = 72
STEPS = "25"
_COLUMN: Column = "clip_image"
# Of 100, 1,000, 4,000 and 16,000 the scale that names most kinds right, on 16 training scenes.
_SCALE, _SMOOTHNESS, _SATURATION = 1000.0, 0.0, 50.0


def measure_guidance(folder: Path, count: int = _MEASURED) -> GuidanceCard:
    """Write what suits the net and pocket CLIP, and return it.

    Distances are of training scenes at the side of the net: to their captions, to what the shipped translator
    makes of their sounds, and to their pictures in full.

    Args:
        folder: of the net.
        count: of scenes.
    """
    scenes = [draw_crossing("diffusion", 1, "train", number) for number in range(count)]
    guide = ClipGuideSpec(POCKET)
    net = guide.open()
    clean = reduce_pixels(scale_pixels(draw_pictures(scenes)))
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
        respacing=STEPS,
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


def evaluate(weights: Path, seed: int, rows: int) -> dict[str, float]:
    """Return what each picture judge finds right, and the seconds a picture.

    Args:
        weights: the folder of the net.
        seed: of the scenes.
        rows: pictures, 72 at most.

    Returns:
        `real`: of the pictures themselves at 32 px;
        `nothing`: of pictures that nothing leads: the chance level;
        `text`: of pictures that captions lead;
        `sound`: of pictures that sounds lead;
        `both`: of pictures that both lead, calibrated.
    """
    scenes = [draw_heldout(seed, index) for index in range(min(rows, _MAX_ROWS))]
    targets = encode_targets(scenes)
    small = reduce_pixels(scale_pixels(draw_pictures(scenes)))
    real = ((small.permute(0, 2, 3, 1) * 0.5 + 0.5) * 255).round().to(torch.uint8).numpy()
    begin = time.process_time()
    made = {
        "nothing": generate_pictures(weights, {}, len(scenes), {"scale": 0.0}),
        "text": generate_pictures(weights, {"text": (targets["text"], 1.0)}, len(scenes)),
        "sound": generate_pictures(weights, {"sound": (targets["sound"], 1.0)}, len(scenes)),
        "both": generate_pictures(
            weights, {"text": (targets["text"], 0.5), "sound": (targets["sound"], 0.5)}, len(scenes)
        ),
    }
    seconds = (time.process_time() - begin) / (4 * len(scenes))
    return {"seconds": round(seconds, 2)} | score_pictures({"real": real, **made}, scenes)


def generate_pictures(
    weights: Path,
    targets: dict[TargetKind, tuple[np.ndarray, float]],
    count: int,
    settings: dict[str, object] | None = None,
) -> np.ndarray:
    """Return a picture a row of targets, uint8 `[N, 32, 32, 3]`.

    Args:
        weights: the folder of the net.
        targets: origin -> unit vectors and their weight; the first leads as a row's vector does.
        count: of pictures.
        settings: of the generator.
    """
    given = dict(settings or {})
    if not targets:
        generator = GuidedSpec(str(weights), ClipGuideSpec(POCKET), None, batch_rows=8).open()
        return np.asarray(generator.generate({}, range(count), GuidedParams.model_validate(given)).data)
    first, *others = targets
    generator = GuidedSpec(str(weights), ClipGuideSpec(POCKET), _COLUMN, batch_rows=1 if others else 8).open()
    units_ND, weight = targets[first]
    own = {"origin": first, "weight": weight, **given}
    if not others:
        params = GuidedParams.model_validate(own)
        return np.asarray(generator.generate({_COLUMN: units_ND}, range(count), params).data)
    made = []
    for row in range(count):
        prompts = [
            GuidanceTarget(
                kind=kind, name=kind, weight=targets[kind][1], vector=encode_vector(targets[kind][0][row])
            )
            for kind in others
        ]
        params = GuidedParams.model_validate({**own, "prompts": prompts})
        made.append(generator.generate({_COLUMN: units_ND[row : row + 1]}, [row], params).data)
    return np.concatenate(made)
