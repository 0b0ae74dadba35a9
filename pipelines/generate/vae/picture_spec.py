"""A joint VAE as a generator of pictures: a sound's vector -> a small picture of what it may be of.

Shapes: N samples, V numbers of a sound's vector, D dimensions of the latent, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from pipelines.encode.loaders.weights import compute_fingerprint
from pipelines.generate.batches import make_step_count, normalize_vectors, split_batches
from pipelines.generate.generator import Conditions, Samples, StepProgress
from pipelines.models.joint_vae import WEIGHTS_FILE, load_joint_vae, read_joint_card
from schemas.families import Column
from schemas.generated import GeneratorInfo
from schemas.joint_vae import JOINT_FILE
from schemas.media import Medium
from schemas.strict import StrictModel

if TYPE_CHECKING:
    from pipelines.models.joint_vae import JointVae

SOUND: Column = "clap_audio"


class VaePictureParams(StrictModel):
    """Which of the latents that a sound leads to.

    Attributes:
        temperature: factor of the deviation of their law; 0 is its mean, the blend of all its pictures.
    """

    temperature: float = Field(0.7, ge=0, le=3)


@dataclass(frozen=True)
class VaePictureSpec:
    """A joint VAE of sounds and pictures.

    Attributes:
        weights: its folder.
        batch_rows: pictures of every forward.
    """

    weights: str
    batch_rows: int = 8

    params: ClassVar[type[VaePictureParams]] = VaePictureParams

    def open(self) -> VaePictureGenerator:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: they are damaged.
        """
        from pipelines.compute.device import choose_device

        net, _ = load_joint_vae(Path(self.weights))
        return VaePictureGenerator(net.to(choose_device()), self.batch_rows)

    def fingerprint(self) -> str:
        """Return the fingerprint of its card and weights."""
        folder = Path(self.weights)
        return compute_fingerprint([folder / JOINT_FILE, folder / WEIGHTS_FILE])

    def describe(self) -> GeneratorInfo:
        """Return its name, its fingerprint, and the space of its sounds."""
        card = read_joint_card(Path(self.weights))
        return GeneratorInfo(
            name="vae",
            weights_sha256=self.fingerprint(),
            medium="picture",
            reads=(SOUND,),
            batch_rows=self.batch_rows,
            spaces=((SOUND, card.space),),
            advice="build a set with the CLAP that the VAE was trained with",
        )


class VaePictureGenerator:
    """A loaded joint VAE.

    Args:
        net: on the device.
        batch_rows: pictures of every forward; a smaller batch is padded.
    """

    medium: Medium = "picture"
    reads: tuple[str, ...] = (SOUND,)

    def __init__(self, net: JointVae, batch_rows: int) -> None:
        self._net, self._batch_rows = net, batch_rows

    def encode_text(self, texts: Sequence[str]) -> np.ndarray | None:  # noqa: ARG002 - it has no text tower
        """Return None: it reads sounds alone."""
        return None

    def generate(
        self,
        prompts: Conditions,
        seeds: Sequence[int],
        params: VaePictureParams,
        progress: StepProgress | None = None,
    ) -> Samples:
        """Return a picture of every seed.

        Args:
            prompts: vectors of `clap_audio`, whose norms do not matter.
            seeds: one a picture.
            params: of all pictures.
            progress: called after each batch; raising `GenerationCancelledError` in it ends the work.

        Raises:
            ConfigError: the vectors have other dimensions than those it was trained on, or no direction.
        """
        units_NV = normalize_vectors(prompts[SOUND], len(seeds), self._net.sound_dims, "picture")
        made: list[np.ndarray] = []
        after_batch = make_step_count(-(-len(seeds) // self._batch_rows), progress)
        for rows in split_batches(len(seeds), self._batch_rows):
            made.append(self._draw(units_NV[rows], [seeds[row] for row in rows], params)[: len(set(rows))])
            after_batch()
        data = np.concatenate(made)
        return Samples("picture", data, size=(data.shape[2], data.shape[1]))

    def _draw(self, units_NV: np.ndarray, seeds: Sequence[int], params: VaePictureParams) -> np.ndarray:
        import torch

        device = next(self._net.parameters()).device
        with torch.inference_mode():
            law = self._net.encode_sound(torch.from_numpy(units_NV).to(device))
            shape = (1, self._net.latent)
            noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
            latents = law.sample(params.temperature * torch.cat(noise).to(device))
            pictures = self._net.decode_picture(latents).clamp(-1, 1).permute(0, 2, 3, 1)
            return np.asarray(((pictures + 1) * 127.5).round().to(torch.uint8).cpu().numpy())
