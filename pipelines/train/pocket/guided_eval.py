"""Scores the pictures of the pocket pixel diffusion by what the pocket judges see."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipelines.generate.guided.guide import POCKET, ClipGuideSpec
from pipelines.generate.guided.params import GuidanceTarget, GuidedParams, encode_vector
from pipelines.generate.guided.spec import GuidedSpec
from pipelines.miniature.world import draw_heldout
from pipelines.train.latents import reduce_pixels, scale_pixels
from pipelines.train.pocket.guidance_ranges import encode_targets
from pipelines.train.pocket.pixel_diffusion import SIDE_PX
from pipelines.train.pocket.stable_diffusion_eval import draw_pictures, score_pictures
from schemas.families import Column
from schemas.guidance import TargetKind

if TYPE_CHECKING:
    pass

# 72 scenes of 25 steps take some minutes of one core.
_MAX_ROWS = 72
_COLUMN: Column = "clip_image"


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
    small = reduce_pixels(scale_pixels(draw_pictures(scenes)), SIDE_PX)
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
