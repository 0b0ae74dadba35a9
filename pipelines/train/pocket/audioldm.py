"""Trains the pocket AudioLDM: a real diffusers `AudioLDMPipeline`, for the demo and the tests.

It loads as the real ones do (`AudioLDMPipeline.from_pretrained(FOLDER)`), is conditioned on pocket CLAP and
knows only the miniature world's 24 kinds of things. VAE, vocoder and UNet are trained one after the other.
"""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.train.pocket.audioldm_data import SoundSampler
from pipelines.train.pocket.audioldm_eval import evaluate, find_clap_folder
from pipelines.train.pocket.unet import SCHEDULER, train_unet
from pipelines.train.pocket.unet import STEPS as UNET_STEPS
from pipelines.train.pocket.vae import STEPS as VAE_STEPS
from pipelines.train.pocket.vae import train_vae
from pipelines.train.pocket.vocoder import STEPS as VOCODER_STEPS
from pipelines.train.pocket.vocoder import train_vocoder
from pipelines.train.trainer import AudioLdmSizes, Recipe

__all__ = ["STEPS", "evaluate", "train"]

STEPS = UNET_STEPS
FULL = AudioLdmSizes()
_CARD = """---
license: apache-2.0
---
# Pocket AudioLDM

For Echolens' demo and tests only: it knows the 24 kinds of things of the miniature world and nothing
else. A diffusers `AudioLDMPipeline` (VAE, UNet, DDIM scheduler, HiFiGAN at 16 kHz, the text tower of
pocket CLAP), trained by `pipelines/train/pocket/audioldm.py` from seed {seed} ({vae} steps of the VAE,
{vocoder} of the vocoder, {unet} of the UNet) on sounds that are made there, too.

    AudioLDMPipeline.from_pretrained(FOLDER, torch_dtype=torch.float32)

Licence: Apache-2.0, like the code.
"""


def train(
    out: Path,
    seed: int,
    steps: int = STEPS,
    progress: Callable[[int, float], None] | None = None,
    *,
    sizes: AudioLdmSizes = FULL,
) -> dict[str, float]:
    """Train a pocket AudioLDM from scratch and write its parts to a folder.

    An interrupted training resumes from its last checkpoint, in `OUT.partial/`; `out` itself is written at
    the end. Sounds and captions are of the training split alone.

    Args:
        out: the folder; an earlier one is replaced. Pocket CLAP is read from `clap` beside it, or else is the
            package's own.
        seed: of the scenes, the batches and the initial weights.
        steps: of the UNet; those of the VAE and the vocoder are in proportion.
        progress: called after each step of each part with its number (from 1) and its loss.
        sizes: of the batches and the training set; a resumed training needs the same, which is not checked.

    Returns:
        `parameters`, and `train_s` of this call.

    Raises:
        ConfigError: a checkpoint is of another seed, or its rate decays towards another last step.
    """
    started = time.monotonic()
    folder = out.with_name(f"{out.name}.partial")
    clap = find_clap_folder(out)
    on_step = None if progress is None else (lambda _part, step, loss: progress(step, loss))
    recipe = Recipe(folder, seed, _divide_steps(steps), sizes, on_step)
    sounds = SoundSampler(folder / f"sounds-{seed}", seed, clap, sizes)
    vae = train_vae(sounds, recipe)
    vocoder = train_vocoder(sounds, recipe)
    unet = train_unet(sounds, vae, recipe)
    result = folder / "made"
    write(result, clap, vae=vae, vocoder=vocoder, unet=unet)
    (result / "README.md").write_text(_CARD.format(seed=seed, **recipe.steps))
    if out.exists():
        shutil.rmtree(out)
    result.replace(out)
    shutil.rmtree(folder)
    nets = (vae, vocoder, unet)
    return {
        "parameters": sum(p.numel() for net in nets for p in net.parameters()),
        "train_s": time.monotonic() - started,
    }


def _divide_steps(unet: int) -> dict[str, int]:
    """Return part -> steps, in the proportion of the shipped weights."""
    share = unet / UNET_STEPS
    parts = {"vae": VAE_STEPS, "vocoder": VOCODER_STEPS, "unet": UNET_STEPS}
    return {part: max(1, round(share * steps)) for part, steps in parts.items()}


def write(folder: Path, clap: Path, *, vae: Any, vocoder: Any, unet: Any) -> None:
    """Write the parts as a folder that diffusers loads, weights as fp16 safetensors.

    Args:
        folder: to write to.
        clap: the folder of pocket CLAP, whose text tower and tokenizer become parts, too.
        vae: trained, on any device.
        vocoder: trained.
        unet: trained.
    """
    import diffusers
    import torch
    from transformers import AutoTokenizer, ClapTextModelWithProjection

    text = ClapTextModelWithProjection.from_pretrained(clap, dtype=torch.float16, local_files_only=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the pipeline class is deprecated, its parts are not
        library: Any = diffusers
        pipeline = library.AudioLDMPipeline(
            vae=vae.cpu().half(),
            text_encoder=text,
            tokenizer=AutoTokenizer.from_pretrained(clap, local_files_only=True),
            unet=unet.cpu().half(),
            scheduler=library.DDIMScheduler(**SCHEDULER),
            vocoder=vocoder.cpu().half(),
        )
        pipeline.save_pretrained(folder)
    for file in folder.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
