"""Diffusion sampling of Stable Diffusion: noise, words and sounds -> pictures.

This repeats the computation of diffusers' pipeline with its nets and schedulers, but gives each picture of a
batch its own sound, which the pipeline mixes (https://github.com/huggingface/diffusers/issues/9813), and
guides by words and by sounds apart. With one picture a batch and one guidance the numbers are the same.

Shapes: N pictures, T tokens of a text, C numbers of each, K tokens of a level of a sound.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pipelines.generate.stable_diffusion.params import SoundPictureParams, StableDiffusionParams

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.models.audio_adapter import AudioAdapter


@dataclass(frozen=True)
class StableDiffusionModules:
    """The nets and the scheduler of a Stable Diffusion.

    Attributes:
        unet: `UNet2DConditionModel`; its blocks attend to sounds, too, if there is an adapter.
        vae: `AutoencoderKL`, pictures to latents and back.
        scheduler: of the diffusion steps; each batch creates its own from the same configuration.
        adapter: of sounds, attached to the UNet; None for words alone.
    """

    unet: Any
    vae: Any
    scheduler: Any
    adapter: AudioAdapter | None = None

    @property
    def pixels_a_latent(self) -> int:
        """The VAE's downsampling factor."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """The shape of the latents of a picture: channels, height, width."""
        side = int(self.unet.config.sample_size)
        return int(self.unet.config.in_channels), side, side


@dataclass(frozen=True)
class PictureConditions:
    """What conditions a batch, on the device of the nets.

    Attributes:
        words_NTC: of the texts.
        negative_NTC: of "".
        sounds: of each level the tokens before their projection, `[N, K, A]`; empty for words alone.
        seeds: one a picture.
    """

    words_NTC: Tensor
    negative_NTC: Tensor
    sounds: Sequence[Tensor]
    seeds: Sequence[int]


def sample_pictures(
    nets: StableDiffusionModules,
    given: PictureConditions,
    params: StableDiffusionParams,
    after_step: Callable[[], None],
) -> Tensor:
    """Return pictures, uint8 `[N, H, W, 3]` on the CPU.

    Args:
        nets: on one device, in one dtype.
        given: of the batch.
        params: steps and guidance, and the strengths of sounds.
        after_step: called after each step.
    """
    words = given.words_NTC
    generators = [torch.Generator().manual_seed(seed) for seed in given.seeds]
    # Always drawn on the CPU: a GPU draws other numbers.
    noise = torch.cat([torch.randn((1, *nets.latent_shape), generator=each) for each in generators])
    branches, combine = _plan_guidance(nets, given, params)
    scheduler = type(nets.scheduler).from_config(nets.scheduler.config)
    scheduler.set_timesteps(params.steps, device=words.device)
    latents = noise.to(words.device) * scheduler.init_noise_sigma
    draws = {"generator": generators} if "generator" in inspect.signature(scheduler.step).parameters else {}
    count = branches.count
    for time in scheduler.timesteps:
        model_input = scheduler.scale_model_input(torch.cat([latents] * count), time)
        predicted = nets.unet(
            model_input.to(words.dtype), time, encoder_hidden_states=branches.states, return_dict=False
        )[0].float()
        latents = scheduler.step(combine(predicted), time, latents, **draws).prev_sample
        after_step()
    pixels = nets.vae.decode((latents / nets.vae.config.scaling_factor).to(words.dtype)).sample
    unit = (pixels * 0.5 + 0.5).clamp(0, 1).float().permute(0, 2, 3, 1)
    pictures: Tensor = (unit * 255).round().to(torch.uint8).cpu()
    return pictures


@dataclass(frozen=True)
class _Branches:
    """The forwards of a step, one below the other in a batch."""

    count: int
    states: Any


def _plan_guidance(
    nets: StableDiffusionModules, given: PictureConditions, params: StableDiffusionParams
) -> tuple[_Branches, Callable[[Tensor], Tensor]]:
    """Return the branches of a step, and what makes one prediction of theirs."""
    by_words = params.guidance
    by_sound = params.sound_guidance if isinstance(params, SoundPictureParams) else None
    if nets.adapter is None or by_sound is None or by_sound == by_words:
        if by_words <= 1:
            return _make_branches(nets, given, params, ((True, True),)), lambda predicted: predicted

        def guide(predicted: Tensor) -> Tensor:
            empty, full = predicted.chunk(2)
            return empty + by_words * (full - empty)

        return _make_branches(nets, given, params, ((False, False), (True, True))), guide
    scale = by_sound

    def guide_apart(predicted: Tensor) -> Tensor:
        empty, words, full = predicted.chunk(3)
        return empty + by_words * (words - empty) + scale * (full - words)

    return _make_branches(nets, given, params, ((False, False), (True, False), (True, True))), guide_apart


def _make_branches(
    nets: StableDiffusionModules,
    given: PictureConditions,
    params: StableDiffusionParams,
    which: Sequence[tuple[bool, bool]],
) -> _Branches:
    """Return the branches that have words, and those that have a sound."""
    words = torch.cat([given.words_NTC if has_words else given.negative_NTC for has_words, _ in which])
    if nets.adapter is None:
        return _Branches(len(which), words)
    empty = [torch.zeros_like(each) for each in given.sounds]
    chosen = [given.sounds if has_sound else empty for _, has_sound in which]
    tokens = nets.adapter.project([torch.cat(level) for level in zip(*chosen, strict=True)])
    return _Branches(len(which), (words, tokens, list_strengths(nets.adapter, params)))


def list_strengths(adapter: AudioAdapter, params: StableDiffusionParams) -> list[float]:
    """Return the factor of the attention to each level of an adapter."""
    if not isinstance(params, SoundPictureParams):
        return [1.0] * len(adapter.settings.levels)
    of_level = {"foreground": params.foreground, "background": params.background, "ambience": params.ambience}
    return [params.strength * of_level.get(level, 1.0) for level in adapter.settings.levels]
