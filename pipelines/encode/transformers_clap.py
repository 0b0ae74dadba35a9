"""transformers -> the audio and text towers of a ClapModel: a local folder or a repository of the hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.encode.device import moved
from pipelines.encode.encoder import Towers
from pipelines.encode.pretrained import Pretrained, Tokens, device, dtype_of, ids_and_mask
from pipelines.encode.waveform import mono, window_starts
from pipelines.encode.weights import fingerprint
from schemas.space import Precision, Space

if TYPE_CHECKING:
    import torch

# LAION trained CLAP on captions of at most 77 tokens, whatever its tokenizer allows.
MAX_TOKENS = 77


@dataclass(frozen=True)
class TransformersClap:
    """A ClapModel of transformers.

    Attributes:
        weights: a folder, or a repository of the Hugging Face hub.
        revision: a commit of the repository; its newest if None.
        precision: of weights and activations.
        batch_rows: of every forward.
        name: of the space, where it shall not be made from the weights.
    """

    weights: str
    revision: str | None
    precision: Precision
    batch_rows: int
    name: str = ""

    def space(self) -> Space:
        """Return the space: reads the configuration, finds (or fetches) and hashes the weights.

        Raises:
            ConfigError: no such folder, repository or revision, or a tokenizer of another net.
        """
        import transformers

        found = Pretrained.find("clap", self.weights, self.revision)
        config, processor = found.config("clap"), found.processor()
        tokens = _tokens(found, config, processor)
        return Space(
            encoder=self.name or f"transformers:{found.name}",
            weights_sha256=fingerprint(found.weights),
            library=f"transformers {transformers.__version__}",
            preprocessing=f"audio: {_steps(processor.feature_extractor)}; text: {tokens.length} tokens",
            precision=self.precision,
            batch_rows=self.batch_rows,
            dims=int(config.projection_dim),
        )

    def load(self) -> Towers:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: the weights do not fill the model.
        """
        import transformers

        found = Pretrained.find("clap", self.weights, self.revision)
        config, processor = found.config("clap"), found.processor()
        tokens = _tokens(found, config, processor)
        dtype = dtype_of(self.precision)
        model = found.filled(transformers.ClapModel, dtype)
        return {"audio": _Sounds(model, processor.feature_extractor, dtype), "text": _Texts(model, tokens)}


def _tokens(found: Pretrained, config: Any, processor: Any) -> Tokens:
    of = config.text_config
    # RoBERTa counts its positions from pad_token_id + 1.
    positions = of.max_position_embeddings - of.pad_token_id - 1
    length = int(min(MAX_TOKENS, processor.tokenizer.model_max_length, positions))
    return Tokens("clap", processor.tokenizer, length, of.vocab_size, str(found.folder))


def _steps(of: Any) -> str:
    """What a sound goes through, in one line."""
    return (
        f"mono {of.sampling_rate} Hz, int16, windows of {of.nb_max_samples} samples "
        f"({of.padding}, {of.truncation}), {of.feature_size} mels "
        f"{of.frequency_min:g}-{of.frequency_max:g} Hz, fft {of.fft_window_size}, hop {of.hop_length}"
    )


@dataclass(frozen=True)
class _Sounds:
    """Bytes of a sound file -> its windows, log-mel spectrograms [1 or 4, T, M]."""

    model: Any
    extractor: Any
    dtype: torch.dtype

    def prepare(self, item: bytes) -> np.ndarray:
        """Decode, mix to mono, resample, quantise as CLAP was trained, and cut into windows.

        No window is longer than the model's, so the extractor never cuts at random; it fills up a short
        one by its own rule.
        """
        samples_T = mono(item, self.extractor.sampling_rate)
        window = self.extractor.nb_max_samples
        mels = [
            self.extractor(
                samples_T[start : start + window],
                sampling_rate=self.extractor.sampling_rate,
                return_tensors="np",
            )["input_features"]
            for start in window_starts(len(samples_T), window)
        ]
        return np.concatenate(mels).astype(np.float32)

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Spectrograms, float32 [B, 1 or 4, T, M], to raw vectors; get_audio_features normalises."""
        import torch

        with torch.inference_mode():
            batch = moved(pieces_B, device(), self.dtype)
            # A model with fusion mixes in crops of a longer sound; a window never is longer.
            longer = torch.zeros((len(batch), 1), dtype=torch.bool, device=device())
            pooled = self.model.audio_model(input_features=batch, is_longer=longer).pooler_output
            raw_BD: np.ndarray = self.model.audio_projection(pooled).float().cpu().numpy()
        return raw_BD


@dataclass(frozen=True)
class _Texts:
    """A text -> one piece, its token ids and their mask [2, L]."""

    model: Any
    tokens: Tokens

    def prepare(self, item: str) -> np.ndarray:
        """Tokenize; what is longer than the model's context is cut, what is shorter is padded."""
        return self.tokens.pieces(item)

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Ids and masks, int64 [B, 2, L], to raw vectors; get_text_features normalises."""
        import torch

        with torch.inference_mode():
            pooled = self.model.text_model(**ids_and_mask(pieces_B)).pooler_output
            raw_BD: np.ndarray = self.model.text_projection(pooled).float().cpu().numpy()
        return raw_BD
