"""Trains the pocket AudioLDM: a real diffusers `AudioLDMPipeline`, for the demo and the tests.

It loads as the real ones do (`AudioLDMPipeline.from_pretrained(FOLDER)`), is conditioned on pocket CLAP and
knows only the miniature world's 24 kinds of things. VAE, vocoder and UNet are trained one after the other.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.train.pocket import unet as unet_part
from pipelines.train.pocket import vae as vae_part
from pipelines.train.pocket import vocoder as vocoder_part

# In the order in which they are trained.
PARTS = ("vae", "vocoder", "unet")
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


def assemble(
    folder: Path, clap: Path, parts: Mapping[str, Path], seed: int, steps: Mapping[str, int]
) -> None:
    """Write trained parts as a folder that diffusers loads.

    Args:
        folder: to write to.
        clap: the folder of pocket CLAP.
        parts: name of `PARTS` -> its folder.
        seed: they were trained from.
        steps: they were trained for.
    """
    import diffusers
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    # Not `from_pretrained`, which writes the place of the parts into their configurations.
    library: Any = diffusers
    vae = _fill(library.AutoencoderKL(**vae_part.CONFIG), parts["vae"])
    stored = json.loads((parts["vae"] / "config.json").read_text(encoding="utf-8"))
    vae.register_to_config(scaling_factor=stored["scaling_factor"])
    vocoder = _fill(SpeechT5HifiGan(SpeechT5HifiGanConfig(**vocoder_part.CONFIG)), parts["vocoder"])
    unet = _fill(library.UNet2DConditionModel(**unet_part.CONFIG), parts["unet"])
    write(folder, clap, vae=vae, vocoder=vocoder, unet=unet)
    (folder / "README.md").write_text(_CARD.format(seed=seed, **steps), encoding="utf-8")


def _fill(net: Any, folder: Path) -> Any:
    """Return a net with the weights of a folder."""
    from safetensors.torch import load_file

    (file,) = folder.glob("*.safetensors")
    net.load_state_dict(load_file(file))
    return net.eval()


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

    own: dict[str, Any] = {"local_files_only": True}
    text = ClapTextModelWithProjection.from_pretrained(
        clap, dtype=torch.float16, trust_remote_code=False, **own
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the pipeline class is deprecated, its parts are not
        library: Any = diffusers
        pipeline = library.AudioLDMPipeline(
            vae=vae.cpu().half(),
            text_encoder=text,
            tokenizer=AutoTokenizer.from_pretrained(clap, trust_remote_code=False, **own),
            unet=unet.cpu().half(),
            scheduler=library.DDIMScheduler(**unet_part.SCHEDULER),
            vocoder=vocoder.cpu().half(),
        )
        pipeline.save_pretrained(folder)
