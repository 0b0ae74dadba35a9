"""models/NAME/vae.json: what a VAE of spectrograms hears, and the net that its weights are of."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from schemas.strict import StrictModel

VAE_FILE = "vae.json"
# The seed's net takes this shape and no other.
SEED_SHAPE = (512, 64)
SEED_LATENT = 20


class SpectrogramFront(StrictModel):
    """A wave -> a standardised spectrogram of `bands` x frames. The defaults are pocket AudioLDM's mel.

    `log_mel` is ln of HiFiGAN's mel amplitudes, less `mean`, over `spread`. `decibels` is the level of the
    lowest bins against the loudest of all: 0 dB is 1, and `range_db` below and less is 0.
    """

    kind: Literal["log_mel", "decibels"] = "log_mel"
    rate_hz: int = Field(16_000, ge=4_000, le=96_000)
    fft: int = Field(1_024, ge=64, le=8_192)
    window: int = Field(640, ge=32, le=8_192, description="samples of the Hann window")
    hop: int = Field(320, ge=16, le=4_096, description="samples a frame")
    bands: int = Field(64, ge=8, le=4_096)
    mean: float = Field(-3.7, description="of ln amplitudes")
    spread: float = Field(1.3, gt=0, description="their standard deviation")
    range_db: float = Field(80.0, gt=0, le=200)

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.window > self.fft or self.hop > self.window:
            raise ValueError(
                f"hop {self.hop}, window {self.window} and fft {self.fft} must rise in this order"
            )
        if self.bands > self.fft // 2 + 1:
            raise ValueError(f"an fft of {self.fft} has {self.fft // 2 + 1} bins, and {self.bands} bands")
        return self

    @property
    def db_per_unit(self) -> float:
        """Decibels of a difference of 1 between two standardised numbers."""
        # 20 / ln 10 decibels are a neper.
        return self.range_db if self.kind == "decibels" else self.spread * 8.685889638065035


class VaeNet(StrictModel):
    """The net: the seed's, layer by layer, or the modern one."""

    kind: Literal["seed", "modern"] = "modern"
    frames: int = Field(128, ge=8, le=4_096, description="of a segment")
    latent: int = Field(32, ge=1, le=512, description="dimensions; the seed's has 20")
    widths: tuple[Annotated[int, Field(ge=8, le=1_024, multiple_of=8)], ...] = Field(
        (16, 32, 64, 96, 128), min_length=2, max_length=7, description="channels of the modern net's layers"
    )
    condition: int = Field(32, ge=1, le=512, description="dimensions of a class's embedding")

    @model_validator(mode="after")
    def _check_seed(self) -> Self:
        if self.kind == "seed" and (self.frames, self.latent) != (SEED_SHAPE[1], SEED_LATENT):
            raise ValueError(
                f"the seed's net has {SEED_SHAPE[1]} frames and {SEED_LATENT} dimensions; write them, or "
                "take kind: modern"
            )
        return self


class VaeCard(StrictModel):
    """vae.json."""

    format: Literal["spectrogram-vae/1"] = "spectrogram-vae/1"
    front: SpectrogramFront
    net: VaeNet
    classes: tuple[Annotated[str, StringConstraints(min_length=1, max_length=200)], ...] = Field(
        (), max_length=10_000, description="words that it can be told; none if it was trained without"
    )
    counts: tuple[Annotated[int, Field(ge=0)], ...] = Field((), description="training sounds of each class")

    @model_validator(mode="after")
    def _check_shapes(self) -> Self:
        if len(self.counts) != len(self.classes):
            raise ValueError(f"{len(self.classes)} classes have {len(self.counts)} counts")
        if self.net.kind == "seed" and (self.front.bands != SEED_SHAPE[0] or self.classes):
            raise ValueError(f"the seed's net has {SEED_SHAPE[0]} bands and no classes; take kind: modern")
        step = 2 ** len(self.net.widths)
        if self.net.kind == "modern" and (self.front.bands % step or self.net.frames % step):
            raise ValueError(
                f"{self.front.bands} bands of {self.net.frames} frames cannot be halved "
                f"{len(self.net.widths)} times; take multiples of {step}, or fewer widths"
            )
        return self

    @property
    def samples(self) -> int:
        """Samples of a segment."""
        return self.net.frames * self.front.hop

    @property
    def seconds(self) -> float:
        """Of a segment."""
        return self.samples / self.front.rate_hz


class KlSettings(StrictModel):
    """`kl` of a preset: how much the latents may say.

    The loss is the negative ELBO with a learnt variance of the decoder, or with `fixed` the seed's: the sum
    of squared errors and `beta` times the KL, which is the ELBO of a decoder of the variance `beta` / 2.
    """

    beta: float = Field(1.0, gt=0, le=100)
    fixed: bool = Field(False, description="whether the decoder's variance is `beta` / 2 and not learnt")
    warmup_share: float = Field(
        0.2, ge=0, lt=1, description="of the steps, over which its weight rises from 0"
    )
    free_nats: float = Field(0.1, ge=0, le=10, description="of a dimension, which cost nothing")
