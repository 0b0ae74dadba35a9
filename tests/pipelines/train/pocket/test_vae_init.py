"""The initial weights of the pocket VAE."""

from __future__ import annotations

import numpy as np
import torch

from pipelines.miniature import world
from pipelines.train.pocket import vae, vae_init
from pipelines.train.pocket.audioldm_data import compute_log_mels, render_sound


def test_the_vae_begins_with_principal_components() -> None:
    """Before any training it gives unseen spectrograms back, blurred: a quarter of their spread off."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    net = AutoencoderKL(**vae.CONFIG).eval()
    waves = np.stack([render_sound(world.draw(3, "heldout", index))[1] for index in range(40)])
    mels = compute_log_mels(torch.from_numpy(waves))
    seen, unseen = mels[:34], mels[34:, None]
    with torch.inference_mode():
        untuned = net.decode(net.encode(unseen).latent_dist.mean).sample - unseen
    vae_init.tune(net, seen)
    with torch.inference_mode():
        latents = net.encode(unseen).latent_dist
        missed = net.decode(latents.mean).sample - unseen

    assert float(untuned.abs().mean()) > 0.6
    assert float(missed.abs().mean()) < 0.35
    assert 0.5 < float(latents.mean.std()) < 2
    assert float(latents.std.max()) < 0.1
