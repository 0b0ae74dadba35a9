"""Pictures of words and sounds: the same as a stock diffusers makes, but each with its own sound."""

import numpy as np
import pytest
import torch

from pipelines.generate.stable_diffusion.params import SoundPictureParams, StableDiffusionParams
from pipelines.generate.stable_diffusion.sampling import (
    PictureConditions,
    StableDiffusionModules,
    sample_pictures,
)
from pipelines.models.adapter_files import load_adapter, save_adapter
from pipelines.models.audio_adapter import AudioAdapter, make_image_embeds
from pipelines.models.audio_attention import attach_adapter, describe_shape
from schemas.audio_adapter import AdapterCard, AdapterSettings
from tests.pipelines.random_diffusion import (
    SOUND,
    load_into,
    make_pipeline,
    make_sounds,
    make_unet,
    make_vae,
    make_words,
)

PARAMS = SoundPictureParams(steps=3, guidance=3.0)
CHOICES = [
    {"tokens": "flat"},
    {"tokens": "rigid", "norm": 60.0},
    {"tokens": "soft"},
    {"tokens": "resampler", "count": 6},
    {"tokens": "soft", "routing": "early-mid-late"},
    {"tokens": "rigid", "routing": "learnt", "depth": 0},
]


@pytest.fixture
def made(tmp_path):
    """Save a random adapter and return ours, in use: the modules and the card's folder."""

    def make(**settings):
        torch.manual_seed(5)
        shape = describe_shape(make_unet(), SOUND)
        chosen = AdapterSettings(hidden=16, **settings)
        save_adapter(AudioAdapter(chosen, shape), AdapterCard(settings=chosen, shape=shape), tmp_path)
        adapter, _ = load_adapter(tmp_path)
        unet = make_unet()
        attach_adapter(unet, adapter)
        return StableDiffusionModules(unet, make_vae(), make_pipeline().scheduler, adapter)

    return make


def sample(nets, sounds, params=PARAMS, seeds=None):
    """Return our pictures of the same words and some sounds."""
    count = len(sounds)
    words, negative = (each.expand(count, -1, -1) for each in make_words())
    with torch.inference_mode():
        embeds = nets.adapter.make_embeds(sounds) if nets.adapter else ()
        given = PictureConditions(words, negative, embeds, seeds or range(count))
        return sample_pictures(nets, given, params, lambda: None).numpy()


def sample_stock(pipeline, seeds, steps=3, **options):
    """Return a stock pipeline's pictures."""
    words, negative = make_words()
    return np.concatenate(
        [
            (
                pipeline(
                    prompt_embeds=words,
                    negative_prompt_embeds=negative,
                    num_inference_steps=steps,
                    guidance_scale=PARAMS.guidance,
                    generator=torch.Generator().manual_seed(seed),
                    output_type="np",
                    **options,
                ).images
                * 255
            )
            .round()
            .astype(np.uint8)
            for seed in seeds
        ]
    )


@pytest.mark.parametrize("settings", CHOICES, ids=str)
def test_a_stock_diffusers_loads_it_and_makes_the_same_picture(settings, made, tmp_path, one_thread):
    """Bit for bit, one picture a batch; without a patch, a scale of ours, or a hub."""
    nets, sound = made(**settings), make_sounds(1)
    own = sample(nets, sound)
    pipeline = make_pipeline()
    base = sample_stock(pipeline, [0])
    load_into(pipeline, tmp_path, nets.adapter.settings.levels)
    with torch.inference_mode():
        embeds = make_image_embeds(nets.adapter, sound[0])
    stock = sample_stock(pipeline, [0], ip_adapter_image_embeds=embeds)

    assert np.array_equal(own, stock)
    assert not np.array_equal(own, base)


@pytest.mark.parametrize("settings", [*CHOICES, {"tokens": "as-published"}], ids=str)
def test_at_strength_0_the_picture_is_the_bases(settings, made, one_thread):
    own = sample(made(**settings), make_sounds(1), SoundPictureParams(steps=3, guidance=3.0, strength=0))
    assert np.array_equal(own, sample_stock(make_pipeline(), [0]))


def test_words_alone_are_a_stock_diffusers(one_thread):
    nets = StableDiffusionModules(make_unet(), make_vae(), make_pipeline().scheduler)
    own = sample(nets, make_sounds(1), StableDiffusionParams(steps=3, guidance=3.0))
    assert np.array_equal(own, sample_stock(make_pipeline(), [0]))


def test_each_sound_of_a_batch_gets_its_own_picture(made, tmp_path, one_thread):
    """A stock pipeline gives each picture the tokens of all sounds (diffusers #9813)."""
    nets, sounds = made(tokens="soft"), make_sounds(3)
    together = sample(nets, sounds, seeds=[0, 0, 0]).astype(int)
    alone = np.concatenate([sample(nets, each[None]) for each in sounds]).astype(int)
    # Of another batch size only the last digits differ.
    assert abs(together - alone).max() <= 1
    assert min(abs(alone[first] - alone[second]).max() for first, second in ((0, 1), (0, 2), (1, 2))) > 1

    pipeline = make_pipeline()
    load_into(pipeline, tmp_path, nets.adapter.settings.levels)
    with torch.inference_mode():
        both = [torch.cat([empty.expand(3, -1, -1, -1), own]) for empty, own in _split(nets, sounds)]
    words, negative = (each.expand(3, -1, -1) for each in make_words())
    mixed = pipeline(
        prompt_embeds=words,
        negative_prompt_embeds=negative,
        num_inference_steps=3,
        guidance_scale=PARAMS.guidance,
        generator=[torch.Generator().manual_seed(0) for _ in range(3)],
        ip_adapter_image_embeds=both,
        output_type="np",
    ).images
    assert abs((mixed * 255).round() - alone).max() > 1


def _split(nets, sounds):
    embeds = nets.adapter.make_embeds(sounds)
    return [
        (empty[:, None], own[:, None]) for empty, own in zip(nets.adapter.make_empty(1), embeds, strict=True)
    ]


def test_words_and_sounds_are_guided_apart(made, one_thread):
    """With both scales alike it is one guidance; with none of the sound, the words' without a sound."""
    nets, sound = made(tokens="soft"), make_sounds(1)
    same = sample(nets, sound, SoundPictureParams(steps=3, guidance=3.0, sound_guidance=3.0))
    assert np.array_equal(same, sample(nets, sound))
    without = [
        sample(nets, each[None], SoundPictureParams(steps=3, guidance=3.0, sound_guidance=0.0))
        for each in make_sounds(2)
    ]
    assert np.array_equal(*without)
    strong = sample(nets, sound, SoundPictureParams(steps=3, guidance=3.0, sound_guidance=9.0))
    assert not np.array_equal(strong, same)


def test_a_level_can_be_left_out(made, one_thread):
    nets, sounds = made(tokens="rigid", routing="early-mid-late", depth=0), make_sounds(2)
    params = SoundPictureParams(steps=3, guidance=3.0, foreground=0, background=0, ambience=0)
    first, second = (sample(nets, each[None], params) for each in sounds)
    assert np.array_equal(first, second)
    heard = params.model_copy(update={"ambience": 1.0})
    assert not np.array_equal(first, sample(nets, sounds[:1], heard))
