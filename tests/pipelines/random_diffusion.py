"""A Stable Diffusion of random weights, saved and loaded by the real libraries; nothing is asked of a hub."""

from pathlib import Path

import torch

CROSS, SOUND, VOCABULARY = 32, 24, 100


def make_unet(cross: int = CROSS):
    """Return a random UNet with cross-attention down, in the middle and up."""
    import diffusers

    torch.manual_seed(1)
    return diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=cross,
        attention_head_dim=8,
        norm_num_groups=2,
    ).eval()


def make_vae():
    """Return a random VAE of 64 px and 8 times fewer latents."""
    import diffusers

    torch.manual_seed(2)
    return diffusers.AutoencoderKL(
        block_out_channels=(4, 4, 8, 8),
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=2,
    ).eval()


def make_text_encoder(cross: int = CROSS):
    """Return a random text tower."""
    import transformers

    torch.manual_seed(3)
    config = transformers.CLIPTextConfig(
        hidden_size=cross,
        intermediate_size=2 * cross,
        num_attention_heads=4,
        num_hidden_layers=1,
        vocab_size=VOCABULARY,
        max_position_embeddings=16,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
    )
    return transformers.CLIPTextModel(config).eval()


def make_pipeline(unet=None):
    """Return a stock pipeline without a tokenizer, on random weights."""
    import diffusers

    pipeline = diffusers.StableDiffusionPipeline(
        vae=make_vae(),
        text_encoder=make_text_encoder(),
        tokenizer=None,
        unet=unet or make_unet(),
        scheduler=diffusers.DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save_base(folder: Path) -> Path:
    """Save a pipeline of random UNet and VAE with the words of pocket CLIP, and return its folder."""
    from pipelines.train.pocket.text_tower import convert_text_tower, load_tokenizer

    pipeline = make_pipeline(make_unet(cross=96))
    pipeline.register_modules(text_encoder=convert_text_tower(), tokenizer=load_tokenizer())
    pipeline.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: openrail\n---\nA base.\n")
    return folder


def make_words(count: int = 1):
    """Return token states of so many texts, and of none, `[N, T, C]`."""
    tower = make_text_encoder()
    ids = torch.arange(count * 16).view(count, 16) % VOCABULARY
    with torch.inference_mode():
        return tower(ids)[0], tower(torch.ones_like(ids))[0]


def make_sounds(count: int, dims: int = SOUND):
    """Return random unit vectors, `[N, D]`."""
    vectors = torch.randn(count, dims, generator=torch.Generator().manual_seed(4))
    return torch.nn.functional.normalize(vectors, dim=-1)


def load_into(pipeline, folder: Path, levels: tuple[str, ...]) -> None:
    """Load the adapters of a folder into a stock pipeline, by its own method alone."""
    names = [f"{level}.safetensors" for level in levels]
    pipeline.load_ip_adapter(
        str(folder),
        subfolder=[""] * len(names),
        weight_name=names,
        image_encoder_folder=None,
        local_files_only=True,
    )
    pipeline.set_ip_adapter_scale([1.0] * len(names))
