"""A whole AudioLDM with random weights, small enough for a test: 1,600 samples a second, 16 mels."""

from pathlib import Path

import pytest

from pipelines.encode.pocket import WEIGHTS
from pipelines.train import pocket_audioldm

TINY_RATE_HZ = 1_600


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """The folder of an AudioLDM that makes 100 frames a second, 4 of them a latent, as the real one does."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("generators") / "tiny"
    vae = AutoencoderKL(
        in_channels=1,
        out_channels=1,
        latent_channels=4,
        block_out_channels=[8, 8, 8],
        norm_num_groups=4,
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        mid_block_add_attention=False,
        scaling_factor=0.8,
    )
    unet = UNet2DConditionModel(
        sample_size=32,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=(8, 16),
        attention_head_dim=4,
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=512,
        class_embeddings_concat=True,
    )
    torch.nn.init.normal_(unet.class_embedding.weight)  # so that a vector is heard
    vocoder = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=16,
            sampling_rate=TINY_RATE_HZ,
            upsample_initial_channel=8,
            upsample_rates=[4, 4],
            upsample_kernel_sizes=[8, 8],
            resblock_kernel_sizes=[3],
            resblock_dilation_sizes=[[1, 3]],
            normalize_before=False,
        )
    )
    torch.nn.init.normal_(vocoder.conv_post.weight)  # so that there is a sound
    pocket_audioldm.write(folder, WEIGHTS / "clap", vae=vae, vocoder=vocoder, unet=unet)
    return folder


@pytest.fixture(scope="session")
def generator(tiny):
    """The tiny AudioLDM, loaded, its sounds as the vocoder made them."""
    from pipelines.generate.audioldm import AudioLdm

    return AudioLdm(str(tiny), level=False).load()
