"""The diffusion itself: from noise and a vector to a waveform, in the steps of AudioLDM's pipeline.

diffusers has retired its `AudioLDMPipeline`; the nets and the schedulers that it is made of have not been.
This does with them what the pipeline does, so that the same weights, noise and vectors give the same sound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.generate.generator import SamplingParams

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class AudioLdmModules:
    """What AudioLDM is made of.

    Attributes:
        unet: `UNet2DConditionModel`, told the vector as its class label.
        vae: `AutoencoderKL`, spectrograms to latents and back.
        vocoder: `SpeechT5HifiGan`, spectrograms to waveforms.
        scheduler: the class and the configuration of the steps; each batch takes a fresh one.
    """

    unet: Any
    vae: Any
    vocoder: Any
    scheduler: Any

    @property
    def frames_a_latent(self) -> int:
        """How much smaller the VAE makes a spectrogram."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def get_latent_shape(self, latents: int) -> tuple[int, int, int]:
        """Return the shape of the latents of one sound: channels, time (no less than asked for), mels."""
        mels = self.vocoder.config.model_in_dim // self.frames_a_latent
        whole = -(-latents // self._latents_at_once) * self._latents_at_once
        return self.unet.config.in_channels, whole, mels

    @property
    def _latents_at_once(self) -> int:
        """What the count of latents must be a multiple of: diffusers halves an odd one and cannot go back.

        Its blocks with attention to texts, which AudioLDM has, and those without any can; these cannot.
        """
        is_odd_lost = "AttnUpBlock2D" in self.unet.config.up_block_types
        return int(2 ** (len(self.unet.config.block_out_channels) - 1)) if is_odd_lost else 1


@dataclass(frozen=True)
class DiffusionInputs:
    """What the sounds of a batch begin with, on the device of the nets.

    Attributes:
        wished_ND: unit vectors, in the dtype of the nets.
        unwished_ND: unit vectors to be guided away from: those of "".
        noise: normal, `[N, channels, time, mels]`; in fp32, as all steps between the forwards are.
    """

    wished_ND: Tensor
    unwished_ND: Tensor
    noise: Tensor


def sample_diffusion(
    nets: AudioLdmModules, start: DiffusionInputs, settings: SamplingParams, after_step: Callable[[], None]
) -> Tensor:
    """Return waveforms, float32 `[N, T]` on the CPU, with what the last latent is filled up with.

    Args:
        nets: on one device, in one dtype.
        start: of the batch.
        settings: its steps, and its guidance; over 1 that costs a second forward of the UNet.
        after_step: called after each step.
    """
    import torch

    guided = settings.guidance > 1
    labels = torch.cat([start.unwished_ND, start.wished_ND]) if guided else start.wished_ND
    scheduler = type(nets.scheduler).from_config(nets.scheduler.config)
    scheduler.set_timesteps(settings.steps, device=start.noise.device)
    latents = start.noise * scheduler.init_noise_sigma
    for time in scheduler.timesteps:
        given = scheduler.scale_model_input(torch.cat([latents] * 2) if guided else latents, time)
        found = nets.unet(
            given.to(labels.dtype), time, encoder_hidden_states=None, class_labels=labels
        ).sample.float()
        if guided:
            away, towards = found.chunk(2)
            found = away + settings.guidance * (towards - away)
        latents = scheduler.step(found, time, latents).prev_sample
        after_step()
    latents = (1 / nets.vae.config.scaling_factor * latents).to(labels.dtype)
    spectrogram = nets.vae.decode(latents).sample
    waves: Tensor = nets.vocoder(spectrogram.squeeze(1)).cpu().float()
    return waves
