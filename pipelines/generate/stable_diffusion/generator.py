"""Stable Diffusion at work: batches of words and sounds -> pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipelines.compute.device import choose_device
from pipelines.errors import ConfigError
from pipelines.generate.batches import make_step_count, normalize_vectors, split_batches
from pipelines.generate.generator import CAPTION, Conditions, Samples, StepProgress
from pipelines.generate.stable_diffusion.base import DiffusionBase
from pipelines.generate.stable_diffusion.params import SoundPictureParams, StableDiffusionParams
from pipelines.generate.stable_diffusion.sampling import (
    PictureConditions,
    StableDiffusionModules,
    sample_pictures,
)
from schemas.families import Column
from schemas.media import Medium

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.models.audio_adapter import AudioAdapter

_log = logging.getLogger(__name__)

SOUND: Column = "clap_audio"


class StableDiffusionGenerator:
    """A loaded Stable Diffusion, with an adapter of sounds or without.

    Args:
        base: of pictures.
        adapter: attached to the UNet of the base; None for words alone.
        batch_rows: of every forward.
    """

    medium: Medium = "picture"

    def __init__(self, base: DiffusionBase, adapter: AudioAdapter | None, batch_rows: int) -> None:
        self.reads: tuple[str, ...] = (CAPTION,) if adapter is None else (SOUND, CAPTION)
        self.base, self._adapter, self._batch_rows = base, adapter, batch_rows
        self._nets = StableDiffusionModules(base.unet, base.vae, base.scheduler, adapter)

    def encode_text(self, texts: Sequence[str]) -> np.ndarray | None:  # noqa: ARG002 - it has no vectors
        """Return None: its words are tokens, and no vectors of a space."""
        return None

    def generate(
        self,
        prompts: Conditions,
        seeds: Sequence[int],
        params: StableDiffusionParams,
        progress: StepProgress | None = None,
    ) -> Samples:
        """Return a picture of every seed.

        Args:
            prompts: texts of `caption`, and with an adapter vectors of `clap_audio`, whose norms do not
                matter.
            seeds: one a picture.
            params: of all pictures.
            progress: called after each step; raising `GenerationCancelledError` in it ends the work.

        Raises:
            ConfigError: the vectors have other dimensions than the adapter's or no direction, or the memory
                is too small for one picture.
        """
        has_words = not isinstance(params, SoundPictureParams) or params.words
        texts = list(prompts[CAPTION]) if has_words else [""] * len(seeds)
        units_ND = None
        if self._adapter is not None:
            dims = self._adapter.shape.sound_dims
            units_ND = normalize_vectors(prompts[SOUND], len(seeds), dims, "picture")
        after_step = make_step_count(params.steps * -(-len(seeds) // self._batch_rows), progress)
        side = self.base.picture_px
        with torch.inference_mode():
            made = [
                self._generate_rows(rows, texts, units_ND, seeds, params, after_step)
                for rows in split_batches(len(seeds), self._batch_rows)
            ]
        data = np.concatenate([np.empty((0, side, side, 3), np.uint8), *made])
        return Samples("picture", data, size=(data.shape[2], data.shape[1]))

    def _generate_rows(  # noqa: PLR0913, PLR0917
        self,
        rows: list[int],
        texts: Sequence[str],
        units_ND: np.ndarray | None,
        seeds: Sequence[int],
        params: StableDiffusionParams,
        after_step: Callable[[], None],
    ) -> np.ndarray:
        """Return the pictures of a batch, without its padding; in halves if the memory is too small."""
        try:
            given = PictureConditions(
                self.base.encode_words([texts[row] for row in rows]),
                self.base.encode_words([""] * len(rows)),
                self._make_embeds(rows, units_ND),
                [seeds[row] for row in rows],
            )
            pictures = sample_pictures(self._nets, given, params, after_step).numpy()
            return np.asarray(pictures[: len(set(rows))])
        except (torch.OutOfMemoryError, MemoryError) as error:
            own = sorted(set(rows))
            if len(own) == 1:
                raise ConfigError(
                    f"the memory of {choose_device().type} is too small for one picture of "
                    f"{self.base.picture_px} px; take a smaller base, or precision fp16"
                ) from error
        _log.warning(
            "%d pictures at once are too many for the memory of %s, so they are made in halves, which "
            "changes their last digits; take a smaller batch_rows",
            len(rows),
            choose_device().type,
        )
        half = len(own) // 2
        parts = (own[:half], own[half:])
        return np.concatenate(
            [self._generate_rows(part, texts, units_ND, seeds, params, after_step) for part in parts]
        )

    def _make_embeds(self, rows: list[int], units_ND: np.ndarray | None) -> list[Tensor]:
        if self._adapter is None or units_ND is None:
            return []
        weight = next(self._adapter.parameters())
        return self._adapter.make_embeds(torch.from_numpy(units_ND[rows]).to(weight.device, weight.dtype))
