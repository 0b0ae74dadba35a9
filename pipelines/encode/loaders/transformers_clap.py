"""Audio and text towers of a ClapModel of transformers, from a folder or a repository of the hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipelines.compute.device import choose_device, get_dtype, move_to_device
from pipelines.encode.encoder import Towers
from pipelines.encode.loaders.pretrained import TransformersLoader
from pipelines.encode.loaders.spectrogram import compute_features
from pipelines.encode.loaders.tokenizer import TextTokenizer, TextTower
from pipelines.encode.loaders.waveform import decode_mono, find_window_starts, locate_windows
from schemas.families import Family, Modality

if TYPE_CHECKING:
    import torch

# LAION trained CLAP on captions of at most 77 tokens, whatever its tokenizer allows.
MAX_TOKENS = 77


@dataclass(frozen=True)
class TransformersClap(TransformersLoader):
    """An audio-text model of transformers."""

    family: ClassVar[Family] = "clap"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "audio")
    classes: ClassVar[Mapping[str, str]] = {"clap": "ClapModel"}

    def _get_max_tokens(self, config: Any) -> int:
        text = config.text_config
        # RoBERTa counts its positions from pad_token_id + 1.
        return int(min(MAX_TOKENS, text.max_position_embeddings - text.pad_token_id - 1))

    def _get_dims(self, config: Any) -> int:
        return int(config.projection_dim)

    def _describe_media(self, processor: Any) -> str:
        of = processor.feature_extractor
        return (
            f"audio: mono {of.sampling_rate} Hz, int16, windows of {of.nb_max_samples} samples "
            f"({of.padding}, {of.truncation}), {of.feature_size} mels "
            f"{of.frequency_min:g}-{of.frequency_max:g} Hz, fft {of.fft_window_size}, hop {of.hop_length}"
        )

    def _make_towers(self, model: Any, processor: Any, tokenizer: TextTokenizer) -> Towers:
        def net(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            # What get_text_features does before it normalises.
            raw_BD: torch.Tensor = model.text_projection(model.text_model(**inputs).pooler_output)
            return raw_BD

        audio = _AudioTower(model, processor.feature_extractor, get_dtype(self.precision))
        return {"audio": audio, "text": TextTower(tokenizer, net)}


LOADERS = {"transformers": TransformersClap}


@dataclass(frozen=True)
class _AudioTower:
    """Bytes of a sound file -> its windows, log-mel spectrograms [1 or 4, T, M]."""

    model: Any
    extractor: Any
    dtype: torch.dtype

    def prepare(self, item: bytes) -> np.ndarray:
        """Decode, mix to mono, resample, quantise as CLAP was trained, and cut into windows.

        No window is longer than the model's, so nothing is cut at random; a short one is filled up by the
        extractor's own rule.
        """
        samples_T = decode_mono(item, self.extractor.sampling_rate)
        window = self.extractor.nb_max_samples
        starts = find_window_starts(len(samples_T), window)
        return np.stack(
            [compute_features(self.extractor, samples_T[start : start + window]) for start in starts]
        )

    def locate_windows(self, item: bytes) -> np.ndarray:
        """Return where the windows start, in seconds."""
        return locate_windows(item, self.extractor.sampling_rate, self.extractor.nb_max_samples)

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Spectrograms, float32 [B, 1 or 4, T, M], to raw vectors; get_audio_features normalises."""
        import torch

        with torch.inference_mode():
            batch = move_to_device(pieces_B, self.dtype)
            # A model with fusion mixes in crops of sounds longer than its window; a piece never is longer.
            longer = torch.zeros((len(batch), 1), dtype=torch.bool, device=choose_device())
            pooled = self.model.audio_model(input_features=batch, is_longer=longer).pooler_output
            raw_BD: np.ndarray = self.model.audio_projection(pooled).float().cpu().numpy()
        return raw_BD
