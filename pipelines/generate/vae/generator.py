"""A VAE of spectrograms at work: latents -> spectrograms -> sounds.

Shapes: N samples, P points of an interpolation, D dimensions of the latent, C classes, T samples of a sound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipelines.compute.device import choose_device
from pipelines.errors import ConfigError
from pipelines.generate.batches import make_step_count, split_batches
from pipelines.generate.generator import Conditions, Samples, StepProgress
from pipelines.generate.vae.classes import find_class
from pipelines.generate.vae.params import VaeParams
from pipelines.models.spectrogram_vae import ModernVae, Posterior
from pipelines.models.vae_files import SpectrogramVae
from schemas.media import Medium

if TYPE_CHECKING:
    from torch import Tensor


class VaeGenerator:
    """A loaded VAE.

    Args:
        vae: on the device.
        vocode: standardised spectrograms `[N, 1, H, W]` -> waves `[N, T]`.
        batch_rows: samples of every forward; a smaller batch is padded, because the last digits of a sound
            depend on the size of its batch.
    """

    medium: Medium = "sound"
    reads: tuple[str, ...] = ()

    def __init__(self, vae: SpectrogramVae, vocode: Callable[[Tensor], Tensor], batch_rows: int) -> None:
        self.vae, self.vocode, self._batch_rows = vae, vocode, batch_rows
        self.rate_hz = vae.card.front.rate_hz

    def encode_text(self, texts: Sequence[str]) -> np.ndarray | None:  # noqa: ARG002 - it has no vectors
        """Return None: a class is one of its words, and no vector of a space."""
        return None

    def generate(
        self,
        prompts: Conditions,  # noqa: ARG002 - nothing conditions it
        seeds: Sequence[int],
        params: VaeParams,
        progress: StepProgress | None = None,
    ) -> Samples:
        """Return a sound of every seed.

        Args:
            prompts: nothing.
            seeds: one a sound.
            params: of all sounds.
            progress: called after each batch; raising `GenerationCancelledError` in it ends the work.

        Raises:
            ConfigError: the class is none that the VAE was trained on, or a row's sound was not encoded.
        """
        card = self.vae.card
        length = int(params.length_s * self.rate_hz)
        if params.between:
            length = params.points * card.samples
        waves = [np.empty((0, length), np.float32)]
        after_batch = make_step_count(-(-len(seeds) // self._batch_rows), progress)
        with torch.inference_mode():
            for rows in split_batches(len(seeds), self._batch_rows):
                padded = [seeds[row] for row in rows]
                waves.append(self._make_waves(padded, params, length)[: len(set(rows))])
                after_batch()
        return Samples("sound", np.concatenate(waves), rate_hz=self.rate_hz)

    def _make_waves(self, seeds: Sequence[int], params: VaeParams, length: int) -> np.ndarray:
        spectrograms = self.draw_spectrograms(seeds, params)
        if not params.between:
            frames = -(-length // self.vae.card.front.hop)
            repeats = -(-frames // spectrograms.shape[3])
            spectrograms = spectrograms.repeat(1, 1, 1, repeats)[..., :frames]
        return np.asarray(self.vocode(spectrograms)[:, :length].float().cpu().numpy())

    def draw_spectrograms(self, seeds: Sequence[int], params: VaeParams) -> Tensor:
        """Return a standardised spectrogram of every seed, `[N, 1, H, W]`; of an interpolation its points.

        Args:
            seeds: one a sample; each decides its class, its latent and its texture.
            params: of all samples.

        Raises:
            ConfigError: the class is none that the VAE was trained on, or a row's sound was not encoded.
        """
        device, points = choose_device(), params.points if params.between else 1
        streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        classes_N = self._draw_classes(streams, params)
        noise_ND = torch.cat([torch.randn((1, self.vae.card.net.latent), generator=each) for each in streams])
        latents_ND = self._place_latents(classes_N, noise_ND, params).to(device)
        told_N = classes_N.repeat_interleave(points).to(device)
        spectrograms = self.vae.decode(latents_ND, told_N).cpu()
        spectrograms = torch.cat(spectrograms.reshape(-1, points, *spectrograms.shape[1:]).unbind(1), 3)
        if isinstance(self.vae.net, ModernVae) and params.texture:
            deviation = (self.vae.net.find_log_variance().cpu() / 2).exp() * params.texture
            shape = spectrograms[:1].shape
            noise = torch.cat([torch.randn(shape, generator=each) for each in streams])
            spectrograms = spectrograms + deviation * noise
        return spectrograms.to(device)

    def encode_sounds(self, spectrograms: Tensor, params: VaeParams) -> Posterior:
        """Return the law of the latents of sounds, told the class of the parameters or none.

        Raises:
            ConfigError: the class is none that the VAE was trained on.
        """
        number = find_class(self.vae.card, params.label)
        told_N = torch.full((len(spectrograms),), number, device=choose_device())
        with torch.inference_mode():
            return self.vae.encode(spectrograms.to(choose_device()), told_N)

    def _draw_classes(self, streams: Sequence[torch.Generator], params: VaeParams) -> Tensor:
        card = self.vae.card
        if params.label is not None or params.keys or not sum(card.counts):
            return torch.full((len(streams),), find_class(self.vae.card, params.label))
        weights = torch.tensor(card.counts, dtype=torch.float32)
        return torch.cat([torch.multinomial(weights, 1, generator=each) for each in streams])

    def _place_latents(self, classes_N: Tensor, noise_ND: Tensor, params: VaeParams) -> Tensor:
        """Return latents: of a law, around an anchor, or on the way between two, `[N P, D]`."""
        if not params.keys:
            return self._draw_latents(classes_N, noise_ND * params.temperature, params.law)
        anchors_AD = torch.tensor(params.anchors, dtype=torch.float32)
        if anchors_AD.shape != (len(params.keys), noise_ND.shape[1]):
            raise ConfigError(
                f"generator vae has {len(params.anchors)} latents of the rows {', '.join(params.keys)}; give "
                "rows by `echolens generate --like` and --between, which encodes their sounds"
            )
        if params.like:
            scale_D = self.vae.fitted.factors_CDD[-1].square().sum(1).sqrt()
            return anchors_AD + params.spread * scale_D * noise_ND
        shares_P1 = torch.linspace(0, 1, params.points)[:, None]
        way_PD = anchors_AD[0] * (1 - shares_P1) + anchors_AD[1] * shares_P1
        return way_PD.repeat(len(noise_ND), 1)

    def _draw_latents(self, classes_N: Tensor, noise_ND: Tensor, law: str) -> Tensor:
        if law == "fitted":
            return self.vae.fitted.sample(classes_N, noise_ND)
        if not isinstance(self.vae.net, ModernVae):
            return noise_ND
        device = choose_device()
        return (
            self.vae.net.find_prior(classes_N.to(device), noise_ND.to(device))
            .sample(noise_ND.to(device))
            .cpu()
        )
