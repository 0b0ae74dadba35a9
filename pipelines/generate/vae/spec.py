"""A VAE of spectrograms as a generator of sounds: described, loaded, and its parameters looked up."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.encode.loaders.weights import compute_fingerprint
from pipelines.generate.vae.classes import find_class
from pipelines.generate.vae.params import VaeParams
from pipelines.generate.vae.vocoders import VocoderSpec
from pipelines.models.vae_files import WEIGHTS_FILE, load_vae, read_vae_card
from schemas.generated import GeneratorInfo
from schemas.spectrogram_vae import VAE_FILE

if TYPE_CHECKING:
    from pipelines.generate.vae.generator import VaeGenerator
    from pipelines.lookup.media import MediaReader


@dataclass(frozen=True)
class VaeSpec:
    """A VAE of spectrograms: sounds of nothing, of a class, around a row, or between two rows.

    Attributes:
        weights: its folder.
        vocoder: that makes waves.
        batch_rows: samples of every forward.
    """

    weights: str
    vocoder: VocoderSpec
    batch_rows: int = 8

    params: ClassVar[type[VaeParams]] = VaeParams

    def open(self) -> VaeGenerator:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: they are damaged, or the vocoder hears another mel.
        """
        from pipelines.compute.device import choose_device
        from pipelines.generate.vae.generator import VaeGenerator

        vae = load_vae(Path(self.weights))
        vae.net.to(choose_device())
        return VaeGenerator(vae, self.vocoder.open(vae.card.front), self.batch_rows)

    def fingerprint(self) -> str:
        """Return one fingerprint of the VAE and its vocoder."""
        folder = Path(self.weights)
        own = compute_fingerprint([folder / VAE_FILE, folder / WEIGHTS_FILE])
        parts = (own, self.vocoder.fingerprint(), self.vocoder.mean, self.vocoder.spread)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def describe(self) -> GeneratorInfo:
        """Return its name, its fingerprint and its rate."""
        card = read_vae_card(Path(self.weights))
        return GeneratorInfo(
            name="vae",
            weights_sha256=self.fingerprint(),
            medium="sound",
            reads=(),
            batch_rows=self.batch_rows,
            rate_hz=card.front.rate_hz,
        )

    def has_row_params(self, params: Any) -> bool:
        """Return whether its parameters name rows whose sounds are encoded, or a class."""
        return bool(params.keys) or params.label is not None

    def fill_params(self, params: Any, media: MediaReader) -> VaeParams:
        """Return parameters with the latents of the rows that they name.

        Raises:
            NoSuchRowError: there is no such row, or it has no sound.
            ConfigError: the class is none that the VAE was trained on.
        """
        import torch

        find_class(read_vae_card(Path(self.weights)), params.label)
        if not params.keys:
            return VaeParams.model_validate(params)
        from pipelines.encode.vae_segments import decode_segment

        card = read_vae_card(Path(self.weights))
        segments = [decode_segment(media.read(key, "sound")[0], card) for key in params.keys]
        generator = self.open()
        # One at a time: the last digits of a sound's latent would depend on the others.
        means = [
            generator.encode_sounds(torch.from_numpy(each)[None], params).mean[0].tolist()
            for each in segments
        ]
        found: VaeParams = params.model_copy(
            update={"anchors": tuple(tuple(round(each, 5) for each in row) for row in means)}
        )
        return found
