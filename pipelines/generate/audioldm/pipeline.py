"""AudioLDM, version 1: a CLAP vector -> a sound at 16 kHz, by latent diffusion."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.compute.device import choose_device
from pipelines.encode.encoder import Tower, encode
from pipelines.encode.loaders.weights import as_config_errors
from pipelines.errors import ConfigError
from pipelines.generate.audioldm.lengths import compute_lengths
from pipelines.generate.audioldm.params import AudioLdmParams
from pipelines.generate.audioldm.sampling import AudioLdmModules, DiffusionInputs, sample_diffusion
from pipelines.generate.batches import make_step_count, normalize_vectors, split_batches
from pipelines.generate.generator import Conditions, Samples, StepProgress
from schemas.families import Column
from schemas.media import Medium

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PARTS = ("text_encoder", "tokenizer", "unet", "vae", "vocoder", "scheduler")
READS: tuple[Column, ...] = ("clap_audio",)
_TEXT_ROWS = 32


class AudioLdmGenerator:
    """A loaded AudioLDM; `nets` and `texts` are its parts."""

    medium: Medium = "sound"
    reads: tuple[str, ...] = READS

    def __init__(self, nets: AudioLdmModules, texts: Tower, batch_rows: int) -> None:
        """Take the loaded parts; the negative embedding is the text tower's vector of "".

        Args:
            nets: from vectors to sounds.
            texts: the text tower.
            batch_rows: of every forward.
        """
        self.nets, self.texts, self._batch_rows = nets, texts, batch_rows
        self._negative_D = self.encode_text([""])[0]
        self.rate_hz = int(nets.vocoder.config.sampling_rate)

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of texts in the generator's own space, float32 `[N, D]`."""
        return encode(self.texts, [self.texts.prepare(text) for text in texts], _TEXT_ROWS)[0]

    def generate(
        self,
        prompts: Conditions,
        seeds: Sequence[int],
        params: AudioLdmParams,
        progress: StepProgress | None = None,
    ) -> Samples:
        """Return the sounds of `generate_waves`, of the vectors in `clap_audio`."""
        waves_NT = self.generate_waves(prompts[READS[0]], seeds, params, progress)
        return Samples("sound", waves_NT, rate_hz=self.rate_hz)

    def generate_waves(
        self,
        vectors_ND: np.ndarray,
        seeds: Sequence[int],
        params: AudioLdmParams,
        progress: StepProgress | None = None,
    ) -> np.ndarray:
        """Return sounds as the vocoder made them, float32 `[N, T]` at `rate_hz`.

        Args:
            vectors_ND: of the space of its own CLAP; their norms do not matter.
            seeds: one a sound.
            params: of all sounds.
            progress: called after each step; raising `GenerationCancelledError` in it ends the work.

        Raises:
            ConfigError: the vectors have other dimensions than its CLAP's or no direction, or the length is
                too short.
        """
        import torch

        units_ND = normalize_vectors(vectors_ND, len(seeds), len(self._negative_D), "sound")
        hop = int(np.prod(self.nets.vocoder.config.upsample_rates))
        size = compute_lengths(params.length_s, self.rate_hz, hop, self.nets.frames_a_latent)
        shape = self.nets.get_latent_shape(size.latents)
        after_step = make_step_count(params.steps * -(-len(seeds) // self._batch_rows), progress)
        waves = [np.empty((0, size.samples), np.float32)]
        with torch.inference_mode():
            for rows in split_batches(len(seeds), self._batch_rows):
                noise = torch.cat([_draw_noise(seeds[row], shape) for row in rows])
                negative_ND = np.broadcast_to(self._negative_D, units_ND[rows].shape)
                inputs = DiffusionInputs(
                    self._move(torch.from_numpy(units_ND[rows])),
                    self._move(torch.from_numpy(np.array(negative_ND))),
                    noise.to(choose_device()),
                )
                output_NT = sample_diffusion(self.nets, inputs, params, after_step)
                waves.append(output_NT[: len(set(rows)), : size.samples].numpy())
        return np.concatenate(waves)

    @property
    def _dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.nets.unet.dtype
        return dtype

    def _move(self, tensor: Tensor) -> Tensor:
        return tensor.to(choose_device(), self._dtype)


def _draw_noise(seed: int, shape: tuple[int, ...]) -> Tensor:
    """Return the noise of a seed, always drawn on the CPU: a GPU draws other numbers."""
    import torch

    return torch.randn((1, *shape), generator=torch.Generator().manual_seed(seed))


def load_modules(folder: Path, dtype: torch.dtype) -> AudioLdmModules:
    """Return the nets and the scheduler of a folder that diffusers saved.

    Raises:
        ConfigError: a part is missing, or lacks weights.
    """
    import diffusers
    import transformers

    name = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8")).get(
        "_class_name", ""
    )
    scheduler: Any = getattr(diffusers, name, None)
    # No other class of diffusers: its pipelines run code that lies beside the weights.
    is_scheduler = isinstance(scheduler, type) and issubclass(scheduler, diffusers.SchedulerMixin)
    if not is_scheduler:
        raise ConfigError(f"{folder} wants the scheduler {name!r}, which diffusers does not have")
    return AudioLdmModules(
        unet=_load_net(diffusers.UNet2DConditionModel, folder / "unet", torch_dtype=dtype),
        vae=_load_net(diffusers.AutoencoderKL, folder / "vae", torch_dtype=dtype),
        vocoder=_load_net(
            transformers.SpeechT5HifiGan, folder / "vocoder", dtype=dtype, trust_remote_code=False
        ),
        scheduler=scheduler.from_pretrained(folder / "scheduler", local_files_only=True),
    )


def _load_net(net: Any, folder: Path, **options: Any) -> Any:
    """Return a net with its weights, on the GPU if there is one.

    Raises:
        ConfigError: it cannot be loaded, or weights are missing.
    """
    with as_config_errors("generator audioldm", str(folder)):
        loaded, report = net.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, **options
        )
    if missing := sorted(report["missing_keys"]):
        raise ConfigError(
            f"the weights in {folder} lack {len(missing)} tensors of its config.json (first {missing[0]}); "
            "check that weights and config.json belong together"
        )
    return loaded.eval().requires_grad_(False).to(choose_device())
