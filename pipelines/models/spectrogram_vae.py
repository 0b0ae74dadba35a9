"""Variational autoencoders of spectrograms with one latent a sound: the seed's net, and a modern one.

The seed's (VAE-MODEL, 2023) takes a crop of 512 x 64 of a spectrogram in 0..1. The modern one takes a log-mel
spectrogram of any number of bands and frames, knows its own noise, and a class if it is told one.

Shapes: N items, H bands of W frames, D dimensions of the latent, C classes.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn

from schemas.spectrogram_vae import SEED_LATENT

# Channels, kernel and stride of the seed's convolutions.
_SEED_LAYERS = ((512, 5, 2), (256, 3, 2), (128, 3, 2), (64, 2, 2), (32, 1, 1))
# Of its feature map: 512 x 64 -> 254 x 30 -> 126 x 14 -> 62 x 6 -> 31 x 3.
_SEED_CODE = (32, 31, 3)
_SEED_HIDDEN = 128

_GROUPS = 8
# ln s^2 stays within these: beyond them an early step would overflow, or freeze the variance.
_LOG_VARIANCE = (-12.0, 6.0)


class Posterior(NamedTuple):
    """The law of the latents of some items: normal, with a diagonal covariance.

    Attributes:
        mean: `[N, D]`.
        log_variance: ln s^2, `[N, D]`.
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise_ND: Tensor) -> Tensor:
        """Return latents, `[N, D]`, from standard normal numbers."""
        return self.mean + (self.log_variance / 2).exp() * noise_ND


class SeedVae(nn.Module):
    """The seed's net, layer by layer: five convolutions with batch normalisation, and their mirror.

    Its head gives ln s, as the seed has it; `encode` returns ln s^2.
    """

    def __init__(self) -> None:
        super().__init__()
        channels = (1, *(each for each, _, _ in _SEED_LAYERS))
        encoder: list[nn.Module] = []
        decoder: list[nn.Module] = []
        for (before, after), (_, kernel, stride) in zip(
            itertools.pairwise(channels), _SEED_LAYERS, strict=True
        ):
            encoder += [nn.Conv2d(before, after, kernel, stride), nn.BatchNorm2d(after), nn.ReLU()]
            # A stride of 2 drops the last row where it does not fit, but for the kernel of 2.
            extra = 1 if kernel > stride else 0
            last: list[nn.Module] = [nn.Sigmoid()] if before == 1 else [nn.BatchNorm2d(before), nn.ReLU()]
            decoder = [
                nn.ConvTranspose2d(after, before, kernel, stride, output_padding=extra), *last, *decoder,
            ]  # fmt: skip
        size = _SEED_CODE[0] * _SEED_CODE[1] * _SEED_CODE[2]
        self.encoder = nn.Sequential(*encoder, nn.Flatten())
        self.mean, self.log_sigma = nn.Linear(size, SEED_LATENT), nn.Linear(size, SEED_LATENT)
        self.decoder = nn.Sequential(
            nn.Linear(SEED_LATENT, _SEED_HIDDEN), nn.ReLU(),
            nn.Linear(_SEED_HIDDEN, size), nn.ReLU(),
            nn.Unflatten(1, _SEED_CODE), *decoder,
        )  # fmt: skip

    def encode(self, spectrograms: Tensor) -> Posterior:
        """Return the law of the latents of spectrograms in 0..1, `[N, 1, 512, 64]`."""
        features = self.encoder(spectrograms)
        return Posterior(self.mean(features), 2 * self.log_sigma(features))

    def decode(self, latents_ND: Tensor) -> Tensor:
        """Return spectrograms in 0..1, `[N, 1, 512, 64]`."""
        decoded: Tensor = self.decoder(latents_ND)
        return decoded

    def forward(self, spectrograms: Tensor, noise_ND: Tensor) -> tuple[Tensor, Posterior]:
        """Return reconstructions from one draw of the latents, and the law that they are drawn from.

        Args:
            spectrograms: `[N, 1, 512, 64]`.
            noise_ND: standard normal numbers.
        """
        posterior = self.encode(spectrograms)
        return self.decode(posterior.sample(noise_ND)), posterior


class FilmBlock(nn.Module):
    """A convolution whose features are scaled and shifted by a condition (Perez et al. 2018, FiLM).

    Args:
        inputs: channels.
        outputs: channels.
        condition: dimensions of the condition.
        change: of the size: "down" halves it, "up" doubles it.
    """

    def __init__(self, inputs: int, outputs: int, condition: int, change: str) -> None:
        super().__init__()
        self.conv: nn.Module
        if change == "down":
            self.conv = nn.Conv2d(inputs, outputs, 4, 2, padding=1)
        else:
            # Not a transposed convolution, which leaves a pattern of its stride.
            upsample = nn.Upsample(scale_factor=2, mode="nearest")
            self.conv = nn.Sequential(upsample, nn.Conv2d(inputs, outputs, 3, padding=1))
        self.norm = nn.GroupNorm(_GROUPS, outputs)
        self.film = nn.Linear(condition, 2 * outputs)
        # No condition has an effect until it has learnt one.
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Return features of another size, `[N, outputs, H, W]`."""
        scale, shift = self.film(condition)[..., None, None].chunk(2, 1)
        return nn.functional.silu(self.norm(self.conv(features)) * (1 + scale) + shift)


class ModernVae(nn.Module):
    """A VAE of log-mel spectrograms with a learnt noise, and classes by FiLM in both halves.

    The prior of a class is learnt, too: else the latent would have to carry the class that it is told. Class
    C stands for none, and its prior stays the standard one.

    Args:
        bands: H, a multiple of 2 to the number of widths.
        frames: W, a multiple of the same.
        classes: C; 0 for none.
        latent: D.
        widths: channels of the convolutions.
        condition: dimensions of a class's embedding.
    """

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        bands: int = 64,
        frames: int = 304,
        classes: int = 0,
        latent: int = 32,
        widths: tuple[int, ...] = (32, 64, 128, 256),
        condition: int = 32,
    ) -> None:
        super().__init__()
        step = 2 ** len(widths)
        if bands % step or frames % step:
            raise ValueError(f"{bands} bands of {frames} frames cannot be halved {len(widths)} times")
        self.classes, self.latent = classes, latent
        self._code = (widths[-1], bands // step, frames // step)
        size = self._code[0] * self._code[1] * self._code[2]
        self.embedding = nn.Embedding(classes + 1, condition)
        self.down = nn.ModuleList(
            FilmBlock(before, after, condition, "down") for before, after in itertools.pairwise((1, *widths))
        )
        self.posterior = nn.Linear(size, 2 * latent)
        self.code = nn.Linear(latent, size)
        back = (*widths[::-1], widths[0])
        self.up = nn.ModuleList(
            FilmBlock(before, after, condition, "up") for before, after in itertools.pairwise(back)
        )
        self.out = nn.Conv2d(widths[0], 1, 3, padding=1)
        self.prior = nn.Embedding(classes, 2 * latent) if classes else None
        if self.prior is not None:
            nn.init.zeros_(self.prior.weight)
        # ln s^2 of the decoder's noise, of standardised spectrograms.
        self.log_variance = nn.Parameter(torch.zeros(()))

    def encode(self, spectrograms: Tensor, classes_N: Tensor | None = None) -> Posterior:
        """Return the law of the latents of standardised log-mel spectrograms, `[N, 1, H, W]`.

        Args:
            spectrograms: to encode.
            classes_N: of each; C for none. None for none of all.
        """
        condition = self._embed(classes_N, spectrograms)
        features = spectrograms
        for block in self.down:
            features = block(features, condition)
        mean, log_variance = self.posterior(features.flatten(1)).chunk(2, 1)
        return Posterior(mean, log_variance.clamp(*_LOG_VARIANCE))

    def decode(self, latents_ND: Tensor, classes_N: Tensor | None = None) -> Tensor:
        """Return standardised log-mel spectrograms, `[N, 1, H, W]`: the means of the decoder's law."""
        condition = self._embed(classes_N, latents_ND)
        features = self.code(latents_ND).unflatten(1, self._code)
        for block in self.up:
            features = block(features, condition)
        decoded: Tensor = self.out(features)
        return decoded

    def find_prior(self, classes_N: Tensor | None, like: Tensor) -> Posterior:
        """Return the law of the latents of classes before anything is heard, `[N, D]`.

        Args:
            classes_N: C for none; None for none of all.
            like: with N rows, on the device of the net.
        """
        zeros = like.new_zeros(len(like), self.latent)
        if self.prior is None or classes_N is None:
            return Posterior(zeros, zeros)
        known_N1 = (classes_N < self.classes)[:, None]
        mean, log_variance = self.prior(classes_N.clamp(max=self.classes - 1)).chunk(2, 1)
        found = Posterior(torch.where(known_N1, mean, zeros), torch.where(known_N1, log_variance, zeros))
        return Posterior(found.mean, found.log_variance.clamp(*_LOG_VARIANCE))

    def find_log_variance(self) -> Tensor:
        """Return ln s^2 of the decoder's noise."""
        return self.log_variance.clamp(*_LOG_VARIANCE)

    def forward(
        self, spectrograms: Tensor, noise_ND: Tensor, classes_N: Tensor | None = None
    ) -> tuple[Tensor, Posterior]:
        """Return reconstructions from one draw of the latents, and the law that they are drawn from.

        Args:
            spectrograms: `[N, 1, H, W]`.
            noise_ND: standard normal numbers.
            classes_N: of each; C for none. None for none of all.
        """
        posterior = self.encode(spectrograms, classes_N)
        return self.decode(posterior.sample(noise_ND), classes_N), posterior

    def _embed(self, classes_N: Tensor | None, like: Tensor) -> Tensor:
        if classes_N is None:
            classes_N = torch.full((len(like),), self.classes, device=like.device)
        embedded: Tensor = self.embedding(classes_N)
        return embedded
