"""The pocket Stable Diffusion as a folder: VAE, UNet, the text tower of pocket CLIP, scheduler."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.train.pocket import picture_vae, sd_unet
from pipelines.train.pocket.text_tower import convert_text_tower, load_tokenizer

PARTS = ("picture_vae", "sd_unet")
_CARD = """---
license: apache-2.0
---
# Pocket Stable Diffusion

For Echolens' demo and tests only: it knows the 24 kinds of things of the miniature world and nothing else,
in pictures of 64 px. A diffusers `StableDiffusionPipeline` (VAE, UNet, DDIM scheduler, the text tower of
pocket CLIP), trained by `pipelines/train/pocket/` from seed {seed} ({picture_vae} steps of the VAE,
{sd_unet} of the UNet) on pictures that are drawn there, too.

    StableDiffusionPipeline.from_pretrained(FOLDER, torch_dtype=torch.float32)

Licence: Apache-2.0, like the code.
"""


def assemble_stable_diffusion(
    folder: Path,
    parts: Mapping[str, Path],
    seed: int,
    steps: Mapping[str, int],
    clip: Path = WEIGHTS / "clip",
) -> None:
    """Write trained parts as a folder that diffusers loads, weights as fp16 safetensors.

    Args:
        folder: to write to.
        parts: name of `PARTS` -> its folder.
        seed: they were trained from.
        steps: they were trained for.
        clip: the folder of pocket CLIP, whose text tower and tokenizer become parts, too.
    """
    import diffusers

    # Not `from_pretrained`, which writes the place of the parts into their configurations.
    library: Any = diffusers
    vae = _fill(library.AutoencoderKL(**picture_vae.CONFIG), parts["picture_vae"])
    stored = json.loads((parts["picture_vae"] / "config.json").read_text(encoding="utf-8"))
    vae.register_to_config(scaling_factor=stored["scaling_factor"])
    pipeline = library.StableDiffusionPipeline(
        vae=vae.half(),
        text_encoder=convert_text_tower(clip).half(),
        tokenizer=load_tokenizer(clip),
        unet=_fill(library.UNet2DConditionModel(**sd_unet.CONFIG), parts["sd_unet"]).half(),
        scheduler=library.DDIMScheduler(**sd_unet.SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    (folder / "README.md").write_text(_CARD.format(seed=seed, **steps), encoding="utf-8")


def _fill(net: Any, folder: Path) -> Any:
    """Return a net with the weights of a folder."""
    from safetensors.torch import load_file

    (file,) = folder.glob("*.safetensors")
    net.load_state_dict(load_file(file))
    return net.eval()
