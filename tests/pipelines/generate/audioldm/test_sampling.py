"""Latents whose count the UNet's blocks can halve and double again."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.generate.audioldm.params import AudioLdmParams


def units(count):
    """Return unit vectors, float32 [N, 512]."""
    drawn_ND = np.random.default_rng(0).standard_normal((count, 512)).astype(np.float32)
    return drawn_ND / np.linalg.norm(drawn_ND, axis=1, keepdims=True)


def test_latents_have_the_shape_of_the_nets(generator):
    """As many as asked for where the blocks take odd counts; mels are smaller by the VAE's factor."""
    assert 4 == generator.nets.frames_a_latent
    assert (4, 13, 4) == generator.nets.get_latent_shape(13)


@pytest.mark.parametrize("length_s", [0.44, 0.48, 0.5], ids=["eleven", "twelve", "thirteen"])
def test_a_net_of_the_pockets_blocks_makes_every_length(generator, length_s):
    """Odd counts of latents, which its blocks would lose, are made one longer, and the sound is cut."""
    import diffusers

    from pipelines.generate.audioldm.pipeline import AudioLdmGenerator
    from pipelines.train.pocket.unet import CONFIG

    channels = generator.nets.unet.config.in_channels
    blocks = {"block_out_channels": [16, 32], "attention_head_dim": 8, "norm_num_groups": 4}
    unet = diffusers.UNet2DConditionModel(
        **CONFIG | blocks | {"in_channels": channels, "out_channels": channels}
    ).eval()
    pocket = AudioLdmGenerator(replace(generator.nets, unet=unet), generator.texts, 1)

    assert (1, int(length_s * pocket.rate_hz)) == pocket.generate_waves(
        units(1), [0], AudioLdmParams(length_s=length_s, steps=2)
    ).shape
