"""Diffusion sampling of AudioLDM: noise and a vector -> a waveform.

diffusers has deprecated its `AudioLDMPipeline`, but not the nets and schedulers in it. This repeats the
pipeline's computation with them: the same weights, noise and vectors give the same sound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.generate.audioldm.params import AudioLdmParams

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class AudioLdmModules:
    """The nets and the scheduler of an AudioLDM.

    Attributes:
        unet: `UNet2DConditionModel`, with the vector as its class label.
        vae: `AutoencoderKL`, spectrograms to latents and back.
        vocoder: `SpeechT5HifiGan`, spectrograms to waveforms.
        scheduler: of the diffusion steps; each batch creates its own from the same configuration.
    """

    unet: Any
    vae: Any
    vocoder: Any
    scheduler: Any

    @property
    def frames_a_latent(self) -> int:
        """The VAE's downsampling factor."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def get_latent_shape(self, latents: int) -> tuple[int, int, int]:
        """Return the shape of the latents of one sound: channels, time (at least `latents`), mels."""
        mels = self.vocoder.config.model_in_dim // self.frames_a_latent
        padded = -(-latents // self._latent_multiple) * self._latent_multiple
        return self.unet.config.in_channels, padded, mels

    @property
    def _latent_multiple(self) -> int:
        """The number that the count of latents must be a multiple of.

        diffusers' `AttnUpBlock2D` cannot undo the halving of an odd count; its blocks with cross-attention,
        which AudioLDM has, and those without attention can.
        """
        is_odd_lost = "AttnUpBlock2D" in self.unet.config.up_block_types
        return int(2 ** (len(self.unet.config.block_out_channels) - 1)) if is_odd_lost else 1


@dataclass(frozen=True)
class DiffusionInputs:
    """The inputs of a batch, on the device of the nets.

    Attributes:
        condition_ND: unit vectors, in the dtype of the nets.
        negative_ND: negative embeddings, unit vectors of "".
        noise: normal, `[N, channels, time, mels]`; in fp32, like all steps between the forwards.
    """

    condition_ND: Tensor
    negative_ND: Tensor
    noise: Tensor


def sample_diffusion(
    nets: AudioLdmModules, inputs: DiffusionInputs, params: AudioLdmParams, after_step: Callable[[], None]
) -> Tensor:
    """Return waveforms, float32 `[N, T]` on the CPU, including the padding of the last latent.

    Args:
        nets: on one device, in one dtype.
        inputs: of the batch.
        params: steps and guidance; a guidance over 1 costs a second forward of the UNet.
        after_step: called after each step.
    """
    import torch

    guided = params.guidance > 1
    labels = torch.cat([inputs.negative_ND, inputs.condition_ND]) if guided else inputs.condition_ND
    scheduler = type(nets.scheduler).from_config(nets.scheduler.config)
    scheduler.set_timesteps(params.steps, device=inputs.noise.device)
    latents = inputs.noise * scheduler.init_noise_sigma
    for time in scheduler.timesteps:
        model_input = scheduler.scale_model_input(torch.cat([latents] * 2) if guided else latents, time)
        predicted = nets.unet(
            model_input.to(labels.dtype), time, encoder_hidden_states=None, class_labels=labels
        ).sample.float()
        if guided:
            negative, conditional = predicted.chunk(2)
            predicted = negative + params.guidance * (conditional - negative)
        latents = scheduler.step(predicted, time, latents).prev_sample
        after_step()
    latents = (1 / nets.vae.config.scaling_factor * latents).to(labels.dtype)
    spectrogram = nets.vae.decode(latents).sample
    waves: Tensor = nets.vocoder(spectrogram.squeeze(1)).cpu().float()
    return waves
