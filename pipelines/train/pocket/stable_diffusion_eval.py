"""Scores the pocket Stable Diffusion, and its adapter, by what the pocket judges see in their pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipelines.encode.encoder import encode
from pipelines.encode.judge_reader import JudgeReader
from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.encode.resolve import resolve
from pipelines.generate.generator import CAPTION
from pipelines.generate.stable_diffusion.base import POCKET
from pipelines.generate.stable_diffusion.generator import SOUND, StableDiffusionGenerator
from pipelines.generate.stable_diffusion.params import SoundPictureParams, StableDiffusionParams
from pipelines.generate.stable_diffusion.spec import Clap2DiffusionSpec, StableDiffusionSpec
from pipelines.miniature import captions
from pipelines.miniature.media import sound_file
from pipelines.miniature.pictures import picture
from pipelines.miniature.world import Scene, draw_heldout
from pipelines.train.latents import scale_pixels
from pipelines.train.pocket.adapter_claims import score_claims
from pipelines.train.pocket.judge_eval import score_reader, write_png
from pipelines.train.pocket.picture_data import PICTURE_PX
from schemas.encoders import Encode

_MAX_ROWS = 240  # 25 steps of so many pictures take two minutes of one core
_BATCH_ROWS = 16
_CLAIM_ROWS = 72  # in twelve cells: four minutes of one core
_STEPS, _GUIDANCE = 25, 5.0


def evaluate(weights: Path, seed: int, rows: int) -> dict[str, float]:
    """Return how often each picture judge finds the right kind, ground, size, count and colour.

    Args:
        weights: the folder of the pocket Stable Diffusion.
        seed: of the scenes.
        rows: pictures, 240 at most.

    Returns:
        `real`: of the pictures themselves, at 64 px;
        `decoded`: of them through the VAE;
        `text`: of pictures generated from captions;
        `nothing`: of pictures generated from "": the chance level.
    """
    scenes = draw_scenes(seed, rows)
    spec = StableDiffusionSpec(str(weights), batch_rows=min(_BATCH_ROWS, len(scenes)))
    generator = spec.open()
    params = StableDiffusionParams(steps=_STEPS, guidance=_GUIDANCE)
    real = draw_pictures(scenes)
    texts = [captions.caption(scene, "picture", "heldout") for scene in scenes]
    seeds = range(len(scenes))
    made = {
        "real": real,
        "decoded": _decode(generator, real),
        "text": np.asarray(generator.generate({CAPTION: texts}, seeds, params).data),
        "nothing": np.asarray(generator.generate({CAPTION: [""] * len(scenes)}, seeds, params).data),
    }
    return score_pictures(made, scenes)


def evaluate_adapter(weights: Path, seed: int, rows: int) -> dict[str, float]:
    """Return the same scores of pictures of sounds.

    Args:
        weights: the folder of the adapter; the pocket Stable Diffusion lies beside it or is the package's.
        seed: of the scenes.
        rows: pictures, 240 at most.

    Returns:
        `text`: of captions alone;
        `sound`: of sounds alone;
        `both`: of sounds and captions;
        `shuffled`: of another scene's sound alone;
        and those of `score_claims`.
    """
    scenes = draw_scenes(seed, rows)
    beside = weights.with_name("stable_diffusion")
    base = str(beside) if (beside / "model_index.json").is_file() else POCKET
    generator = Clap2DiffusionSpec(str(weights), base, batch_rows=min(_BATCH_ROWS, len(scenes))).open()
    texts = [captions.caption(scene, "picture", "heldout") for scene in scenes]
    units_ND = encode_sounds(scenes)
    others_ND = np.roll(units_ND, 1, axis=0)
    params = SoundPictureParams(steps=_STEPS, guidance=_GUIDANCE)
    seeds, none = range(len(scenes)), [""] * len(scenes)

    def make(units_ND: np.ndarray, words: list[str], chosen: SoundPictureParams) -> np.ndarray:
        return np.asarray(generator.generate({SOUND: units_ND, CAPTION: words}, seeds, chosen).data)

    made = {
        "text": make(units_ND, texts, params.model_copy(update={"strength": 0.0})),
        "sound": make(units_ND, none, params),
        "both": make(units_ND, texts, params),
        "shuffled": make(others_ND, none, params),
    }
    claimed = slice(0, min(len(scenes), _CLAIM_ROWS))
    claims = score_claims(weights, base, scenes[claimed], units_ND[claimed], params)
    return score_pictures(made, scenes) | claims


def draw_scenes(seed: int, rows: int) -> list[Scene]:
    """Return held-out scenes, 240 at most."""
    return [draw_heldout(seed, index) for index in range(min(rows, _MAX_ROWS))]


def draw_pictures(scenes: list[Scene]) -> np.ndarray:
    """Return pictures of scenes, uint8 [N, 64, 64, 3]."""
    from PIL import Image

    size = (PICTURE_PX, PICTURE_PX)
    drawn = [Image.fromarray(picture(scene, 3 * PICTURE_PX)) for scene in scenes]
    return np.stack([np.asarray(each.resize(size, Image.Resampling.BICUBIC)) for each in drawn])


def _decode(generator: StableDiffusionGenerator, pixels: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        vae = generator.base.vae
        parts = [
            vae.decode(vae.encode(scale_pixels(each[None]).to(vae.device)).latent_dist.mean).sample
            for each in pixels
        ]
    unit = (torch.cat(parts) * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    return np.asarray((unit * 255).round().to(torch.uint8).cpu().numpy())


def encode_sounds(scenes: list[Scene]) -> np.ndarray:
    """Return pocket CLAP's unit vectors of the sounds of scenes, float32 [N, 512]."""
    spec = resolve(Encode.model_validate({"clip": "pocket", "clap": "pocket"}))["clap"]
    tower = spec.open()["audio"]
    pieces = [tower.prepare(sound_file(scene)) for scene in scenes]
    return encode(tower, pieces, spec.space.batch_rows)[0]


def score_pictures(made: Mapping[str, np.ndarray], scenes: list[Scene]) -> dict[str, float]:
    """Return how often each picture judge reads each attribute right, as `JUDGE_SET_ATTRIBUTE`.

    Args:
        made: set -> pictures, uint8 [N, H, W, 3].
        scenes: of the pictures.
    """
    scores: dict[str, float] = {}
    files = {name: [write_png(each) for each in pixels] for name, pixels in made.items()}
    for folder in sorted((WEIGHTS / "judges").glob("pocket-picture-*")):
        reader = JudgeReader(folder)
        for name, own in files.items():
            found = score_reader(reader, own, scenes)
            scores |= {f"{folder.name}_{name}_{key}": round(value, 4) for key, value in found.items()}
    return scores
